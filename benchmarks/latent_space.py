"""Times the training of actor and critic: python -m benchmarks.latent_space.

The critic's updates with gradient penalty and the actor's update, as published,
and the same in usual PyTorch.
"""

import os
import sys

import keras
import numpy as np
import tensorflow as tf

from benchmarks import tasks
from benchmarks import timing
from lc_keras import recipes
from lc_keras.models import actor_critic
from lc_keras.models import adam
from lc_keras.models import attribute_critic
from trainers import loop

_ATTRIBUTES = 10
_CASES = {
  "cycle, 256/512": {
    "latent_size": 256,
    "width": 512,
    "batch": 128,
    "critic_steps": 10,
  },
  "cycle, 1024/2048": {
    "latent_size": 1024,
    "width": 2048,
    "batch": 128,
    "critic_steps": 2,
  },
}


class _Cycle:
  """A cycle of several updates of the critic and one of the actor."""

  def __init__(self, case, folder):
    keras.utils.set_random_seed(0)
    self._sizes = case["latent_size"], case["batch"], case["critic_steps"] + 1
    size, batch, turns = self._sizes
    width = case["width"]
    self._model = actor_critic.ActorCritic(size, _ATTRIBUTES, width, 4)
    read = attribute_critic.AttributeCritic(size, _ATTRIBUTES, width, 4)
    self._model.compile(
      adam.Adam(1e-4, 0.0, 0.9),
      adam.Adam(1e-4, 0.0, 0.9),
      recipes.Actor(
        critic_steps=case["critic_steps"],
        masked_fraction=0.0,
        switched_fraction=0.0,
      ),
      read_attributes=read,
      posterior_scale=tf.fill([size], 0.5),
      excludes=np.zeros([_ATTRIBUTES] * 2),
    )
    random = np.random.default_rng(0)
    rows = [batch, turns, size]
    self._batch = {
      "mean": random.normal(size=rows).astype(np.float32),
      "scale": np.full(rows, 0.5, np.float32),
      "attributes": (random.random([*rows[:2], _ATTRIBUTES]) < 0.4).astype(
        np.float32
      ),
      "focus": random.integers(0, _ATTRIBUTES, rows[:2]),
    }
    batches = tf.data.Dataset.from_tensors(self._batch).cache().repeat()
    self._loop = loop.Loop(self._model, batches)
    networks = (self._model.trained_actor, self._model.critic)
    self.parameters = sum(network.count_params() for network in networks)
    self.items = turns - 1
    self.flops = 0.0
    np.savez(
      os.path.join(folder, "arrays.npz"),
      **{key: self._batch[key] for key in ("mean", "scale", "attributes")},
      **tasks.weights("actor", networks[0]),
      **tasks.weights("critic", networks[1]),
      **tasks.weights("read", read),
    )

  def loss(self):
    """Returns the critic's loss, with the gradient penalty at mix 0.5."""
    real = tf.constant(self._batch["mean"][:, 0])
    own = tf.constant(self._batch["attributes"][:, 0])
    mask = tf.ones_like(own)
    fake = self._model.trained_actor(real, tf.roll(own, 1, 0), mask)
    mix = tf.fill([self._sizes[1], 1], 0.5)
    *logits, slopes = self._model.critic.compare(
      real, fake, mix, own, own, tf.roll(own, 1, 0), mask
    )
    penalty = tf.square(tf.norm(slopes, axis=1) - 1.0)
    values = sum(
      tf.nn.softplus(sign * value) for sign, value in zip((-1, 1, 1), logits)
    )
    return tf.reduce_mean(values + 10.0 * penalty)

  def run(self, steps):
    """See `tasks.Task`."""
    tasks.train(self._loop, steps)


def _compare():
  machine = timing.machine()
  rows = [
    timing.against_torch(
      name,
      case,
      "benchmarks.latent_space",
      "benchmarks.peers_torch.latent",
      "critic steps/s",
    )
    for name, case in _CASES.items()
  ]
  timing.report("latent_space", rows, machine)


if __name__ == "__main__":
  if "--worker" in sys.argv:
    tasks.serve(_Cycle, tf.constant)
  else:
    timing.run(_compare)
