"""Runs the requests recorded in a SavedModel, before it is served."""

import os
import typing

import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import prediction_log_pb2

from serving.server import errors

if typing.TYPE_CHECKING:
  from serving.server import servables

WARMUP_REQUESTS = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MOST_RECORDS = 1000


def run(servable: "servables.Servable", iterations: int = 1) -> int:
  """Runs the recorded requests of a model and returns their number.

  Args:
    servable: The model.
    iterations: How often each of them is run.

  Raises:
    LoadError: A record cannot be read, or fails, or there are too many.
  """
  path = os.path.join(servable.path, WARMUP_REQUESTS)
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
    raise errors.LoadError(
      f"Version {servable.version} of model {servable.name} fails its warm-up "
      f"request {max(count, 1)} in {path}: {error.text}",
      error.code,
    ) from error
  return count


def _run(servable, log):
  kind = log.WhichOneof("log_type")
  if kind not in (None, "predict_log"):
    raise errors.unimplemented(f"Unsupported log_type for warmup: {kind}")
  if kind is not None:
    servable.answer(log.predict_log.request)
