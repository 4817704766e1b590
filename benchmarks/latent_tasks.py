"""Our side of what is measured in latent space: started by `latent_space`."""

import os

import keras
import numpy as np
import tensorflow as tf

from benchmarks import tasks
from lc_keras.constraints import attributes
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.models import actor_critic
from lc_keras.models import actor_critic_recipe
from lc_keras.models import adam
from lc_keras.models import attribute_critic
from lc_keras.samplers import gradient_search
from lc_keras.samplers import sampler
from trainers import loop

_ATTRIBUTES = 10


class _Cycle:
  """The critic's updates, and one of the actor, as published."""

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
      actor_critic_recipe.Recipe(
        posterior_scale=tf.fill([size], 0.5),
        excludes=np.zeros([_ATTRIBUTES] * 2),
        read_attributes=read,
        masked_fraction=0.0,
        switched_fraction=0.0,
      ),
      jit_compile=False,
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
      **_weights("actor", networks[0]),
      **_weights("critic", networks[1]),
      **_weights("read", read),
    )

  def loss(self):
    """Returns the critic's loss half way between rows and their neighbours."""
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


class _Search:
  """The published search, which nobody leaves before the last step."""

  def __init__(self, case, folder):
    keras.utils.set_random_seed(0)
    size, width, rows = case["latent_size"], case["width"], case["batch"]
    critic, read = (
      actor_critic.ActorCritic(size, _ATTRIBUTES, width, 4).critic,
      attribute_critic.AttributeCritic(size, _ATTRIBUTES, width, 4),
    )
    names = tuple(f"a{number}" for number in range(_ATTRIBUTES))
    judges = sampler.Judges(
      attributes.Attributes(names, []), critic, read, tf.fill([size], 0.5)
    )
    search = gradient_search.GradientSearch(
      judges, tolerance=-1.0, max_steps=case["steps"]
    )
    random = np.random.default_rng(0)
    self._start = random.normal(size=[rows, size]).astype(np.float32)
    values = (random.random([rows, _ATTRIBUTES]) < 0.5).astype(np.float32)
    asked = constraint_lib.Constraint(values, np.ones_like(values))
    self._function = tf.function(
      lambda start: search.improve(
        start, asked, tf.range(rows, dtype=tf.int64)
      ),
      autograph=False,
    )
    self.parameters = critic.count_params() + read.count_params()
    self.items = rows
    self.flops = 0.0
    np.savez(
      os.path.join(folder, "arrays.npz"),
      start=self._start,
      values=values,
      **_weights("critic", critic),
      **_weights("read", read),
    )

  def loss(self):
    """Returns how far rows have gone in the end."""
    moved = self._function(tf.constant(self._start)).latents - self._start
    return tf.reduce_mean(tf.abs(moved))

  def run(self, steps):
    """See `tasks.Task`."""
    for _ in range(steps):
      self._function(tf.constant(self._start)).latents.numpy()


def _weights(name, network):
  return {f"{name}{i}": value for i, value in enumerate(network.get_weights())}


if __name__ == "__main__":
  kinds = {"cycle": _Cycle, "search": _Search}
  tasks.serve(
    lambda case, folder: kinds[case["work"]](case, folder), tf.constant
  )
