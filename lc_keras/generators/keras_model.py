"""Generators that are Keras models or `.keras` files."""

import os
from collections.abc import Iterator, Mapping

import keras

from lc_keras.generators import part


def accepts(model) -> bool:
  """Says whether a model is of this kind."""
  return isinstance(model, keras.Layer)


def wrap(model: keras.Layer, direction: str) -> part.Part:
  """Returns a direction of a generator.

  Args:
    model: A Keras model or layer.
    direction: "decode" or "encode".

  Raises:
    ValueError: It has several inputs.
  """
  inputs = getattr(model, "inputs", None) or []
  if len(inputs) > 1:
    found = ", ".join(f"{one.name} [{part.dims(one.shape)}]" for one in inputs)
    raise ValueError(
      f"The model {model.name!r} has the inputs {found}: to {direction}, it "
      "can have only one."
    )
  names = getattr(model, "output_names", ())
  shape = tuple(inputs[0].shape[1:]) if inputs else None

  def run(rows):
    return part.named(model(rows, training=False), names)

  return part.Part(run, shape, {}, model)


def load(place: Mapping, folder: str, direction: str) -> part.Part:
  """Opens a `.keras` file, in Keras's safe mode: none of its code runs.

  Args:
    place: "path".
    folder: Where relative paths begin.
    direction: "decode" or "encode".

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It cannot be opened safely.
  """
  return wrap(_open(os.path.join(folder, place["path"])), direction)


def files_of(place: Mapping, folder: str) -> Iterator[tuple[str, str]]:
  """See `part.files_below`."""
  return part.files_below(os.path.join(folder, place["path"]))


def _open(path):
  if not os.path.isfile(path):
    raise FileNotFoundError(f"There is no file {path!r}.")
  try:
    return keras.models.load_model(path, compile=False, safe_mode=True)
  except (OSError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path!r} cannot be opened as a .keras file without running code of its "
      f"own: {error}\nIf it has layers of its own or lambdas, have its program "
      "write a SavedModel with model.export(path), and import that; or give "
      "the model itself, lc_keras.Generator(model)."
    ) from error
