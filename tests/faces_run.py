"""A run folder of real images: tiny toon faces and untrained models.

Drawing and encoding the faces takes seconds: each process does it once.
"""

import atexit
import functools
import os
import shutil
import tempfile

import keras

from lc_keras import run_folder
from lc_keras.data import latent_cache
from lc_keras.data import latents
from lc_keras.data import pipeline
from lc_keras.generators import generator
from lc_keras.models import attribute_model
from lc_keras.models import storage
from lc_keras.models import vae

DATASET = "toon_faces/tiny"
LATENT_SIZE = 4


def write(run_dir: str, data_dir: str, *, attributes: bool = True) -> None:
  """Writes a run with a generative model and latents.

  Args:
    run_dir: The run folder.
    data_dir: Folder in which the data set is prepared if needed.
    attributes: Whether to write an attribute critic, too.
  """
  made = _make()
  shutil.copytree(
    os.path.join(made, "run"),
    run_dir,
    ignore=None if attributes else shutil.ignore_patterns("attributes"),
    dirs_exist_ok=True,
  )
  shutil.copytree(os.path.join(made, "data"), data_dir, dirs_exist_ok=True)


@functools.cache
def _make():
  folder = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, folder)
  run_dir, data_dir = (os.path.join(folder, name) for name in ("run", "data"))
  keras.utils.set_random_seed(0)
  pipeline.prepare(DATASET, data_dir)
  spec = pipeline.describe(DATASET)
  model = vae.VAE(spec.image_shape, LATENT_SIZE, "mlp_small")
  # An untrained decoder makes one grey image; larger weights make many.
  for weight in model.decoder.weights:
    weight.assign(6.0 * weight)
  storage.save(model, os.path.join(run_dir, "vae"))
  run_folder.write_about(
    run_dir, DATASET, spec.attributes, image_shape=spec.image_shape
  )
  os.makedirs(os.path.join(run_dir, "latents"))
  latent_cache.write(
    os.path.join(run_dir, "latents", "cache"),
    {
      split: map(
        latents.encoder(model),
        pipeline.load(DATASET, split, 32, data_dir=data_dir),
      )
      for split in ("train", "test")
    },
    {
      "generator": generator.fingerprint(run_dir),
      "dataset": DATASET,
      "attributes": ",".join(spec.attributes.names),
    },
  )
  storage.save(
    attribute_model.AttributeModel(
      LATENT_SIZE, len(spec.attributes), width=8, depth=1
    ),
    os.path.join(run_dir, "attributes"),
  )
  return folder
