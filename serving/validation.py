"""Checks that a server can serve an export, and compares its answers.

An export contains warm-up requests, in the file that TensorFlow Serving reads,
and recorded answers of Python. Validation runs the requests as a server does,
and compares the answers.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving import server
from serving import tensors

ANSWERS = os.path.join("assets.extra", "recorded_answers.npz")
_ROWS = 2
# Rounding differences grow over the many steps of a search.
_TOLERANCE = 0.02
_PATIENCE = 600.0


class ValidationError(ValueError):
  """A SavedModel that should not be served."""


def record(
  folder: str,
  endpoints: Mapping[str, tuple[Callable, Sequence[tf.TensorSpec]]],
  with_answers: bool = True,
) -> None:
  """Writes a request to each endpoint, and its answer, beside a SavedModel.

  Args:
    folder: Folder of the SavedModel.
    endpoints: By name of the signature, the function and its inputs.
    with_answers: Whether to write answers, for which all endpoints run once.
  """
  os.makedirs(os.path.join(folder, os.path.dirname(ANSWERS)), exist_ok=True)
  answers = {}
  path = os.path.join(folder, server.WARMUP_REQUESTS)
  with tf.io.TFRecordWriter(path) as writer:
    for name, (function, specs) in endpoints.items():
      inputs = {spec.name: _input(spec) for spec in specs}
      answer = function(**inputs) if with_answers else {}
      for key, value in answer.items():
        if value.dtype != tf.string:  # numpy would have to pickle strings.
          answers[f"{name}/{key}"] = value.numpy()
      log = prediction_log_pb2.PredictionLog()
      request = log.predict_log.request
      request.model_spec.signature_name = name
      for key, value in inputs.items():
        request.inputs[key].CopyFrom(tensors.to_proto(value.numpy()))
      writer.write(log.SerializeToString())
  if with_answers:
    np.savez(os.path.join(folder, ANSWERS), **answers)


def check(folder: str) -> int:
  """Loads a SavedModel and compares its answers with the recorded ones.

  Args:
    folder: Folder of the SavedModel. Without recorded answers, warm-up
      requests, if any, only have to succeed.

  Returns:
    The number of answers that were compared.

  Raises:
    ValidationError: The model cannot be loaded, a request fails, or an answer
      differs from that of Python.
  """
  compared = 0
  try:
    servable = server.load(folder, "candidate")
    try:
      for _ in servable.warming():
        pass
      for request, answers in _recorded(folder):
        outputs = servable.answer(request)
        for name, answer in answers.items():
          signature = request.model_spec.signature_name
          _compare(f"{signature}/{name}", outputs.get(name), answer)
          compared += 1
    finally:
      servable.close()
  except (server.LoadError, server.ServingError) as error:
    raise ValidationError(str(error)) from error
  return compared


def check_apart(folder: str) -> None:
  """Runs `check` in a fresh process, which a broken model may crash.

  Raises:
    ValidationError: See `check`; or the process crashed, or took too long.
  """
  try:
    finished = subprocess.run(
      [sys.executable, "-m", "serving.check", folder],
      capture_output=True,
      text=True,
      timeout=_PATIENCE,
    )
  except subprocess.TimeoutExpired as error:
    raise ValidationError(
      f"{folder} was not loaded and run within {_PATIENCE:.0f} s."
    ) from error
  if finished.returncode:
    lines = finished.stderr.strip().splitlines() or ["it said nothing"]
    raise ValidationError(
      f"A fresh process could not load and run {folder}: "
      f"{lines[-1].removeprefix('Error: ')}"
    )


def _input(spec):
  """Returns a valid input for any model: two rows, one attribute."""
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
  elif spec.name == "image_bytes":
    pixels = random.integers(256, size=[_ROWS, 64, 64, 3], dtype=np.uint8)
    value = tf.io.encode_png(pixels)
  else:  # Weights and strengths, which are usually 1.
    value = np.ones(shape)
  return tf.constant(value, spec.dtype)


def _recorded(
  folder: str,
) -> Iterator[tuple[predict_pb2.PredictRequest, dict[str, np.ndarray]]]:
  """Yields the requests of an export, with their answers by output."""
  path = os.path.join(folder, ANSWERS)
  if not os.path.exists(path):
    return
  with np.load(path, allow_pickle=False) as archive:
    answers = dict(archive)
  records = tf.data.TFRecordDataset(
    os.path.join(folder, server.WARMUP_REQUESTS)
  )
  for record in records.as_numpy_iterator():
    log = prediction_log_pb2.PredictionLog.FromString(record)
    request = log.predict_log.request
    prefix = f"{request.model_spec.signature_name}/"
    yield (
      request,
      {
        key.removeprefix(prefix): value
        for key, value in answers.items()
        if key.startswith(prefix)
      },
    )


def _compare(name, output, answer):
  if output is None or output.shape != answer.shape:
    raise ValidationError(
      f"{name} should have shape {answer.shape}, and has "
      f"{None if output is None else output.shape}."
    )
  if not np.issubdtype(answer.dtype, np.floating):
    return  # Numbers of steps, and comparisons with a threshold, may differ.
  away = np.abs(output - answer) > _TOLERANCE * (1.0 + np.abs(answer))
  away |= np.isnan(output) != np.isnan(answer)
  if away.any():
    raise ValidationError(
      f"{name} is not the answer of Python: {away.sum()} of {away.size} "
      f"numbers are further away than {_TOLERANCE}."
    )
