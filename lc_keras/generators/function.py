"""Generators that are Python functions, of tensors or of arrays."""

import sys
from collections.abc import Callable, Mapping

import tensorflow as tf

from lc_keras import imports
from lc_keras.generators import part


def accepts(model) -> bool:
  """Says whether a model is of this kind."""
  return callable(model)


def opens(path: str) -> bool:
  """Says whether a file is of this kind: a function has no file."""
  del path
  return False


def load(path: str, place: Mapping) -> Callable:
  """Imports a function, which runs the code of its module.

  Args:
    path: Not used.
    place: "function", as "module:function".

  Raises:
    ValueError: There is no such function.
  """
  del path
  found = imports.function(place["function"])
  if not callable(found):
    raise ValueError(
      f"{place['function']} is of type {type(found).__name__}, and no function."
    )
  return found


def wrap(model: Callable, direction: str, place: Mapping) -> part.Part:
  """Returns a direction of a generator; a function may take any shape.

  Args:
    model: A function of one batch that returns tensors or arrays, or a
      `tf.function`. A function of PyTorch's tensors runs without gradients.
    direction: "decode" or "encode".
    place: Not used.
  """
  del direction, place
  inputs = part.parameters(model)
  specs = getattr(model, "input_signature", None)  # Of a tf.function.
  if inputs and specs and len(specs) == len(inputs):
    inputs = dict(zip(inputs, specs))
    return part.Part(
      lambda rows, **held: model(*part.feed(inputs, rows, held).values()),
      inputs,
      resource=model,
    )
  takes_torch = False

  def run(rows, **held):
    nonlocal takes_torch
    if takes_torch:
      return _without_gradients(model, rows, held)
    try:
      return _call(model, inputs, rows, held)
    except Exception as error:
      # Functions of PyTorch, for example, take no arrays.
      if tf.is_tensor(rows) or "torch" not in sys.modules:
        raise
      try:
        found = _without_gradients(model, rows, held)
      except Exception:
        raise error from None
      takes_torch = True
      return found

  return part.Part(run, inputs, resource=model)


def _call(model, inputs, rows, held):
  free = [name for name in inputs or () if name not in held]
  if held and free and free[0] != next(iter(inputs)):
    # A held input precedes the latents.
    return model(**{free[0]: rows}, **held)
  return model(rows, **held)


def _without_gradients(model, rows, held):
  torch = sys.modules["torch"]
  with torch.no_grad():
    return model(torch.as_tensor(rows), **held)
