"""The kinds of models that a generator can be made of.

A kind is a module with four functions: `accepts(model)`, `opens(path)`,
`load(path, place)` and `wrap(model, direction, place)`, and optionally
`files_of(path)`, if its files are not just those below a path. A new kind is
such a module and a line in this table. If several kinds accept a model, the
first one wraps it.

A place is a dictionary that says where a decoder or an encoder is: "path" or
"function"; "part" of a model that has both; and options of its kind, see
`specs.draft`.
"""

import inspect
import os
import types
from collections.abc import Iterator, Mapping

from lc_keras import imports
from lc_keras.generators import autoencoders
from lc_keras.generators import function
from lc_keras.generators import keras_2
from lc_keras.generators import keras_model
from lc_keras.generators import onnx
from lc_keras.generators import part
from lc_keras.generators import samples
from lc_keras.generators import saved_model
from lc_keras.generators import torch_module

KINDS: dict[str, types.ModuleType] = {
  "saved_model": saved_model,
  "keras": keras_model,
  "keras_2": keras_2,
  "onnx": onnx,
  "torch": torch_module,
  "samples": samples,
  "callable": function,
}
_TAKEN = (
  "a Keras model, a SavedModel or one of its signatures, a PyTorch module, an "
  "ONNX model, or a function"
)
# Contents of files that hold no model, by extension.
_WEIGHTS = "weights only, and no model"
_CONTENTS = {
  ".weights.h5": _WEIGHTS,
  ".h5": _WEIGHTS,
  ".hdf5": _WEIGHTS,
  ".index": f"a checkpoint of TensorFlow: {_WEIGHTS}",
  ".ckpt": f"a checkpoint: {_WEIGHTS}",
  ".safetensors": _WEIGHTS,
  ".pth": f"a file of torch.save: {_WEIGHTS}, or a pickled module",
  ".pt": f"a file of torch.save: {_WEIGHTS}, or a pickled module",
  ".bin": _WEIGHTS,
  ".pkl": "a pickle, which runs code when it is opened",
  ".pickle": "a pickle, which runs code when it is opened",
  ".pb": "a frozen graph of TensorFlow 1",
  ".tflite": "a model of TensorFlow Lite",
}


def place_of(text: str) -> dict[str, str]:
  """Returns the place of a model that a user names.

  Args:
    text: A file, a folder, or "module:function".

  Raises:
    FileNotFoundError: There is nothing of this name.
    ValueError: It is not a model of any kind; the message says what it is.
  """
  path = os.path.abspath(os.path.expanduser(text))
  if not os.path.exists(path):
    if ":" in text and os.sep not in text:
      return {"kind": "callable", "function": text}
    raise FileNotFoundError(
      f"There is no file or folder {text!r}. Give the folder of a SavedModel, "
      "a file of Keras (.keras, .h5), ONNX (.onnx) or PyTorch (.pt2, "
      "TorchScript), or module:function."
    )
  for name, kind in KINDS.items():
    if kind.opens(path):
      return {"kind": name, "path": path}
  raise ValueError(_no_model(text, path))


def resolve(model):
  """Returns a model that a user gives, opened if it is a path.

  Raises:
    FileNotFoundError: There is no such file.
    TypeError: It is a class.
    ValueError: It is not a model of any kind.
  """
  if isinstance(model, type):
    raise TypeError(
      f"{model.__name__} is a class, not a model: give an instance, "
      f"{model.__name__}(...)."
    )
  if isinstance(model, (str, os.PathLike)):
    return load(place_of(os.fspath(model)))
  return model


def wrap(model, direction: str, place: Mapping) -> part.Part:
  """Returns a direction of a generator.

  Args:
    model: A model that one of `KINDS` accepts.
    direction: "decode", "encode" or "map".
    place: Its place; empty for a model that is not in files.

  Raises:
    TypeError: No kind accepts it.
    ValueError: The model contradicts its place.
  """
  for kind in KINDS.values():
    if kind.accepts(model):
      return kind.wrap(model, direction, place)
  got = None if model is None else type(model).__name__
  raise TypeError(f"To {direction}, {_TAKEN} is needed; got {got}.")


def load(place: Mapping, folder: str = ""):
  """Opens a model in files.

  Args:
    place: Its place.
    folder: Folder where relative paths start.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It is not a model of this kind.
  """
  kind, path = _kind(place), os.path.join(folder, place.get("path", ""))
  if "path" in place and not os.path.exists(path):
    raise FileNotFoundError(f"There is no file or folder {path!r}.")
  model = kind.load(path, place)
  return autoencoders.part(model, place["part"]) if "part" in place else model


def files_of(place: Mapping, folder: str) -> Iterator[tuple[str, str]]:
  """Yields the files of a model in order, as (name within it, path).

  Args:
    place: Its place.
    folder: Folder where relative paths start.

  Raises:
    FileNotFoundError: Files are gone.
    ValueError: A function is gone.
  """
  kind = _kind(place)
  if "function" in place:
    found = kind.load("", place)
    module = inspect.getmodule(found)
    yield "", imports.file_of(found) or inspect.getsourcefile(module)
  if "path" in place:
    files = getattr(kind, "files_of", part.files_below)
    yield from files(os.path.join(folder, place["path"]))
  if place.get("custom_objects"):
    yield "objects", imports.module(place["custom_objects"]).__file__
  for name, value in place.get("fixed", {}).items():
    if isinstance(value, str):
      yield f"fixed/{name}", os.path.join(folder, value)


def _kind(place):
  if place["kind"] not in KINDS:
    raise ValueError(
      f"Unknown kind of model {place['kind']!r}: {', '.join(KINDS)}."
    )
  return KINDS[place["kind"]]


def _no_model(text, path):
  """Returns the error message for a path that holds no model."""
  if os.path.isdir(path):
    versions = [
      name
      for name in sorted(os.listdir(path))
      if saved_model.opens(os.path.join(path, name))
    ]
    if versions:
      return (
        f"There is no SavedModel in {text!r}, but there are in the folders "
        f"below it, {', '.join(versions)}: name one of these."
      )
    return (
      f"There is no SavedModel in {text!r}: it is a folder that holds "
      "saved_model.pb."
    )
  for ending, content in _CONTENTS.items():
    if path.endswith(ending):
      return (
        f"{text!r} is {content}. Write a function that opens it and runs "
        "it, and give that instead, as my_module:my_function."
      )
  return (
    f"{text!r} cannot be opened as a model: it is no SavedModel, and no file "
    "of Keras, ONNX or PyTorch that holds a model. Write a function that opens "
    "it and runs it, and give that instead, as my_module:my_function."
  )
