"""One direction of a frozen model: decoder, encoder or mapping, of any kind."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras.constraints import functions

# Outputs of each direction of a model, by our names; the first is required.
OUTPUTS = {
  "decode": ("images",),
  "encode": ("mean", "scale", "log_variance"),
  "map": ("latents",),
}


class Part(NamedTuple):
  """A decoder, an encoder or a mapping, wrapped by its kind.

  Attributes:
    run: Maps a batch, and other inputs by name, to outputs in any form that
      `named` takes. Tensors are passed as tensors, arrays as arrays.
    inputs: Specs of the inputs by name, in order, batch included; a spec is
      None if only the name is known. None if nothing is known.
    outputs: Names of the outputs, in order, for outputs without names.
    on_arrays: Whether it runs outside of TensorFlow, on arrays only.
    names: Additions to its place, such as the "signature" that was chosen.
    resource: The object that `run` uses; must live as long as `run` does.
  """

  run: Callable[..., Any]
  inputs: Mapping[str, tf.TensorSpec | None] | None = None
  outputs: tuple[str, ...] = ()
  on_arrays: bool = False
  names: Mapping[str, str] = {}
  resource: object = None


def named(outputs, names: Sequence[str] = ()) -> dict[str, Any]:
  """Returns the outputs of a model by name, from any form of output.

  Args:
    outputs: A dictionary, a list, a tuple, a single value, or a distribution:
      of TensorFlow Probability, of PyTorch, of diffusers.
    names: Names of the outputs, if these have none.
  """
  if isinstance(outputs, Mapping):
    if len(outputs) != 1:
      # A signature returns "output_0" and so on in any order.
      return dict(sorted(outputs.items()))
    # Such as a result of diffusers: {"latent_dist": ...}.
    ((name, value),) = outputs.items()
    return named(value, [name])
  for spread in ("stddev", "std"):
    if hasattr(outputs, "mean") and not _is_tensor(outputs):
      if hasattr(outputs, spread):
        scale = getattr(outputs, spread)
        return {"mean": _called(outputs.mean), "scale": _called(scale)}
  if not isinstance(outputs, (list, tuple)):
    outputs = [outputs]
  if len(names) < len(outputs):
    names = [str(number) for number in range(len(outputs))]
  return dict(zip(names, outputs))


def _is_tensor(value):
  return hasattr(value, "dtype") and hasattr(value, "shape")


def _called(value):
  # A method in TensorFlow Probability, an attribute in PyTorch.
  return value if _is_tensor(value) else value()


def array(value) -> np.ndarray:
  """Returns a tensor of any library as an array, without its gradient.

  Raises:
    TypeError: The value cannot be read as numbers.
  """
  try:
    return functions.as_array(value)
  except Exception as error:
    raise TypeError(
      f"an output, a {type(value).__name__}, cannot be read as numbers: {error}"
    ) from error


def feed(inputs: Mapping[str, tf.TensorSpec], rows, held: Mapping) -> dict:
  """Returns all inputs of a model by name, in order, cast to their types.

  Args:
    inputs: See `Part`.
    rows: Values of the only input that is not held.
    held: Values of the others.
  """
  return {
    name: held[name] if name in held else cast(rows, spec.dtype)
    for name, spec in inputs.items()
  }


def cast(values, dtype: tf.DType):
  """Casts numbers to a model's type; rounds them for an integer type."""
  if tf.is_tensor(values):
    values = tf.round(values) if dtype.is_integer else values
    return tf.cast(values, dtype)
  values = np.round(values) if dtype.is_integer else values
  return np.asarray(values).astype(dtype.as_numpy_dtype)


def parameters(function: Callable) -> dict[str, None] | None:
  """Returns the required parameters of a Python function; None if unknown.

  If none is required, as in `sample(eps=None)`, returns the first.
  """
  try:
    signature = inspect.signature(function)
  except (TypeError, ValueError):
    return None
  kinds = inspect.Parameter
  if any(p.kind == kinds.VAR_POSITIONAL for p in signature.parameters.values()):
    return None
  found = {
    name: one
    for name, one in signature.parameters.items()
    if one.kind != kinds.VAR_KEYWORD
  }
  needed = [name for name, one in found.items() if one.default is kinds.empty]
  return dict.fromkeys(needed or list(found)[:1])


def described(tensors: Mapping[str, Any]) -> list[str]:
  """Describes each tensor, such as "pixels float32 [?, 28, 28, 1]".

  Args:
    tensors: Tensors, arrays or specs by name; None for unknown ones.
  """
  return [
    name
    if value is None
    else f"{name} {tf.as_dtype(value.dtype).name} [{dims(value.shape)}]"
    for name, value in tensors.items()
  ]


def listing(tensors: Mapping[str, Any]) -> str:
  """Returns `described` as lines of an error message."""
  return "".join(f"\n  {text}" for text in described(tensors))


def dims(shape) -> str:
  """Returns the sizes of a shape as text, "?" for unknown ones."""
  if getattr(shape, "rank", 0) is None:
    return "..."
  return ", ".join("?" if size is None else str(size) for size in shape)


def files_below(path: str) -> Iterator[tuple[str, str]]:
  """Yields the files of a model in order, as (name within it, path).

  Args:
    path: A file or a folder.

  Raises:
    FileNotFoundError: The file or folder is gone.
  """
  if os.path.isfile(path):
    yield "", path
  elif not os.path.isdir(path):
    raise FileNotFoundError(
      f"The generator {path!r} is gone. Put it back, or import it from where "
      "it is now, into another --run_dir."
    )
  for place, folders, names in os.walk(path):
    folders.sort()
    for name in sorted(names):
      inner = os.path.join(place, name)
      yield os.path.relpath(inner, path), inner
