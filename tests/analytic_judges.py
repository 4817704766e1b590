"""Judges with analytic solutions, for the tests of samplers."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lc_keras.constraints import attributes
from lc_keras.constraints import constraint
from lc_keras.samplers import sampler

LATENT_SIZE = 4
# Bald depends on the first dimension, ...; nothing depends on the fourth.
ATTRIBUTES = attributes.Attributes(
  ("Bald", "Black_Hair", "Male", "Smiling", "Young"), [("Bald", "Black_Hair")]
)
NORMALS = np.array(
  [
    [4.0, 0.0, 0.0, 2.0, -2.0],
    [0.0, 4.0, 0.0, 2.0, 0.0],
    [0.0, 0.0, 4.0, 0.0, 2.0],
    [0.0, 0.0, 0.0, 0.0, 0.0],
  ],
  np.float32,
)


def attribute_critic(latents: tf.Tensor) -> tf.Tensor:
  """Returns linear logits, [batch, 5]."""
  return tf.matmul(latents, NORMALS)


def critic(latents: tf.Tensor, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
  """Returns logits [batch]: latents near the origin are realistic."""
  del values, mask
  return 3.0 - 0.5 * tf.reduce_sum(tf.square(latents), axis=-1)


JUDGES = sampler.Judges(
  ATTRIBUTES,
  critic,
  attribute_critic,
  np.array([0.1, 0.2, 0.5, 0.9], np.float32),
)


class _Unchanged:
  """A whitening that is the identity, without variables."""

  def __call__(self, latents):
    return latents

  undo = noise = __call__


class Flow:
  """The exact flow of latents N(mean(y), 0.5^2) in every dimension.

  The mean is 0, but for the third dimension: 2 for Male, -2 for not Male.
  """

  SCALE = 0.5
  whitening = _Unchanged()

  def __call__(self, points, angles, values, mask):
    male = ATTRIBUTES.index("Male")
    side = mask[:, male] * (2.0 * values[:, male] - 1.0)
    mean = 2.0 * side[:, tf.newaxis] * tf.one_hot(2, LATENT_SIZE)
    cosine = tf.cos(angles)[:, tf.newaxis]
    sine = tf.sin(angles)[:, tf.newaxis]
    # The expected noise and latent, given the point.
    away = points - sine * mean
    away /= tf.square(cosine) + tf.square(sine * self.SCALE)
    return cosine * (mean + self.SCALE**2 * sine * away) - sine * cosine * away


def ask(rows: int = 3, **targets: float) -> constraint.Constraint:
  """Returns a constraint, the same in each row: `ask(Male=1.0)`."""
  values, weights = np.zeros([2, rows, len(ATTRIBUTES)], np.float32)
  for name, value in targets.items():
    column = ATTRIBUTES.index(name)
    values[:, column], weights[:, column] = value, 1.0
  return constraint.Constraint(tf.constant(values), tf.constant(weights))


def seeds(rows: int = 3, first: int = 0) -> tf.Tensor:
  """Returns one seed per row, int64."""
  return tf.range(first, first + rows, dtype=tf.int64)


def latents(rows: int = 3, seed: int = 0) -> tf.Tensor:
  """Returns random latent vectors."""
  return tf.random.stateless_normal([rows, LATENT_SIZE], [seed, 1])


@functools.cache
def graph(
  method: Callable[..., sampler.Result], realism_weight: float = 1.0
) -> Callable:
  """Returns a sampler's method as a function like an exported signature.

  Traced once for each sampler, which saves time.

  Args:
    method: `transform` or `sample` of a sampler.
    realism_weight: The weight of realism in every constraint.

  Returns:
    A function of (latents,) values, weights and seeds.
  """
  per_attribute = tf.TensorSpec([None, len(ATTRIBUTES)], tf.float32)
  specs = [per_attribute, per_attribute, tf.TensorSpec([None], tf.int64)]
  if method.__name__ == "transform":
    specs = [tf.TensorSpec([None, LATENT_SIZE], tf.float32), *specs]

  def call(*arguments):
    *latents, values, weights, rows = arguments
    request = constraint.Constraint(values, weights, realism_weight)
    return method(*latents, request, rows)

  return tf.function(call, input_signature=specs, autograph=False)


def run(
  method: Callable[..., sampler.Result],
  request: constraint.Constraint,
  *latents: tf.Tensor,
) -> sampler.Result:
  """Runs a sampler's method in a graph, with the seeds 0, 1, ..."""
  rows = seeds(request.values.shape[0])
  function = graph(method, request.realism_weight)
  return function(*latents, request.values, request.weights, rows)
