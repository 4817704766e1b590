"""Times sampling under a request: python -m benchmarks.sampling.

From the prior to the pixels of 64 images of the demo's network: by the actor,
and by the flow with guidance.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from benchmarks import tasks
from benchmarks import timing
from lc_keras.constraints import attributes
from lc_keras.constraints import constraint as constraints
from lc_keras.models import actor
from lc_keras.models import flow_matching
from lc_keras.models import vae
from lc_keras.samplers import actor as actor_sampler
from lc_keras.samplers import flow as flow_sampler
from lc_keras.samplers import sampler

_SHAPE, _LATENT_SIZE, _ATTRIBUTES, _WIDTH, _ROWS = (64, 64, 3), 256, 10, 512, 64


class _Sampling:
  """Samples images, each for its own request."""

  items = _ROWS
  flops = 0.0

  def __init__(self, case, folder):
    del folder  # There is no peer.
    keras.utils.set_random_seed(0)
    generator = vae.VAE(_SHAPE, _LATENT_SIZE, "toon_faces")
    # Placeholders: samplers judge their results only on request.
    judges = sampler.Judges(
      attributes.Attributes([f"a{n}" for n in range(_ATTRIBUTES)], []),
      lambda z, values, mask: z[:, 0],
      lambda z: z[:, :_ATTRIBUTES],
      tf.ones([_LATENT_SIZE]),
    )
    maker = {"actor": _actor, "flow": _flow}[case["sampler"]](judges)
    values = np.random.default_rng(0).random([_ROWS, _ATTRIBUTES]) < 0.5
    constraint = constraints.Constraint(
      values.astype(np.float32), np.ones(values.shape, np.float32)
    )
    self.parameters = generator.decoder.count_params()
    self._seeds = tf.range(_ROWS, dtype=tf.int64)
    self._function = tf.function(
      lambda seeds: generator.decode(
        maker.sample(constraint, seeds).latents
      ).mean(),
      autograph=False,
    )

  def loss(self):
    """See `tasks.Task`; the mean of the pixels."""
    return tf.reduce_mean(self._function(self._seeds))

  def run(self, steps):
    """See `tasks.Task`."""
    for _ in range(steps):
      self._function(self._seeds).numpy()


def _actor(judges):
  network = actor.Actor(_LATENT_SIZE, _ATTRIBUTES, _WIDTH, 4)
  return actor_sampler.ActorSampler(judges, network)


def _flow(judges):
  model = flow_matching.FlowMatching(_LATENT_SIZE, _ATTRIBUTES, _WIDTH, 3)
  return flow_sampler.FlowSampler(judges, model)


def _measure():
  machine = timing.machine()
  rows = []
  for kind in ("actor", "flow"):
    with timing.Worker(
      sys.executable, "benchmarks.sampling", "--worker"
    ) as worker:
      name = f"{kind}, {_ROWS} images"
      rows.append(timing.compare(name, {"sampler": kind}, {"ours": worker}))
  timing.report("sampling", rows, machine)


if __name__ == "__main__":
  if "--worker" in sys.argv:
    tasks.serve(_Sampling, tf.constant)
  else:
    timing.run(_measure)
