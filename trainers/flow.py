"""Trains a conditional flow from noise to cached latents.

    python -m trainers.flow --flagfile=configs/toon_faces/flow.cfg \
        --run_dir=runs/mine
"""

import numpy as np

from lc_keras import recipes
from trainers import jobs

_SHOWN = 8


def begin(recipe: recipes.Flow, run):
  """Returns the training."""
  from lc_keras.models import flow_matching

  return flow_matching.training(recipe, run.parts)


def draw(model, run):
  """Transports prior samples without a request, and for each attribute."""
  import tensorflow as tf

  from lc_keras import plotting
  from lc_keras.samplers import flow

  names, generator = run.attributes.names, run.parts.generator
  size = len(names)
  requests = np.concatenate([np.zeros([1, size]), np.eye(size)])
  # Each request asks for one attribute only: values and mask are the same.
  asked = np.repeat(requests, _SHOWN, axis=0).astype(np.float32)
  shape = [_SHOWN, generator.latent_size]
  prior = np.array(tf.random.stateless_normal(shape, (0, 0)))
  latents = flow.transport(model, np.tile(prior, [size + 1, 1]), asked, asked)
  images = np.split(generator.decode(latents).mean().numpy(), size + 1)
  images = plotting.picture_rows(images, getattr(generator, "plot", None))
  return {"samples": plotting.grid(images, row_labels=["no request", *names])}


JOB = jobs.Job("flow", recipes.Flow, begin, draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
