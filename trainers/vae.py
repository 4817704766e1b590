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
  import tensorflow as tf

  from lc_keras import plotting

  count = _ROWS * _COLUMNS
  images = next(iter(run.images().batches("validation", count)))["image"]
  latents = tf.random.stateless_normal([count, model.latent_size], (0, 0))
  return {
    "reconstructions": plotting.pairs(
      images.numpy(), model(images).numpy(), _COLUMNS
    ),
    "prior_samples": plotting.in_rows(
      model.decode(latents).mean().numpy(), _COLUMNS
    ),
  }


JOB = jobs.Job("vae", recipes.VAE, begin, draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
