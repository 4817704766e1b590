"""Generators that are ONNX files, run by ONNX Runtime on arrays."""

import os
from collections.abc import Iterator, Mapping

import tensorflow as tf

from lc_keras.generators import part

_TYPES = {"float": "float32", "double": "float64"}


def accepts(model) -> bool:
  """Says whether a model is of this kind: a session, or a model of `onnx`."""
  return hasattr(model, "get_inputs") or hasattr(model, "SerializeToString")


def opens(path: str) -> bool:
  """Says whether a file is of this kind."""
  return os.path.isfile(path) and path.endswith(".onnx")


def load(path: str, place: Mapping):
  """Opens a file; runs no code that it holds.

  Raises:
    ValueError: ONNX Runtime is not installed, or cannot open it.
  """
  del place
  return _session(path, repr(path))


def wrap(model, direction: str, place: Mapping) -> part.Part:
  """Returns a direction of a generator.

  Args:
    model: An `onnxruntime.InferenceSession`, or an `onnx.ModelProto`.
    direction: Not used.
    place: Not used.
  """
  del direction, place
  if not hasattr(model, "get_inputs"):
    model = _session(model.SerializeToString(), "The model")
  inputs = {
    one.name: tf.TensorSpec(
      # An open size is a name, or None.
      [size if isinstance(size, int) else None for size in one.shape],
      _dtype(one.type),
      one.name,
    )
    for one in model.get_inputs()
  }

  def run(rows, **held):
    return model.run(None, part.feed(inputs, rows, held))

  names = tuple(one.name for one in model.get_outputs())
  return part.Part(run, inputs, names, on_arrays=True, resource=model)


def files_of(path: str) -> Iterator[tuple[str, str]]:
  """Yields the file, and those beside it that hold its weights."""
  yield from part.files_below(path)
  folder, name = os.path.split(path)
  for other in sorted(os.listdir(folder or ".")):
    if other.startswith(name) and other != name:
      yield other, os.path.join(folder, other)


def _session(model, name):
  try:
    import onnxruntime
  except ImportError as error:
    raise ValueError(
      f"{name} is an ONNX model, and ONNX Runtime is not installed: pip "
      "install onnxruntime"
    ) from error
  try:
    return onnxruntime.InferenceSession(
      model, providers=onnxruntime.get_available_providers()
    )
  except Exception as error:
    raise ValueError(
      f"{name} cannot be opened by ONNX Runtime {onnxruntime.__version__}: "
      f"{error}"
    ) from error


def _dtype(kind):
  """Returns the type that ONNX calls "tensor(float)" and so on."""
  name = kind.removeprefix("tensor(").removesuffix(")")
  return tf.as_dtype(_TYPES.get(name, name))
