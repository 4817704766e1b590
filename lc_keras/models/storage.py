"""Models in a folder: what they are (model.json) and what they know (weights).

A model is rebuilt from its constructor's arguments, so nothing is pickled and
loading runs no code but ours.
"""

import io
import json
import math
import os

import h5py
import keras

from lc_keras import files
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import conditional_gan
from lc_keras.models import conditional_vae
from lc_keras.models import flow_matching
from lc_keras.models import gan
from lc_keras.models import linear_directions
from lc_keras.models import pixel_classifier
from lc_keras.models import realism_model
from lc_keras.models import vae
from lc_keras.models import value_actor
from lc_keras.models import value_model

WEIGHTS = "best.weights.h5"
DESCRIPTION = "model.json"
# More than HDF5 needs for an array besides its numbers.
_NODE_BYTES = 4096

_CLASSES = {
  model.__name__: model
  for model in (
    actor_critic.ActorCritic,
    attribute_model.AttributeModel,
    conditional_gan.ConditionalGAN,
    conditional_vae.ConditionalVAE,
    flow_matching.FlowMatching,
    gan.GAN,
    linear_directions.LinearDirections,
    pixel_classifier.PixelClassifier,
    realism_model.RealismModel,
    vae.VAE,
    value_actor.ValueActor,
    value_model.ValueModel,
  )
}


def save(model: keras.Model, folder: str) -> None:
  """Writes a model's description and weights, without its optimisers.

  Args:
    model: One of the models of this package.
    folder: Created if missing. What is there is replaced only by whole files.
  """
  os.makedirs(folder, exist_ok=True)
  # A bare copy: Keras would write every optimiser into the weights file.
  bare = _CLASSES[type(model).__name__](**model.arguments)
  bare.set_weights(model.get_weights())
  weights_path = os.path.join(folder, WEIGHTS)
  with files.replacing(weights_path) as path:
    write_weights(bare, path)
  description = {
    "class": type(model).__name__,
    "arguments": model.arguments,
    "sha256": files.checksum(weights_path),
  }
  files.write_json(os.path.join(folder, DESCRIPTION), description)


def write_weights(model: keras.Model, path: str) -> None:
  """Writes what Keras's `save_weights` does; the same numbers, the same file.

  Keras writes the names of layers, too, which nothing reads, and which count
  the models that a process has made.

  Args:
    model: Optimisers that it has are written, too.
    path: The file.

  Raises:
    OSError: It cannot be written.
  """
  # Keras insists on the ending of a name.
  named = f"{path}.named.weights.h5"
  made = io.BytesIO()
  try:
    # HDF5 crashes the process when a disk becomes full.
    files.reserve(named, _most_bytes(model))
    model.save_weights(named)
    with h5py.File(named) as old, h5py.File(made, "w") as new:
      _copy_without_names(old, new)
  finally:
    if os.path.exists(named):
      os.remove(named)
  with open(path, "wb") as file:
    file.write(made.getbuffer())


def _most_bytes(model):
  """Returns a bound for the size of a model's weights file."""
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


def _copy_without_names(old, new):
  def copy(name, node):
    if isinstance(node, h5py.Dataset):
      made = new.create_dataset(name, data=node[()])
    else:
      made = new.require_group(name)
    for key, value in node.attrs.items():
      if key != "name":
        made.attrs[key] = value

  old.visititems(copy)
  new.attrs.update(old.attrs)


def load(folder: str) -> keras.Model:
  """Rebuilds a model that `save` wrote.

  Raises:
    FileNotFoundError: The folder holds no trained model.
    ValueError: The description or the weights are not one of ours, or the
      weights are not those that were written with the description.
  """
  description_path = os.path.join(folder, DESCRIPTION)
  weights_path = os.path.join(folder, WEIGHTS)
  for path in (description_path, weights_path):
    if not os.path.exists(path):
      raise FileNotFoundError(
        f"No trained model in {folder!r}: {os.path.basename(path)} is missing. "
        "Train it first, with the same --run_dir."
      )
  with open(description_path, encoding="utf-8") as file:
    description = json.load(file)
  if description.get("class") not in _CLASSES:
    raise ValueError(
      f"{description_path} names the class {description.get('class')!r}; "
      f"known: {', '.join(sorted(_CLASSES))}."
    )
  # Older ones have no checksum.
  known = description.get("sha256")
  if known is not None and files.checksum(weights_path) != known:
    raise ValueError(
      f"{weights_path} is damaged: its checksum is not the one in "
      f"{DESCRIPTION}. If its training is not done, the same command as before "
      "puts it right; otherwise delete the folder and train it again."
    )
  model = _CLASSES[description["class"]](**description["arguments"])
  model.load_weights(weights_path)
  return model
