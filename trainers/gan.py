"""Trains a GAN on images without labels: a generative model to be frozen.

    python -m trainers.gan --flagfile=configs/toon_faces/gan.cfg \
        --dataset=toon_faces/studio --run_dir=runs/mine
"""

from lc_keras import recipes
from trainers import jobs

_ROWS, _COLUMNS = 4, 8


def begin(recipe: recipes.GAN, run):
  """Returns the training."""
  from lc_keras.models import gan

  return gan.training(recipe, run.images())


def draw(model, run):
  """Draws the images of the same prior samples in every epoch."""
  import tensorflow as tf

  from lc_keras import plotting

  shape = [_ROWS * _COLUMNS, model.latent_size]
  latents = tf.random.stateless_normal(shape, (0, 0))
  images = model.decode(latents).mean().numpy()
  return {"samples": plotting.in_rows(images, _COLUMNS)}


JOB = jobs.Job("gan", recipes.GAN, begin, draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
