"""One direction of a frozen model: a decoder or an encoder, of any kind."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

# What each direction of a model gives, by our names; the first it must give.
OUTPUTS = {
  "decode": ("images",),
  "encode": ("mean", "scale", "log_variance"),
}


class Part(NamedTuple):
  """A decoder or an encoder.

  Attributes:
    run: A batch (tensor or array) to all outputs, by the model's own names;
      outputs without names are called "0", "1", ...
    shape: Of one row of the input, None where it is open; None if unknown.
    names: What was left out of its description: of a SavedModel "signature"
      and "input".
    resource: What `run` belongs to; must live as long as it does.
  """

  run: Callable[[Any], Mapping[str, Any]]
  shape: tuple[int | None, ...] | None
  names: Mapping[str, str]
  resource: object


def named(outputs, names: Sequence[str] = ()) -> dict[str, Any]:
  """Returns the outputs of a model by name, whatever they came in.

  Args:
    outputs: A dictionary, a list, a tuple, a single value, or a distribution
      with `mean()` and `stddev()`.
    names: Of the outputs, where these have none.
  """
  if isinstance(outputs, Mapping):
    return dict(outputs)
  if hasattr(outputs, "stddev"):
    return {"mean": outputs.mean(), "scale": outputs.stddev()}
  if not isinstance(outputs, (list, tuple)):
    outputs = [outputs]
  if len(names) < len(outputs):
    names = [str(number) for number in range(len(outputs))]
  return dict(zip(names, outputs))


def described(tensors: Mapping[str, Any]) -> list[str]:
  """Returns names, types and shapes, "pixels float32 [?, 28, 28, 1]" each.

  Args:
    tensors: Tensors, arrays or specs by name.
  """
  return [
    f"{name} {tf.as_dtype(value.dtype).name} [{dims(value.shape)}]"
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
