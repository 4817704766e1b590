"""Plain servers that `serving.server` is compared with.

  python -m benchmarks.plain_servers runs/demo/export/1

serves a SavedModel by TensorFlow's own functions, as tutorials do. Without an
argument every answer is an empty message: the cost of any server in Python.
"""

import sys
import threading
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

_THREADS = 10


class _Empty(prediction_service_pb2_grpc.PredictionServiceServicer):
  def Predict(self, request, context):
    return predict_pb2.PredictResponse()


class _Naive(prediction_service_pb2_grpc.PredictionServiceServicer):
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


def _main():
  server = grpc.server(
    futures.ThreadPoolExecutor(_THREADS),
    options=[("grpc.max_receive_message_length", -1)],
  )
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
    _Naive(*sys.argv[1:]) if sys.argv[1:] else _Empty(), server
  )
  port = server.add_insecure_port("127.0.0.1:0")
  server.start()
  print(f"Serving gRPC on port {port}.", flush=True)
  threading.Event().wait()


if __name__ == "__main__":
  _main()
