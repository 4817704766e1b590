"""Generators that are signatures of a SavedModel."""

import os
from collections.abc import Iterator, Mapping

import tensorflow as tf

from lc_keras.generators import part


def accepts(model) -> bool:
  """Says whether a model is of this kind."""
  return hasattr(model, "structured_input_signature")


def wrap(function, direction: str) -> part.Part:
  """Returns a direction of a generator.

  Args:
    function: A signature, `tf.saved_model.load(path).signatures[name]`.
    direction: "decode" or "encode".

  Raises:
    ValueError: It takes something else than one batch of any length.
  """
  specs = function.structured_input_signature[1]
  what = f"The signature is {_listing(function)}: "
  if len(specs) != 1:
    raise ValueError(
      what + "there is nothing to feed more than one input with. Export one "
      "that takes latents alone, or images alone."
    )
  ((key, spec),) = specs.items()
  rank = spec.shape.rank
  if rank is not None and (rank < 2 or spec.shape[0] is not None):
    raise ValueError(
      what + "the first dimension of its input must be the batch, of any "
      "length. Export it with None there."
    )
  # Pixels may be whole numbers, latents not.
  if not (
    spec.dtype.is_floating or (direction == "encode" and spec.dtype.is_integer)
  ):
    raise ValueError(
      what
      + f"to {direction}, it must take numbers of a floating type. Is this "
      "the right signature?"
    )

  def run(rows):
    rows = tf.round(rows) if spec.dtype.is_integer else rows
    return function(**{key: tf.cast(rows, spec.dtype)})

  shape = None if rank is None else tuple(spec.shape[1:])
  return part.Part(run, shape, {"input": key}, function)


def load(place: Mapping, folder: str, direction: str) -> part.Part:
  """Opens a SavedModel, which is a program.

  Args:
    place: "path" and, where there are several, "signature"; perhaps "input".
    folder: Where relative paths begin.
    direction: "decode" or "encode".

  Raises:
    FileNotFoundError: There is no such SavedModel.
    ValueError: It has no such signature or input; the message lists what it
      has.
  """
  path = os.path.join(folder, place["path"])
  loaded = _open(path)
  name = _choose(loaded.signatures, path, place.get("signature"), direction)
  opened = wrap(loaded.signatures[name], direction)
  if place.get("input") not in (None, opened.names["input"]):
    raise ValueError(
      f"The signature {name!r} of {path!r} is "
      f"{_listing(loaded.signatures[name])}: it has no input "
      f"{place['input']!r}. Correct --{direction}_input."
    )
  names = {"signature": name, **opened.names}
  return opened._replace(names=names, resource=loaded)


def files_of(place: Mapping, folder: str) -> Iterator[tuple[str, str]]:
  """See `part.files_below`."""
  return part.files_below(os.path.join(folder, place["path"]))


def _open(path):
  if not tf.saved_model.contains_saved_model(path):
    raise FileNotFoundError(
      f"There is no SavedModel in {path!r}: it is a folder that holds "
      "saved_model.pb. Of one with versions, name the version's folder."
    )
  try:
    return tf.saved_model.load(path)
  except (OSError, ValueError, tf.errors.OpError) as error:
    raise ValueError(
      f"The SavedModel in {path!r} cannot be loaded by TensorFlow "
      f"{tf.__version__}: {error}"
    ) from error


def _choose(signatures, path, name, direction):
  """Returns the name of the signature to call."""
  listing = {key: _listing(value) for key, value in signatures.items()}
  if name is None and len(set(listing.values())) == 1:
    # One, or one under several names: a server, too, asks for this one then.
    return "serving_default" if "serving_default" in listing else min(listing)
  if name in listing:
    return name
  if not listing:
    raise ValueError(
      f"The SavedModel in {path!r} has no signatures, so that nobody can say "
      "what to call. Export it again, with one for each function."
    )
  what = f"no signature {name!r}" if name else "several signatures"
  found = "".join(f"\n  {key}: {text}" for key, text in listing.items())
  raise ValueError(
    f"The SavedModel in {path!r} has {what}. Name one of these with "
    f"--{direction}_signature:{found}"
  )


def _listing(function):
  inputs = ", ".join(part.described(function.structured_input_signature[1]))
  outputs = ", ".join(part.described(function.structured_outputs))
  return f"{inputs} -> {outputs}"
