"""The kinds of models that a generator can be made of.

A kind is a module with four functions: `accepts(model)`, `wrap(model,
direction)`, `load(place, folder, direction)` and `files_of(place, folder)`. A
new one is such a module and a line in this table; of a model that several
accept, the first one takes it.
"""

import types
from collections.abc import Iterator, Mapping

from lc_keras.generators import function
from lc_keras.generators import keras_model
from lc_keras.generators import part
from lc_keras.generators import saved_model

KINDS: dict[str, types.ModuleType] = {
  "saved_model": saved_model,
  "keras": keras_model,
  "callable": function,
}


def wrap(model, direction: str) -> part.Part:
  """Returns a direction of a generator.

  Args:
    model: What `KINDS` accept.
    direction: "decode" or "encode".

  Raises:
    TypeError: No kind accepts it.
  """
  for kind in KINDS.values():
    if kind.accepts(model):
      return kind.wrap(model, direction)
  hint = ""
  if hasattr(model, "signatures"):
    hint = f" Give one of its signatures: {', '.join(model.signatures)}."
  raise TypeError(
    f"To {direction}, a Keras model, a signature of a SavedModel or a function "
    f"is needed; got {type(model).__name__}.{hint}"
  )


def load(spec: Mapping, folder: str) -> dict[str, part.Part]:
  """Opens every direction of a model in files.

  Args:
    spec: See `importing.draft`.
    folder: Where relative paths begin.

  Returns:
    "decode" and, if the model has it, "encode".

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It is no model of this kind, or has not what the spec names;
      the message lists what it has.
  """
  kind = _kind(spec)
  return {
    direction: kind.load(spec[direction], folder, direction)
    for direction in part.OUTPUTS
    if spec[direction]
  }


def files_of(spec: Mapping, folder: str) -> Iterator[tuple[str, str]]:
  """Yields the files of a model, in order: a name within it, and a path.

  Args:
    spec: See `importing.draft`.
    folder: Where relative paths begin.

  Raises:
    FileNotFoundError: They are gone.
    ValueError: A function is gone.
  """
  for direction in part.OUTPUTS:
    if place := spec[direction]:
      for name, path in _kind(spec).files_of(place, folder):
        yield f"{direction}/{name}", path


def _kind(spec):
  if spec["kind"] not in KINDS:
    raise ValueError(
      f"Unknown kind of model {spec['kind']!r}: {', '.join(KINDS)}."
    )
  return KINDS[spec["kind"]]
