"""Our side of conditional sampling: started by `sampling`."""

import json
import os

import keras
import numpy as np
import tensorflow as tf

from benchmarks import networks
from benchmarks import tasks
from lc_keras import priors
from lc_keras.constraints import attributes
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.models import actor
from lc_keras.models import flow_matching
from lc_keras.models import vae
from lc_keras.samplers import actor as actor_sampler
from lc_keras.samplers import flow as flow_sampler
from lc_keras.samplers import sampler

_ATTRIBUTES = 10


class _Sampling:
  """New images of a request each: from the prior to pixels."""

  def __init__(self, case, folder):
    keras.utils.set_random_seed(0)
    size, rows, width = case["latent_size"], case["batch"], case["width"]
    generator = vae.VAE(case["image_shape"], size, case["architecture"])
    network, make = {"actor": _actor, "flow": _flow}[case["sampler"]](
      size, width, case["depth"]
    )
    random = np.random.default_rng(0)
    # Fresh weights hold zeros, which would hide what the peer does otherwise.
    weights = [
      value + 0.01 * random.normal(size=value.shape)
      for value in network.get_weights()
    ]
    network.set_weights(weights)
    names = tuple(f"a{number}" for number in range(_ATTRIBUTES))
    # Nobody asks for scores, and nobody is kept from asking.
    judges = sampler.Judges(
      attributes.Attributes(names, []),
      lambda z, values, mask: z[:, 0],
      lambda z: z[:, :_ATTRIBUTES],
      tf.ones([size]),
    )
    maker = make(judges)
    values = (random.random([rows, _ATTRIBUTES]) < 0.5).astype(np.float32)
    asked = constraint_lib.Constraint(values, np.ones_like(values))
    self._seeds = tf.range(rows, dtype=tf.int64)
    self._function = tf.function(
      lambda seeds: generator.decode(maker.sample(asked, seeds).latents).mean(),
      autograph=False,
    )
    layers = networks.describe(generator.decoder)
    self.parameters = sum(map(np.size, weights))
    self.parameters += generator.decoder.count_params()
    self.items = rows
    self.flops = 0.0
    np.savez(
      os.path.join(folder, "arrays.npz"),
      prior=priors.sample_rows(self._seeds, size).numpy(),
      values=values,
      **networks.weights("network", network),
      **networks.weights("decoder", generator.decoder),
    )
    with open(
      os.path.join(folder, "layers.json"), "w", encoding="utf-8"
    ) as file:
      json.dump(layers, file)

  def loss(self):
    """Returns the mean of the pixels."""
    return tf.reduce_mean(self._function(self._seeds))

  def run(self, steps):
    """See `tasks.Task`."""
    for _ in range(steps):
      self._function(self._seeds).numpy()


def _actor(size, width, depth):
  network = actor.Actor(size, _ATTRIBUTES, width, depth)
  return network, lambda judges: actor_sampler.ActorSampler(judges, network)


def _flow(size, width, depth):
  model = flow_matching.FlowMatching(size, _ATTRIBUTES, width, depth)
  return model.velocity, lambda judges: flow_sampler.FlowSampler(judges, model)


if __name__ == "__main__":
  tasks.serve(_Sampling, tf.constant)
