"""Trains the generative model: a variational autoencoder.

    python -m trainers.vae --flagfile=configs/toon_faces/vae.cfg \
        --dataset=toon_faces/studio --run_dir=runs/mine
"""

from lc_keras import recipes
from trainers import jobs

_ROWS, _COLUMNS = 4, 8


def begin(recipe: recipes.VAE, run):
  """Returns the training."""
  from lc_keras.models import vae

  return vae.training(recipe, run.images())


def draw(model, run):
  """Draws reconstructions of held-out images, and prior samples."""
  from lc_keras import plotting

  batches = run.images().batches("validation", _ROWS * _COLUMNS)
  images = next(iter(batches))["image"]
  return {
    "reconstructions": plotting.pairs(
      images.numpy(), model(images).numpy(), _COLUMNS
    ),
    "prior_samples": prior_samples(model),
  }


def prior_samples(model):
  """Draws the images of the same prior samples in every epoch."""
  import tensorflow as tf

  from lc_keras import plotting

  shape = [_ROWS * _COLUMNS, model.latent_size]
  latents = tf.random.stateless_normal(shape, (0, 0))
  return plotting.in_rows(model.decode(latents).mean().numpy(), _COLUMNS)


JOB = jobs.Job("vae", recipes.VAE, begin, draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
