"""What the servers of a benchmark serve: models that were never trained.

How long an answer takes does not depend on what was learnt.
"""

import os

import keras
import numpy as np
import tensorflow as tf

from lc_keras import files
from lc_keras.data import latent_cache
from lc_keras.data import latents
from lc_keras.data import pipeline
from lc_keras.generators import generator
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import storage
from lc_keras.models import vae

_DATASET = "toon_faces/studio"
# As configs/toon_faces, and with it the demo, have them.
_LATENT_SIZE = 256
_ATTRIBUTE_SIZES = (512, 3)
_ACTOR_SIZES = (512, 4)
_FLOW_SIZES = (512, 3)
# Of the latent cache: the models need its moments, whatever they are.
_ROWS = 64


def write_trivial(folder: str) -> None:
  """Writes a SavedModel that multiplies two numbers a row by two."""
  module = tf.Module()
  module.factor = tf.Variable(2.0)

  def multiply(x):
    return {"y": module.factor * x}

  specs = [tf.TensorSpec([None, 2], tf.float32, "x")]
  module.multiply = tf.function(multiply, specs, autograph=False)
  key = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
  tf.saved_model.save(module, folder, {key: module.multiply})


def write_run(run_dir: str) -> None:
  """Writes a run folder of the studio faces, from which one can export."""
  keras.utils.set_random_seed(0)
  spec = pipeline.describe(_DATASET)
  count = len(spec.attributes)
  random = np.random.default_rng(0)
  for stage, model in {
    "vae": vae.VAE(spec.image_shape, _LATENT_SIZE, "toon_faces"),
    "attributes": attribute_model.AttributeModel(
      _LATENT_SIZE, count, *_ATTRIBUTE_SIZES
    ),
    "actor_0.1": actor_critic.ActorCritic(
      _LATENT_SIZE, count, *_ACTOR_SIZES, flow_sizes=_FLOW_SIZES
    ),
  }.items():
    storage.save(model, os.path.join(run_dir, stage))
  files.write_json(
    os.path.join(run_dir, "run.json"),
    {
      "dataset": _DATASET,
      "image_shape": spec.image_shape,
      "attributes": spec.attributes.names,
      "exclusive": spec.attributes.exclusive,
    },
  )
  cache = latents.Latents(
    random.normal(size=[_ROWS, _LATENT_SIZE]).astype(np.float32),
    random.uniform(0.1, 1.0, [_ROWS, _LATENT_SIZE]).astype(np.float32),
    random.integers(0, 2, [_ROWS, count]).astype(np.float32),
  )
  os.makedirs(os.path.join(run_dir, "latents"))
  latent_cache.write(
    os.path.join(run_dir, "latents", "cache"),
    {"train": cache},
    {"generator": generator.fingerprint(run_dir)},
  )
