"""Generators that are Keras 3 models, or `.keras` files of them."""

import json
import os
import types
import zipfile
from collections.abc import Iterator, Mapping

import h5py
import keras
import tensorflow as tf

from lc_keras import imports
from lc_keras.generators import part


def accepts(model) -> bool:
  """Says whether a model is of this kind."""
  return isinstance(model, keras.Layer)


def opens(path: str) -> bool:
  """Says whether a file is of this kind."""
  about = described(path)
  return about is not None and not about[0].startswith("2.")


def load(path: str, place: Mapping) -> keras.Layer:
  """Opens a file in Keras's safe mode, which runs no code that it holds.

  Args:
    path: Path of the file.
    place: "custom_objects", the module that defines the model's own layers.

  Raises:
    ValueError: The file cannot be opened safely.
  """
  return opened(path, place, keras)


def wrap(model: keras.Layer, direction: str, place: Mapping) -> part.Part:
  """Returns a direction of a generator.

  Args:
    model: A Keras model or layer, of Keras 3 or 2.
    direction: Not used.
    place: Not used.
  """
  del direction, place
  tensors = getattr(model, "inputs", None) or []
  inputs = {
    one.name: tf.TensorSpec(one.shape, one.dtype, one.name) for one in tensors
  }
  names = tuple(getattr(model, "output_names", ()) or ())
  if not inputs:
    return part.Part(
      lambda rows, **held: model(rows, training=False, **held),
      outputs=names,
      resource=model,
    )

  def run(rows, **held):
    fed = list(part.feed(inputs, rows, held).values())
    # A Sequential has no structure, and takes its only input directly.
    structure = getattr(model, "input", None)
    if structure is None:
      return model(*fed, training=False)
    return model(tf.nest.pack_sequence_as(structure, fed), training=False)

  return part.Part(run, inputs, names, resource=model)


def described(path: str) -> tuple[str, dict] | None:
  """Returns the Keras version and the config in a file; None in other files."""
  try:
    if zipfile.is_zipfile(path):
      with zipfile.ZipFile(path) as file:
        about = json.loads(file.read("metadata.json"))
        return about["keras_version"], json.loads(file.read("config.json"))
    if os.path.isfile(path) and h5py.is_hdf5(path):
      with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
        return str(file.attrs.get("keras_version", "2.?")), config
  except (KeyError, OSError, ValueError, zipfile.BadZipFile):
    return None
  return None


def opened(path: str, place: Mapping, library: types.ModuleType):
  """Opens a file of Keras, see `load`.

  Args:
    path: Path of the file.
    place: See `load`.
    library: `keras` or `tf_keras`.
  """
  objects = {}
  if place.get("custom_objects"):
    module = imports.module(place["custom_objects"])
    objects = {name: one for name, one in vars(module).items() if callable(one)}
  try:
    return library.models.load_model(
      path, custom_objects=objects, compile=False, safe_mode=True
    )
  except Exception as error:
    version, config = described(path)
    raise ValueError(
      f"{path!r}, written by Keras {version}, cannot be opened without running "
      f"code of its own{_remedy(config, objects, error)}"
    ) from error


def _remedy(config, known, error):
  """Returns the end of an error message: how to make the file usable."""
  names = {
    one.get("registered_name") or one["class_name"]: one
    for one in _objects(config)
    if isinstance(one.get("class_name"), str)
  }
  if any(name.endswith("Lambda") for name in names):
    return (
      ": it has Lambda layers. Let its program write model.export(path), and "
      "give that folder; or from Python the model itself, "
      "lc_keras.Generator(model)."
    )
  builtin = {*dir(keras.layers), "Functional", "Sequential", "Model"}
  own = [
    name.rpartition(">")[2]
    for name, one in names.items()
    if one["class_name"] not in builtin
    and not str(one.get("module") or "").startswith("keras")
    and "layers" not in one
    and "name" in (one.get("config") or {})
    and name.rpartition(">")[2] not in known
  ]
  if own:
    return (
      f": it has layers of its own, {', '.join(sorted(own))}. Name the module "
      "that defines them, --custom_objects=my_module, which runs it."
    )
  return f": {error}"


def _objects(config) -> Iterator[Mapping]:
  """Yields everything in a config that has a class."""
  if isinstance(config, Mapping):
    if "class_name" in config:
      yield config
    config = list(config.values())
  if isinstance(config, list):
    for one in config:
      yield from _objects(one)
