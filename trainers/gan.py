"""Trains a GAN on images without labels: a generative model to be frozen.

    python -m trainers.gan --flagfile=configs/toon_faces/gan.cfg \
        --dataset=toon_faces/studio --run_dir=runs/mine
"""

from lc_keras import recipes
from trainers import jobs
from trainers import vae


def begin(recipe: recipes.GAN, run):
  """Returns the training."""
  from lc_keras.models import gan

  return gan.training(recipe, run.images())


def draw(model, run):
  """Draws prior samples."""
  del run
  return {"samples": vae.prior_samples(model)}


JOB = jobs.Job("gan", recipes.GAN, begin, draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
