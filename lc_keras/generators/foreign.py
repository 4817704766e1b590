"""Opens the files and functions that other programs' models come in.

What comes out is the same for all kinds: a function from a batch to named
outputs. SavedModels and Python functions are programs: opening one runs what
its author wrote. `.keras` files are opened in Keras's safe mode.
"""

import functools
import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

# What each direction of a model gives, by our names; the first it must give.
OUTPUTS = {
  "decode": ("images",),
  "encode": ("mean", "scale", "log_variance"),
}


class Part(NamedTuple):
  """One direction of a model.

  Attributes:
    run: A batch (tensor or array) to all outputs, by the model's own names.
    shape: Of one row of the input, None where it is open; None if unknown.
    names: What the spec may have left out: of a SavedModel "signature" and
      "input".
    resource: What `run` belongs to; must live as long as it does.
  """

  run: Callable[[Any], Mapping[str, Any]]
  shape: tuple[int | None, ...] | None
  names: Mapping[str, str]
  resource: object


def open_parts(spec: Mapping, folder: str) -> dict[str, Part]:
  """Opens every direction of a model.

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
  if spec["kind"] not in _KINDS:
    raise ValueError(
      f"Unknown kind of model {spec['kind']!r}: {', '.join(_KINDS)}."
    )
  load, find = _KINDS[spec["kind"]]
  load = functools.cache(load)  # Both directions may be in one file.
  opened = {}
  for direction in OUTPUTS:
    if part := spec[direction]:
      where = part.get("function") or os.path.join(folder, part["path"])
      opened[direction] = find(load(where), where, part, direction)
  return opened


def files_of(part: Mapping, folder: str) -> Iterator[tuple[str, str]]:
  """Yields the files of a direction, in order: a name within it, and a path.

  Args:
    part: What a spec says of the direction.
    folder: Where relative paths begin.

  Raises:
    FileNotFoundError: They are gone.
    ValueError: A function is gone.
  """
  if "function" in part:
    function = _load_function(part["function"])
    module = importlib.import_module(part["function"].partition(":")[0])
    yield "", inspect.getsourcefile(module) or inspect.getfile(function)
    return
  path = os.path.join(folder, part["path"])
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


def _load_saved_model(path):
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


def _find_signature(loaded, path, part, direction):
  """Returns the part of a SavedModel that a signature is."""
  listing = {}
  for name, function in loaded.signatures.items():
    inputs = ", ".join(described(function.structured_input_signature[1]))
    outputs = ", ".join(described(function.structured_outputs))
    listing[name] = f"{inputs} -> {outputs}"
  name = part.get("signature")
  if name is None and len(set(listing.values())) == 1:
    # One, or one under several names: a server, too, asks for this one then.
    name = "serving_default" if "serving_default" in listing else min(listing)
  if name not in listing:
    what = f"no signature {name!r}" if name else "several signatures"
    found = "".join(f"\n  {key}: {text}" for key, text in listing.items())
    raise ValueError(
      f"The SavedModel in {path!r} has {what}. Name one of these with "
      f"--{direction}_signature:{found}"
      if listing
      else f"The SavedModel in {path!r} has no signatures, so that nobody can "
      "say what to call. Export it again, with one for each function."
    )
  function = loaded.signatures[name]
  specs = function.structured_input_signature[1]
  what = f"The signature {name!r} of {path!r} is {listing[name]}: "
  if len(specs) != 1:
    raise ValueError(
      what + "there is nothing to feed more than one input with. Export one "
      "that takes latents alone, or images alone."
    )
  ((key, spec),) = specs.items()
  if part.get("input") not in (None, key):
    raise ValueError(
      what + f"it has no input {part['input']!r}. Correct --{direction}_input."
    )
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
  return Part(run, shape, {"signature": name, "input": key}, loaded)


def _load_keras(path):
  if not os.path.isfile(path):
    raise FileNotFoundError(f"There is no file {path!r}.")
  try:
    return keras.models.load_model(path, compile=False, safe_mode=True)
  except (OSError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path!r} cannot be opened as a .keras file without running code of its "
      f"own: {error}\nIf it has layers of its own or lambdas, have its program "
      "write a SavedModel with model.export(path), and import that."
    ) from error


def _find_call(model, path, part, direction):
  """Returns the part that calling a Keras model is."""
  del part
  inputs = getattr(model, "inputs", None) or []
  if len(inputs) > 1:
    found = ", ".join(f"{one.name} [{dims(one.shape)}]" for one in inputs)
    raise ValueError(
      f"The model in {path!r} has the inputs {found}: to {direction}, it can "
      "have only one."
    )
  names = getattr(model, "output_names", ())
  shape = tuple(inputs[0].shape[1:]) if inputs else None
  return Part(
    lambda rows: _named(model(rows, training=False), names), shape, {}, model
  )


def _load_function(name):
  module_name, _, function_name = name.partition(":")
  if not module_name or not function_name:
    raise ValueError(f"A function is given as module:function; got {name!r}.")
  try:
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as error:
    if not f"{module_name}.".startswith(f"{error.name}."):
      raise  # The module is there, and lacks something itself.
    raise ValueError(
      f"There is no module {module_name!r} to take {function_name!r} from. Run "
      "this in the folder that has it, or name that folder in PYTHONPATH."
    ) from error
  function = getattr(module, function_name, None)
  if not callable(function):
    found = [key for key, value in vars(module).items() if callable(value)]
    listing = ", ".join(key for key in found if not key.startswith("_"))
    raise ValueError(
      f"The module {module_name!r} has no function {function_name!r}; it has "
      f"{listing or 'none'}."
    )
  return function


def _find_function(function, name, part, direction):
  """Returns the part that a Python function is; it may take any shape."""
  del name, part
  return Part(
    lambda rows: _named(function(rows), OUTPUTS[direction]), None, {}, function
  )


_KINDS = {
  "saved_model": (_load_saved_model, _find_signature),
  "keras": (_load_keras, _find_call),
  "callable": (_load_function, _find_function),
}


def _named(outputs, names):
  """Returns the outputs of a model by name, whatever they came in."""
  if isinstance(outputs, Mapping):
    return dict(outputs)
  if not isinstance(outputs, (list, tuple)):
    outputs = [outputs]
  if len(names) < len(outputs):
    names = [str(number) for number in range(len(outputs))]
  return dict(zip(names, outputs))
