"""Servers that one could write instead, to compare with.

  python -m benchmarks.peers --peer=naive --saved_model=runs/demo/export/1

`nothing` is a grpcio server that answers with an empty message: what any server
in Python costs. `naive` is the one that a tutorial has: TensorFlow's own
functions, and no more. Neither looks for versions, stops calls or counts them.
"""

import threading
from concurrent import futures

import grpc
import tensorflow as tf
from absl import app
from absl import flags
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

_PEER = flags.DEFINE_enum("peer", None, ["nothing", "naive"], "Which.")
_SAVED_MODEL = flags.DEFINE_string("saved_model", None, "What `naive` serves.")
_THREADS = 10


class _Nothing(prediction_service_pb2_grpc.PredictionServiceServicer):
  """Answers with an empty message."""

  def Predict(self, request, context):
    return predict_pb2.PredictResponse()


class _Naive(prediction_service_pb2_grpc.PredictionServiceServicer):
  """Runs a SavedModel by its signatures."""

  def __init__(self, path):
    self._model = tf.saved_model.load(path)

  def Predict(self, request, context):
    name = request.model_spec.signature_name or "serving_default"
    inputs = {
      key: tf.constant(tf.make_ndarray(value))
      for key, value in request.inputs.items()
    }
    response = predict_pb2.PredictResponse()
    for key, value in self._model.signatures[name](**inputs).items():
      response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
    return response


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  server = grpc.server(
    futures.ThreadPoolExecutor(_THREADS),
    options=[("grpc.max_receive_message_length", -1)],
  )
  if _PEER.value == "naive":
    servicer = _Naive(_SAVED_MODEL.value)
  else:
    servicer = _Nothing()
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
    servicer, server
  )
  port = server.add_insecure_port("127.0.0.1:0")
  server.start()
  print(f"Serving gRPC on port {port}.", flush=True)
  threading.Event().wait()


if __name__ == "__main__":
  flags.mark_flag_as_required("peer")
  app.run(_run)
