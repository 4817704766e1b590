"""Models in a folder: a description (model.json) and the weights.

A model is rebuilt from its constructor's arguments, so nothing is pickled and
loading runs no foreign code.
"""

import importlib
import io
import math
import os

import h5py
import keras
import numpy as np
import tensorflow as tf

from lc_keras import files
from lc_keras.models import stored_model

WEIGHTS = "best.weights.h5"
DESCRIPTION = "model.json"
# Upper bound of HDF5's overhead per array.
_NODE_BYTES = 4096

# The modules of the models, each imported when one of its models is loaded.
_MODULES = {
  "ActorCritic": "actor_critic",
  "AttributeModel": "attribute_model",
  "ConditionalGAN": "conditional_gan",
  "ConditionalVAE": "conditional_vae",
  "EmbeddingModel": "embedding_model",
  "Encoder": "encoder",
  "FlowMatching": "flow_matching",
  "GAN": "gan",
  "LinearDirections": "linear_directions",
  "PixelClassifier": "pixel_classifier",
  "RealismModel": "realism_model",
  "RefinedVAE": "refined_vae",
  "SearchActor": "search_actor",
  "VAE": "vae",
  "ValueActor": "value_actor",
  "ValueModel": "value_model",
}


def save(
  model: stored_model.StoredModel,
  folder: str,
  dtype: str | None = None,
  made_for: str | None = None,
) -> None:
  """Writes a model's description and weights, without its optimisers.

  Args:
    model: One of the models of this package.
    folder: Created if missing. Files in it are replaced by whole ones only.
    dtype: Type of the weights in the file, such as "float16" for half the size;
      None keeps theirs. `load` restores the model's own.
    made_for: Replaces the model's `made_for`, if it has one: its generator may
      have another fingerprint where it is saved.

  Raises:
    ValueError: A weight is too large for the type.
  """
  os.makedirs(folder, exist_ok=True)
  # A copy without optimisers, which Keras would write into the weights file.
  bare = type(model)(**model.arguments)
  bare.set_weights(model.get_weights())
  weights_path = os.path.join(folder, WEIGHTS)
  with files.replacing(weights_path) as path:
    write_weights(bare, path, dtype)
  description = {
    "class": type(model).__name__,
    "arguments": model.arguments,
    "sha256": files.checksum(weights_path),
  }
  if model.made_for is not None:
    description["made_for"] = made_for or model.made_for
  files.write_json(os.path.join(folder, DESCRIPTION), description)


def write_weights(
  model: keras.Model, path: str, dtype: str | None = None
) -> None:
  """Writes weights in Keras's format, so that equal weights make equal files.

  Leaves out the names of layers, which nothing reads: Keras numbers them by the
  models that the process has made.

  Args:
    model: The model; its optimisers are written, too.
    path: The file.
    dtype: Type of the numbers in the file, which then stores equal arrays once;
      None keeps theirs.

  Raises:
    OSError: The file cannot be written.
    ValueError: A weight is too large for the type.
  """
  # Keras requires this extension.
  named = f"{path}.named.weights.h5"
  made = io.BytesIO()
  try:
    # HDF5 crashes the process when a disk becomes full.
    files.reserve(named, _most_bytes(model))
    model.save_weights(named)
    with h5py.File(named) as old, h5py.File(made, "w") as new:
      _copy_without_names(old, new, dtype)
  finally:
    if os.path.exists(named):
      os.remove(named)
  with open(path, "wb") as file:
    file.write(made.getbuffer())


def _most_bytes(model):
  """Returns an upper bound of the size of a model's weights file."""
  optimizers = [
    part
    for part in vars(model).values()
    if isinstance(part, keras.optimizers.Optimizer)
  ]
  sizes = [
    8 * math.prod(variable.shape)
    for owner in (model, *optimizers)
    for variable in owner.variables
  ]
  return sum(sizes) + _NODE_BYTES * (len(sizes) + 10)


def _copy_without_names(old, new, dtype):
  written = {}

  def copy(name, node):
    if isinstance(node, h5py.Dataset):
      values = _cast(node[()], dtype)
      key = (values.shape, values.tobytes()) if dtype else name
      if key in written:
        new[name] = new[written[key]]  # Another name of the same array.
        return
      written[key] = name
      made = new.create_dataset(name, data=values)
    else:
      made = new.require_group(name)
    for key, value in node.attrs.items():
      if key != "name":
        made.attrs[key] = value

  old.visititems(copy)
  new.attrs.update(old.attrs)


def _cast(values, dtype):
  if dtype is None or not np.issubdtype(values.dtype, np.floating):
    return values
  with np.errstate(over="ignore"):
    cast = values.astype(dtype)
  if np.isinf(cast).any() and np.isfinite(values).all():
    raise ValueError(
      f"A weight of {np.abs(values).max():.3g} does not fit into {dtype}: keep "
      "this model in its own precision."
    )
  return cast


def describe(folder: str) -> dict:
  """Returns the description that `save` wrote, without loading the model.

  Raises:
    FileNotFoundError: The folder holds no trained model.
    ValueError: The description is damaged.
  """
  for name in (DESCRIPTION, WEIGHTS):
    if not os.path.exists(os.path.join(folder, name)):
      raise FileNotFoundError(
        f"No trained model in {folder!r}: {name} is missing. Train it first, "
        "with the same --run_dir."
      )
  return files.read_json(os.path.join(folder, DESCRIPTION))


def load(folder: str) -> stored_model.StoredModel:
  """Rebuilds a model that `save` wrote.

  Raises:
    FileNotFoundError: The folder holds no trained model.
    RuntimeError: A tf.function is being traced.
    ValueError: The description is damaged or names an unknown class, or the
      weights are not those that were written with it.
  """
  if tf.inside_function():  # The model would have untrained weights.
    raise RuntimeError(
      f"The model in {folder!r} cannot be loaded while a tf.function is "
      "traced: use it once before, outside of the function."
    )
  description = describe(folder)
  weights_path = os.path.join(folder, WEIGHTS)
  name = description.get("class")
  if name not in _MODULES:
    raise ValueError(
      f"{os.path.join(folder, DESCRIPTION)} names the class {name!r}; "
      f"known: {', '.join(_MODULES)}."
    )
  if files.checksum(weights_path) != description["sha256"]:
    raise ValueError(
      f"{weights_path} is damaged: its checksum is not the one in "
      f"{DESCRIPTION}. If its training is not done, run the same command "
      "again, which repairs it; otherwise delete the folder and train it again."
    )
  module = importlib.import_module(f"lc_keras.models.{_MODULES[name]}")
  model = getattr(module, name)(**description["arguments"])
  model.load_weights(weights_path)
  model.made_for = description.get("made_for")
  return model
