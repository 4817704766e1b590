"""Serves exported models over gRPC, as TensorFlow Serving does.

  python -m serving.server --model_name=demo --model_base_path=runs/demo/export

The flags that exist here are named as those of `tensorflow_model_server`, and
a client of it needs no change (see `prediction_service`).
"""

import os
import signal
import sys
import threading
from concurrent import futures

import grpc
from absl import app
from absl import flags
from absl import logging
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving import prediction_service
from serving import servables

_OPTIONS = [
  # grpcio stops at 4 MB, which is 80 images of 64x64 as floats.
  ("grpc.max_receive_message_length", -1),
  ("grpc.max_send_message_length", -1),
  # Else a second server takes the same port silently, and half of the calls.
  ("grpc.so_reuseport", 0),
]


class Server:
  """A gRPC server over loaded models.

  Attributes:
    models: What it serves.
    port: Where.
  """

  def __init__(
    self,
    models: servables.Servables,
    port: int = 0,
    max_calls: int | None = None,
    tensor_content: bool = False,
  ):
    """Takes the port and answers from now on.

    Args:
      models: Loaded models.
      port: TCP port, on every interface; 0 picks a free one.
      max_calls: How many calls may run at once; None means 4 per CPU. More
        are refused with RESOURCE_EXHAUSTED.
      tensor_content: Whether outputs are written as `tensor_content`.

    Raises:
      ValueError: The port cannot be taken.
    """
    max_calls = max_calls or 4 * (os.cpu_count() or 1)
    self.models = models
    self._server = grpc.server(
      # A few more threads than calls, to refuse the calls that are too many.
      futures.ThreadPoolExecutor(max_calls + 4),
      interceptors=[_CallLimit(max_calls)],
      options=_OPTIONS,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
      prediction_service.PredictionService(models, tensor_content),
      self._server,
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
      prediction_service.ModelService(models), self._server
    )
    try:
      self.port = self._server.add_insecure_port(f"0.0.0.0:{port}")
    except RuntimeError as error:
      raise ValueError(
        f"Port {port} cannot be taken, perhaps because another server has it: "
        "stop that one, or choose another with --port (0 picks a free one)."
      ) from error
    self._server.start()

  def stop(self, grace: float) -> None:
    """Refuses new calls, lets those in flight finish, then unloads.

    Args:
      grace: Seconds that calls in flight have; what still runs then, stops.
    """
    self._server.stop(grace).wait()
    self.models.close()


class _CallLimit(grpc.ServerInterceptor):
  """Refuses a call when too many are running."""

  def __init__(self, max_calls):
    self._slots = threading.BoundedSemaphore(max_calls)

  def intercept_service(self, continuation, handler_call_details):
    handler = continuation(handler_call_details)
    if handler is None or not handler.unary_unary:
      return handler

    def limited(request, context):
      if not self._slots.acquire(blocking=False):
        context.abort(
          grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted"
        )
      try:
        return handler.unary_unary(request, context)
      finally:
        self._slots.release()

    return grpc.unary_unary_rpc_method_handler(
      limited, handler.request_deserializer, handler.response_serializer
    )


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  flags.DEFINE_integer(
    "port",
    8500,
    "TCP port for gRPC; 0 picks a free one and prints it.",
    lower_bound=0,
    upper_bound=65535,
    flag_values=values,
  )
  flags.DEFINE_string(
    "model_name", "default", "Name that clients ask for.", flag_values=values
  )
  flags.DEFINE_string(
    "model_base_path",
    None,
    "Folder with the model's versions, one folder named by a number each; the "
    "newest is served.",
    flag_values=values,
    required=True,
  )
  flags.DEFINE_integer(
    "grpc_max_threads",
    None,
    "How many calls may run at once; by default 4 per CPU. More are refused "
    "with RESOURCE_EXHAUSTED.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_bool(
    "enable_serialization_as_tensor_content",
    False,
    "Write outputs as tensor_content: smaller and faster, for clients that "
    "read it.",
    flag_values=values,
  )
  flags.DEFINE_float(
    "shutdown_grace_seconds",
    30.0,
    "After SIGTERM or Ctrl-C: seconds that calls in flight have to finish.",
    lower_bound=0.0,
    flag_values=values,
  )


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  args = flags.FLAGS
  # Loading a SavedModel in a session is deprecated for everybody but servers.
  logging.set_verbosity(logging.ERROR)
  stopped = threading.Event()
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stopped.set())
  models = servables.Servables({args.model_name: args.model_base_path})
  print(f"Loading {args.model_name} from {args.model_base_path}", flush=True)
  try:
    loaded = models.load()
    server = Server(
      models,
      args.port,
      args.grpc_max_threads,
      args.enable_serialization_as_tensor_content,
    )
  except ValueError as error:
    sys.exit(f"Error: {error}")
  for servable in loaded:
    names = ", ".join(
      # Without what TensorFlow itself needs to be there.
      sorted(name for name in servable.signatures if name[:2] != "__")
    )
    print(f"{servable.name}, version {servable.version}: {names}", flush=True)
  print(f"Serving gRPC on port {server.port}; Ctrl-C stops.", flush=True)
  stopped.wait()
  print("Stopping: calls in flight finish first.", flush=True)
  server.stop(args.shutdown_grace_seconds)


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run)


if __name__ == "__main__":
  main()
