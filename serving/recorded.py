"""Requests that come with an export, and what Python answered to them.

The requests are where TensorFlow Serving looks for warm-up requests, so that it
runs them before it serves a version; the answers are beside them, so that
whoever validates an export can tell whether it still does what Python did.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving.server import tensors
from serving.server import warmup

ANSWERS = os.path.join("assets.extra", "recorded_answers.npz")
_ROWS = 2

Function = Callable[..., Mapping[str, tf.Tensor]]


def write(
  folder: str,
  endpoints: Mapping[str, tuple[Function, Sequence[tf.TensorSpec]]],
) -> None:
  """Asks every endpoint something, and keeps it with what it answered.

  Args:
    folder: Of the SavedModel.
    endpoints: By name of the signature, what computes it and its inputs.
  """
  os.makedirs(os.path.join(folder, os.path.dirname(ANSWERS)), exist_ok=True)
  answers = {}
  with tf.io.TFRecordWriter(os.path.join(folder, warmup.REQUESTS)) as writer:
    for name, (function, specs) in endpoints.items():
      inputs = {spec.name: _input(spec) for spec in specs}
      for key, value in function(**inputs).items():
        answers[f"{name}/{key}"] = value.numpy()
      log = prediction_log_pb2.PredictionLog()
      request = log.predict_log.request
      request.model_spec.signature_name = name
      for key, value in inputs.items():
        request.inputs[key].CopyFrom(tensors.to_proto(value.numpy()))
      writer.write(log.SerializeToString())
  # Strings are left out: numpy would have to pickle them.
  kept = {key: v for key, v in answers.items() if v.dtype != np.object_}
  np.savez(os.path.join(folder, ANSWERS), **kept)


def read(
  folder: str,
) -> Iterator[tuple[predict_pb2.PredictRequest, dict[str, np.ndarray]]]:
  """Yields the requests of a SavedModel, and the answers by output.

  None of a model that was not exported by us. The answers are those that are
  no strings.
  """
  path = os.path.join(folder, ANSWERS)
  if not os.path.exists(path):
    return
  with np.load(path, allow_pickle=False) as archive:
    answers = {key: archive[key] for key in archive.files}
  records = tf.data.TFRecordDataset(os.path.join(folder, warmup.REQUESTS))
  for record in records.as_numpy_iterator():
    log = prediction_log_pb2.PredictionLog.FromString(record)
    request = log.predict_log.request
    start = f"{request.model_spec.signature_name}/"
    yield (
      request,
      {
        key.removeprefix(start): value
        for key, value in answers.items()
        if key.startswith(start)
      },
    )


def _input(spec):
  """Returns what can be asked: two rows, of one attribute, on and off."""
  random = np.random.default_rng(0)
  shape = [_ROWS, *spec.shape[1:]]
  if spec.name == "images":
    value = random.uniform(size=shape)
  elif spec.name == "latents":
    value = random.normal(size=shape)
  elif spec.name in ("attributes", "mask"):
    value = np.zeros(shape)
    value[: 1 if spec.name == "attributes" else _ROWS, 0] = 1.0
  elif spec.name in ("seed", "row"):
    value = np.arange(_ROWS)
  else:  # Weights and strengths, which are 1 in general.
    value = np.ones(shape)
  return tf.constant(value, spec.dtype)
