"""The gRPC port: sockets, deadlines and limits of the services' RPCs.

grpcio's synchronous server: a call stays in one thread, from the message to
the graph and back. With the asynchronous one it had to change threads twice,
since a graph must not hold up the others: 850 us of CPU for a trivial call,
against 620.
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from concurrent import futures

import grpc
from google.protobuf import message
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import calls as calls_lib
from serving.server import credentials as credentials_lib
from serving.server import errors
from serving.server import health as health_lib
from serving.server import interrupts
from serving.server import metrics as metrics_lib
from serving.server import prediction_service

_OPTIONS = {
  # grpcio stops at 4 MB, which is 80 images of 64x64 as floats.
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  # Else a second server takes the same port silently, and half of the calls.
  "grpc.so_reuseport": 0,
}
# `Calls` says how many calls run; these are to refuse the others at once, and
# for those that wait for a model to load. They are made when they are needed.
_THREADS = 1000
# What metrics tell of.
_COUNTED = ("Predict", "Classify", "Regress", "MultiInference")


class GrpcEndpoint:
  """Answers PredictionService, ModelService and, if asked to, Health.

  Attributes:
    port: Where, once it has started.
  """

  def __init__(
    self,
    services: prediction_service.Services,
    calls: calls_lib.Calls,
    metrics: metrics_lib.Metrics,
    tokens: credentials_lib.Tokens | None = None,
    health: health_lib.Health | None = None,
    arguments: Mapping[str, int | str] | None = None,
  ):
    """Creates the endpoint; `start` takes the port.

    Args:
      services: What is answered.
      calls: What runs it.
      metrics: What counts it.
      tokens: Who may call; None means all.
      health: What the health service says; None means that there is none.
      arguments: Of the channels, by name.
    """
    self._calls = calls
    self._metrics = metrics
    self._tokens = tokens
    self.port = None
    self._server = grpc.server(
      futures.ThreadPoolExecutor(_THREADS, "grpc"),
      options=list((_OPTIONS | dict(arguments or {})).items()),
    )
    for service, methods in _methods(services).items():
      self._server.add_generic_rpc_handlers(
        [
          grpc.method_handlers_generic_handler(
            f"tensorflow.serving.{service}",
            {
              name: self._handler(name, request, answer)
              for name, (request, answer) in methods.items()
            },
          )
        ]
      )
    if health is not None:
      health_pb2_grpc.add_HealthServicer_to_server(
        health.servicer, self._server
      )

  def start(
    self,
    addresses: Sequence[str],
    certificates: credentials_lib.Certificates | None = None,
  ) -> None:
    """Takes the addresses and answers from now on.

    Args:
      addresses: host:port, or unix:path. Port 0 picks a free one.
      certificates: For TLS; None means without.

    Raises:
      ValueError: One cannot be taken.
    """
    for address in addresses:
      try:
        if certificates is None:
          port = self._server.add_insecure_port(address)
        else:
          port = self._server.add_secure_port(address, certificates.for_grpc)
      except RuntimeError as error:
        raise ValueError(_taken(address)) from error
      self.port = self.port or port
    self._server.start()

  def stop(self, grace: float) -> None:
    """Closes the port; calls that still run have this many seconds."""
    self._server.stop(grace).wait()

  def _handler(self, name, request_type, answer):
    def handle(data, context):
      started = time.perf_counter()
      request = None
      try:
        self._authenticate(context)
        request = _parse(request_type, data)
        reply = self._answer(request, answer, context).SerializeToString()
        self._count(name, request, "OK", started)
        return reply
      except errors.ServingError as error:
        code, text = error.code, error.text
      except Exception as error:  # The caller must get an answer.
        logging.exception("%s failed", name)
        failure = errors.ServingError(grpc.StatusCode.INTERNAL, str(error))
        code, text = failure.code, failure.text
      self._count(name, request, code.name, started)
      # Outside of `except`: abort raises, and would log what it replaces.
      return context.abort(code, text)

    # Bytes in and bytes out: what is no message gets an answer of ours.
    return grpc.unary_unary_rpc_method_handler(handle)

  def _answer(self, request, answer, context):
    interrupt = interrupts.Interrupt()
    # At the deadline, too.
    if not context.add_callback(interrupt.set):
      interrupt.set()
    end = None
    while True:
      interrupt.check()
      try:
        with self._calls.admitted():
          return answer(request, interrupt)
      except errors.StillLoadingError:
        if end is None:
          remaining = context.time_remaining()
          end = calls_lib.end_of_waiting(
            math.inf if remaining is None else remaining
          )
        if time.monotonic() >= end:
          raise
      time.sleep(calls_lib.PAUSE)

  def _authenticate(self, context):
    if self._tokens is None:
      return
    sent = dict(context.invocation_metadata() or ()).get("authorization")
    if not self._tokens.accept(sent):
      raise errors.ServingError(
        grpc.StatusCode.UNAUTHENTICATED,
        "Send a bearer token of this server's as `authorization` metadata.",
      )

  def _count(self, name, request, status, started):
    if name not in _COUNTED:
      return
    model = _model(request) if request is not None else ""
    seconds = time.perf_counter() - started
    self._metrics.request(model, name, "GRPC", status, seconds)


def _methods(services):
  """Returns by service and method the type of request and what answers it."""
  return {
    "PredictionService": {
      "Predict": (predict_pb2.PredictRequest, services.predict),
      "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        lambda request, _: services.get_model_metadata(request),
      ),
      "Classify": (classification_pb2.ClassificationRequest, services.classify),
      "Regress": (regression_pb2.RegressionRequest, services.regress),
      "MultiInference": (
        inference_pb2.MultiInferenceRequest,
        services.multi_inference,
      ),
    },
    "ModelService": {
      "GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest,
        lambda request, _: services.get_model_status(request),
      ),
      "HandleReloadConfigRequest": (
        model_management_pb2.ReloadConfigRequest,
        services.reload_config,
      ),
    },
  }


def _model(request):
  if isinstance(request, inference_pb2.MultiInferenceRequest):
    return request.tasks[0].model_spec.name if request.tasks else ""
  return request.model_spec.name


def _parse(request_type, data):
  try:
    return request_type.FromString(data)
  except message.DecodeError as error:
    raise errors.invalid_argument(
      f"The request is no {request_type.DESCRIPTOR.name}: {error}"
    ) from error


def _taken(address):
  return (
    f"{address} cannot be taken, perhaps because another server has it: stop "
    "that one, or choose another port with --port (0 picks a free one)."
  )
