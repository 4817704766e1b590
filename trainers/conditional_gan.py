"""Trains a conditional GAN on images and labels, as a baseline.

    python -m trainers.conditional_gan \
        --flagfile=configs/toon_faces/conditional_gan.cfg --run_dir=runs/mine
"""

import numpy as np

from lc_keras import recipes
from trainers import jobs

_SHOWN = 8


def begin(recipe: recipes.ConditionalGAN, run):
  """Returns the training."""
  from lc_keras.models import conditional_gan

  return conditional_gan.training(recipe, run.images())


def draw(model, run):
  """Draws samples with each attribute switched on."""
  import tensorflow as tf

  from lc_keras import plotting

  attributes = run.attributes
  shown = next(iter(run.images().batches("validation", _SHOWN)))
  own = shown["attributes"].numpy()
  prior = tf.random.stateless_normal([len(own), model.latent_size], (0, 0))
  asked = [attributes.request(own, name, True)[0] for name in attributes.names]
  return {
    "samples": plotting.grid(
      np.stack([model.generate(prior, labels) for labels in [own, *asked]]),
      ["labels of an image", *attributes.names],
    )
  }


JOB = jobs.Job("conditional_gan", recipes.ConditionalGAN, begin, draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
