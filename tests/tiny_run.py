"""A run folder of tiny, untrained models, for the tests of serving."""

import os

import keras
import numpy as np

from lc_keras import run_folder
from lc_keras.constraints import attributes
from lc_keras.data import latent_cache
from lc_keras.data import latents
from lc_keras.generators import generator
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import flow_matching
from lc_keras.models import linear_directions
from lc_keras.models import realism_model
from lc_keras.models import storage
from lc_keras.models import vae

ATTRIBUTES = attributes.Attributes(
  ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling"),
  [("Bald", "Black_Hair", "Blond_Hair")],
  ["Smiling"],
)
IMAGE_SHAPE = (8, 16, 1)
CROP = "3,8,32,16 of 40x30"
LATENT_SIZE = 4
_ROWS = 15


def write(folder: str) -> None:
  """Writes a run folder as the trainers do."""
  keras.utils.set_random_seed(1)
  sizes = (LATENT_SIZE, len(ATTRIBUTES), 8, 2)
  storage.save(
    vae.VAE(IMAGE_SHAPE, LATENT_SIZE, "mlp_small"), os.path.join(folder, "vae")
  )
  storage.save(
    attribute_model.AttributeModel(*sizes), os.path.join(folder, "attributes")
  )
  for name in ("actor_0", "actor_0.1"):
    storage.save(actor_critic.ActorCritic(*sizes), os.path.join(folder, name))
  run_folder.write_about(
    folder, "tiny", ATTRIBUTES, image_shape=IMAGE_SHAPE, crop=CROP
  )
  random = np.random.default_rng(2)
  cache = latents.Latents(
    random.normal(size=[_ROWS, LATENT_SIZE]).astype(np.float32),
    random.uniform(0.1, 1.0, [_ROWS, LATENT_SIZE]).astype(np.float32),
    random.integers(0, 2, [_ROWS, len(ATTRIBUTES)]).astype(np.float32),
  )
  for name, model in {
    "realism": realism_model.RealismModel(LATENT_SIZE, 8, 2),
    "flow": flow_matching.FlowMatching(*sizes),
    "linear": linear_directions.LinearDirections.estimate(cache),
  }.items():
    storage.save(model, os.path.join(folder, name))
  os.makedirs(os.path.join(folder, "latents"))
  latent_cache.write(
    os.path.join(folder, "latents", "cache"),
    {"train": cache},
    {"generator": generator.fingerprint(folder)},
  )
