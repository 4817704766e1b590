"""Runs the requests that come with a model, before it is served."""

import os

import grpc
import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import prediction_log_pb2

from serving.server import errors
from serving.server import inference
from serving.server import interrupts
from serving.server import predictor
from serving.server import servables

REQUESTS = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MOST_RECORDS = 1000
_ANSWERS = {
  "predict_log": predictor.answer,
  "classify_log": inference.classify,
  "regress_log": inference.regress,
  "multi_inference_log": inference.multi_inference,
}


def run(servable: servables.Servable, iterations: int = 1) -> int:
  """Runs the recorded requests of a model and returns how many there are.

  Args:
    servable: The model.
    iterations: How often each of them is run.

  Raises:
    LoadError: A record cannot be read, or fails, or there are too many.
  """
  path = os.path.join(servable.path, REQUESTS)
  if not os.path.exists(path):
    return 0
  count = 0
  try:
    records = tf.data.TFRecordDataset(path).as_numpy_iterator()
    for count, record in enumerate(records, 1):
      if count > _MOST_RECORDS:
        raise errors.invalid_argument(
          f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at "
          f"{path}"
        )
      log = prediction_log_pb2.PredictionLog.FromString(record)
      for _ in range(iterations):
        _run(servable, log)
  except (errors.ServingError, message.DecodeError, tf.errors.OpError) as error:
    if isinstance(error, message.DecodeError):
      error = errors.invalid_argument(f"Failed to parse warmup record: {error}")
    elif isinstance(error, tf.errors.OpError):
      error = errors.from_tensorflow(error)
    raise servables.LoadError(
      f"Version {servable.version} of model {servable.name} fails its warm-up "
      f"request {max(count, 1)} in {path}: {error.text}",
      error.code,
    ) from error
  return count


def _run(servable, log):
  kind = log.WhichOneof("log_type")
  if kind is None:
    return
  if kind not in _ANSWERS:
    raise errors.ServingError(
      grpc.StatusCode.UNIMPLEMENTED,
      f"Unsupported log_type for warmup: {kind}",
    )
  # As calls do: a run that can be stopped is prepared apart.
  request = getattr(log, kind).request
  _ANSWERS[kind](servable, request, interrupts.Interrupt())
