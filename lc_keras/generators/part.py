"""One direction of a frozen model: decoder, encoder or mapping, of any kind."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras.constraints import functions

# What each direction of a model gives, by our names; the first it must give.
OUTPUTS = {
  "decode": ("images",),
  "encode": ("mean", "scale", "log_variance"),
  "map": ("latents",),
}


class Part(NamedTuple):
  """A decoder, an encoder or a mapping, as its kind knows it.

  Attributes:
    run: A batch, and other inputs by name, to outputs in any form that `named`
      takes. Tensors come in as tensors, arrays as arrays.
    inputs: What it takes, by name and in order, batch included; None for an
      input of which only the name is known. None if nothing is known.
    outputs: Names of the outputs, in order, if they come without.
    on_arrays: Whether it runs outside of TensorFlow, on arrays only.
    names: What was left out of its description, such as a "signature".
    resource: What `run` belongs to; must live as long as it does.
  """

  run: Callable[..., Any]
  inputs: Mapping[str, tf.TensorSpec | None] | None = None
  outputs: tuple[str, ...] = ()
  on_arrays: bool = False
  names: Mapping[str, str] = {}
  resource: object = None


def named(outputs, names: Sequence[str] = ()) -> dict[str, Any]:
  """Returns the outputs of a model by name, whatever they came in.

  Args:
    outputs: A dictionary, a list, a tuple, a single value, or a distribution:
      of TensorFlow Probability, of PyTorch, of diffusers.
    names: Of the outputs, where these have none.
  """
  if isinstance(outputs, Mapping):
    if len(outputs) != 1:
      # Those of a signature, "output_0" and so on, come in any order.
      return dict(sorted(outputs.items()))
    # As the results of diffusers: {"latent_dist": ...}.
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
  # A method of TensorFlow Probability, an attribute of PyTorch.
  return value if _is_tensor(value) else value()


def array(value) -> np.ndarray:
  """Returns a tensor of any library as an array, without its gradient.

  Raises:
    TypeError: It cannot be read as numbers.
  """
  try:
    return functions.as_array(value)
  except Exception as error:
    raise TypeError(
      f"what it returns, a {type(value).__name__}, cannot be read as numbers: "
      f"{error}"
    ) from error


def feed(inputs: Mapping[str, tf.TensorSpec], rows, held: Mapping) -> dict:
  """Returns all inputs of a model by name, in order and of their types.

  Args:
    inputs: See `Part`.
    rows: For the only one of them that is not held.
    held: The others.
  """
  return {
    name: held[name] if name in held else cast(rows, spec.dtype)
    for name, spec in inputs.items()
  }


def cast(values, dtype: tf.DType):
  """Returns numbers as the type that a model takes, whole ones rounded."""
  if tf.is_tensor(values):
    values = tf.round(values) if dtype.is_integer else values
    return tf.cast(values, dtype)
  values = np.round(values) if dtype.is_integer else values
  return np.asarray(values).astype(dtype.as_numpy_dtype)


def parameters(function: Callable) -> dict[str, None] | None:
  """Returns the names that a Python function must be given; None if unknown.

  Of one that must be given nothing, `sample(eps=None)`, it is the first.
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
  """Returns names, types and shapes, "pixels float32 [?, 28, 28, 1]" each.

  Args:
    tensors: Tensors, arrays or specs by name; None for what is not known.
  """
  return [
    name
    if value is None
    else f"{name} {tf.as_dtype(value.dtype).name} [{dims(value.shape)}]"
    for name, value in tensors.items()
  ]


def dims(shape) -> str:
  """Returns the sizes of a shape, "?" for what is open."""
  if getattr(shape, "rank", 0) is None:
    return "..."
  return ", ".join("?" if size is None else str(size) for size in shape)


def files_below(path: str) -> Iterator[tuple[str, str]]:
  """Yields the files of a model, in order: a name within it, and a path.

  Args:
    path: A file or a folder.

  Raises:
    FileNotFoundError: It is gone.
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
