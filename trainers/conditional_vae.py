"""Trains a conditional VAE on images and labels, as a baseline.

    python -m trainers.conditional_vae \
        --flagfile=configs/toon_faces/conditional_vae.cfg --run_dir=runs/mine
"""

import numpy as np

from lc_keras import recipes
from trainers import jobs

_SHOWN = 8


def begin(recipe: recipes.VAE, run):
  """Returns the training."""
  from lc_keras.models import conditional_vae

  return conditional_vae.training(recipe, run.images())


def draw(model, run):
  """Draws samples with each attribute on, and images with each one switched."""
  import tensorflow as tf

  from lc_keras import plotting

  attributes = run.attributes
  shown = next(iter(run.images().batches("validation", _SHOWN)))
  images, own = shown["image"], shown["attributes"].numpy()
  prior = tf.random.stateless_normal([len(own), model.latent_size], (0, 0))
  encoded = model.encode(images, own).mean()
  samples, edits = [model.decode(prior, own).mean()], []
  for column, name in enumerate(attributes.names):
    on, _ = attributes.request(own, name, True)
    off, _ = attributes.request(own, name, False)
    samples.append(model.decode(prior, on).mean())
    switched = np.where(own[:, [column]] > 0.5, off, on)
    edits.append(model.decode(encoded, switched).mean())
  return {
    "samples": plotting.grid(
      np.stack(samples), ["labels of an image", *attributes.names]
    ),
    "edits": plotting.transformations(
      images.numpy(),
      model.decode(encoded, own).mean().numpy(),
      np.stack(edits, axis=1),
      attributes.names,
      on=own < 0.5,
    ),
  }


JOB = jobs.Job("conditional_vae", recipes.VAE, begin, draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
