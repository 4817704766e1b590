"""Generators that are Python functions, of tensors or of arrays."""

import inspect
from collections.abc import Callable, Iterator, Mapping

from lc_keras import imports
from lc_keras.generators import part


def accepts(model) -> bool:
  """Says whether a model is of this kind."""
  return callable(model)


def wrap(model: Callable, direction: str) -> part.Part:
  """Returns a direction of a generator; a function may take any shape.

  Args:
    model: A function of one batch, to tensors or arrays; a `tf.function`.
    direction: "decode" or "encode".
  """
  del direction
  return part.Part(lambda rows: part.named(model(rows)), None, {}, model)


def load(place: Mapping, folder: str, direction: str) -> part.Part:
  """Imports a function, which runs the code of its module.

  Args:
    place: "function", as "module:function".
    folder: Not used.
    direction: "decode" or "encode".

  Raises:
    ValueError: There is no such function.
  """
  del folder
  return wrap(_function(place["function"]), direction)


def files_of(place: Mapping, folder: str) -> Iterator[tuple[str, str]]:
  """Yields the file of the function's module."""
  del folder
  function = _function(place["function"])
  module = inspect.getmodule(function)
  yield "", imports.file_of(function) or inspect.getsourcefile(module)


def _function(address):
  found = imports.function(address)
  if not callable(found):
    raise ValueError(
      f"{address} is of type {type(found).__name__}, and no function."
    )
  return found
