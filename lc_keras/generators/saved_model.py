"""Generators that are signatures of a SavedModel."""

import os
from collections.abc import Mapping

import tensorflow as tf

from lc_keras.generators import part


def accepts(model) -> bool:
  """Says whether a model is of this kind: a signature, or a loaded model."""
  return hasattr(model, "structured_input_signature") or (
    hasattr(model, "signatures") and (model.signatures or not callable(model))
  )


def opens(path: str) -> bool:
  """Says whether a folder is of this kind."""
  return os.path.isdir(path) and tf.saved_model.contains_saved_model(path)


def load(path: str, place: Mapping):
  """Opens a SavedModel, which is a program.

  Args:
    path: Path of the folder.
    place: "tags", a list, if it has graphs for several uses.

  Raises:
    ValueError: It is damaged, or has no graph of these tags; the message lists
      those that it has.
  """
  try:
    return tf.saved_model.load(path, tags=place.get("tags"))
  except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
    if "MetaGraph" in str(error):
      raise ValueError(
        f"The SavedModel in {path!r} has graphs for several uses. Name the "
        f"tags of one, --tags=serve (--tags= for a set without): {error}"
      ) from error
    raise ValueError(
      f"The SavedModel in {path!r} cannot be loaded by TensorFlow "
      f"{tf.__version__}: {error}"
    ) from error


def wrap(model, direction: str, place: Mapping) -> part.Part:
  """Returns a direction of a generator.

  Args:
    model: `tf.saved_model.load(path)`, or one of its signatures.
    direction: "decode" or "encode".
    place: "signature", if there are several.

  Raises:
    ValueError: There is no such signature; the message lists all.
  """
  names = {}
  function = model
  if hasattr(model, "signatures"):
    name = _choose(model.signatures, place, direction)
    function, names = model.signatures[name], {"signature": name}
  positional, keywords = function.structured_input_signature
  inputs = {spec.name: spec for spec in tf.nest.flatten(positional)}
  inputs |= keywords

  def run(rows, **held):
    fed = part.feed(inputs, rows, held)
    # Unlike signatures of a SavedModel, functions may take arguments in order.
    fed = {name: tf.convert_to_tensor(value) for name, value in fed.items()}
    ordered = [fed.pop(name) for name in [*fed] if name not in keywords]
    return function(*ordered, **fed)

  return part.Part(run, inputs, names=names, resource=model)


def _choose(signatures, place, direction):
  """Returns the name of the signature to call."""
  name, model = place.get("signature"), "SavedModel"
  if "path" in place:
    model += f" in {place['path']!r}"
  listing = {key: _listing(value) for key, value in signatures.items()}
  if name is None and direction in listing:
    return direction
  if name is None and len(set(listing.values())) == 1:
    # One signature, perhaps under several names; a server takes this one, too.
    return "serving_default" if "serving_default" in listing else min(listing)
  if name in listing:
    return name
  if not listing:
    raise ValueError(
      f"The {model} has no signatures, and one is needed to {direction}. "
      "Export it again, with a signature for each function."
    )
  what = f"no signature {name!r}" if name else "several signatures"
  found = "".join(f"\n  {key}: {text}" for key, text in listing.items())
  raise ValueError(
    f"To {direction}, the {model} has {what}. Name one of these with "
    f"--{direction}_signature, or give loaded.signatures[name]:{found}"
  )


def _listing(function):
  inputs = ", ".join(part.described(function.structured_input_signature[1]))
  outputs = ", ".join(part.described(function.structured_outputs))
  return f"{inputs} -> {outputs}"
