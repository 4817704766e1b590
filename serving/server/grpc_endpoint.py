"""The gRPC port: sockets, deadlines and limits of the services' RPCs.

grpcio's synchronous server: a call stays in one thread, from the message to
the graph and back. In the asynchronous one, a call had to change threads twice,
since a graph must not block the event loop: 850 us of CPU for a trivial call,
instead of 620.
"""

import contextlib
import logging
import math
import time
from collections.abc import Sequence
from concurrent import futures

import grpc
from google.protobuf import message
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import predict_pb2

from serving import tensors
from serving.server import calls
from serving.server import credentials
from serving.server import errors
from serving.server import health
from serving.server import interrupts
from serving.server import metrics
from serving.server import options
from serving.server import prediction_service

_OPTIONS = {
  "grpc.max_send_message_length": -1,
  # Otherwise a second server could share the port silently.
  "grpc.so_reuseport": 0,
}
# `Calls` limits the calls that run. These threads, created when needed, also
# refuse calls at once, and wait for models that load.
_THREADS = 1000
_COUNTED = "Predict"


class GrpcEndpoint:
  """Answers PredictionService, ModelService and, if enabled, Health.

  Classify, Regress, MultiInference and SessionRun are UNIMPLEMENTED.

  Attributes:
    port: The TCP port, once it has started.
  """

  def __init__(
    self,
    services: prediction_service.Services,
    running: calls.Calls,
    counters: metrics.Metrics,
    healthy: health.Health,
    tokens: credentials.Tokens | None,
    settings: options.Options,
  ):
    """Creates the endpoint; `start` takes the port.

    The services answer the requests; without tokens, all callers are admitted.
    """
    self._calls = running
    self._metrics = counters
    self._tokens = tokens
    self.port = None
    self._stoppers = futures.ThreadPoolExecutor(2, "stop")
    # grpcio holds the GIL while it copies a message, for 1.3 ms a MiB. Larger
    # messages are refused by the length that they announce.
    most = settings.grpc_max_message_mb << 20
    arguments = _OPTIONS | {"grpc.max_receive_message_length": most}
    arguments |= settings.channel_arguments()
    self._server = grpc.server(
      futures.ThreadPoolExecutor(_THREADS, "grpc"),
      options=list(arguments.items()),
    )
    for service, methods in _methods(services).items():
      handler = grpc.method_handlers_generic_handler(
        f"tensorflow.serving.{service}",
        {name: self._handler(name, *pair) for name, pair in methods.items()},
      )
      self._server.add_generic_rpc_handlers([handler])
    if settings.enable_grpc_healthcheck_service:
      health_pb2_grpc.add_HealthServicer_to_server(
        healthy.servicer, self._server
      )

  def start(
    self,
    addresses: Sequence[str],
    certificates: credentials.Certificates | None = None,
  ) -> None:
    """Listens at addresses, host:port or unix:path; port 0 picks a free one.

    Raises:
      ValueError: An address is not available.
    """
    for address in addresses:
      try:
        if certificates is None:
          port = self._server.add_insecure_port(address)
        else:
          port = self._server.add_secure_port(address, certificates.for_grpc)
      except RuntimeError as error:
        raise ValueError(
          f"{address} cannot be taken, perhaps because another server has it: "
          "stop that one, or choose another port with --port (0 picks a free "
          "one)."
        ) from error
      self.port = self.port or port
    self._server.start()

  def stop(self, grace: float) -> None:
    """Closes the port; running calls have `grace` seconds to end."""
    self._server.stop(grace).wait()
    self._stoppers.shutdown(wait=False)

  def _handler(self, name, request_type, answer):
    def handle(data, context):
      started = time.perf_counter()
      model = ""
      try:
        self._authenticate(context)
        request = _parse(request_type, data)
        if name == _COUNTED:
          model = request.model_spec.name
        reply = self._answer(request, answer, context).SerializeToString()
        self._count(name, model, "OK", started)
        return reply
      # Keeps no reference to the error: it and this frame, with its message,
      # would be a cycle, freed only by garbage collection.
      except errors.ServingError as error:
        code, text = error.code, error.text
      except Exception as error:  # The caller must get an answer.
        logging.exception("%s failed", name)
        code, text = grpc.StatusCode.INTERNAL, str(error)
      self._count(name, model, code.name, started)
      # Outside of `except`: abort raises, and would log the original error.
      return context.abort(code, text)

    # Without grpcio's parsing: malformed messages get our error.
    return grpc.unary_unary_rpc_method_handler(handle)

  def _answer(self, request, answer, context):
    interrupt = interrupts.Interrupt()

    def stop():
      # In a thread: it may block, and gRPC's thread serves all other calls.
      with contextlib.suppress(RuntimeError):  # The server has stopped.
        self._stoppers.submit(interrupt.set)

    # Called at the deadline, too.
    if not context.add_callback(stop):
      interrupt.set()
    end = None
    while True:
      interrupt.check()
      try:
        with self._calls.admitted(interrupt):
          return answer(request, interrupt)
      except errors.StillLoadingError:
        if end is None:
          remaining = context.time_remaining()
          end = calls.end_of_waiting(
            math.inf if remaining is None else remaining
          )
        if time.monotonic() >= end:
          raise
      time.sleep(calls.PAUSE)

  def _authenticate(self, context):
    if self._tokens is None:
      return
    sent = dict(context.invocation_metadata() or ()).get("authorization")
    if not self._tokens.accept(sent):
      raise errors.ServingError(
        grpc.StatusCode.UNAUTHENTICATED,
        "Send a bearer token of this server's as `authorization` metadata.",
      )

  def _count(self, name, model, status, started):
    if name == _COUNTED:
      seconds = time.perf_counter() - started
      self._metrics.request(model, name, "GRPC", status, seconds)


def _methods(services):
  """Returns, by service and RPC, the type of the request and the method."""
  return {
    "PredictionService": {
      "Predict": (predict_pb2.PredictRequest, services.predict),
      "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        lambda request, _: services.get_model_metadata(request),
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


def _parse(request_type, data):
  try:
    with tensors.turn_of(len(data)):
      return request_type.FromString(data)
  except message.DecodeError as error:
    raise errors.invalid_argument(
      f"The request is no {request_type.DESCRIPTOR.name}: {error}"
    ) from error
