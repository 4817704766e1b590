"""Tests of losses: against the formulas in numpy, and at the extremes."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import losses

_BATCH, _LATENT, _ATTRIBUTES = 3, 4, 5
_HUGE = [-1e30, -1e4, -90.0, 0.0, 90.0, 1e4, 1e30]


def _normal(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _binary(*shape, seed=1):
  return (_normal(*shape, seed=seed) > 0).astype(np.float32)


def _sigmoid(logits):
  return 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))


def _with_gradient(loss, argument):
  argument = tf.constant(argument)
  with tf.GradientTape() as tape:
    tape.watch(argument)
    values = loss(argument)
  return values, tape.gradient(values, argument)


class CrossEntropyTest(tf.test.TestCase, parameterized.TestCase):
  def test_of_a_critic_is_the_papers_with_its_misprint_corrected(self):
    logits = 3 * _normal(_BATCH)
    real = losses.critic_cross_entropy(logits, is_real=True)
    fake = losses.critic_cross_entropy(logits, is_real=False)
    self.assertAllClose(real, -np.log(_sigmoid(logits)))
    self.assertAllClose(fake, -np.log(1.0 - _sigmoid(logits)))

  def test_of_attributes_is_the_mean_over_those_that_count(self):
    logits, labels = (
      3 * _normal(_BATCH, _ATTRIBUTES),
      _binary(_BATCH, _ATTRIBUTES),
    )
    value = _sigmoid(logits)
    each = -np.where(labels, np.log(value), np.log(1.0 - value))
    values = losses.attribute_cross_entropy(logits, labels)
    self.assertAllClose(values, each.mean(axis=-1))
    mask = np.float32([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]])
    values = losses.attribute_cross_entropy(logits, labels, mask)
    self.assertAllClose(values, (mask * each).sum(-1) / mask.sum(-1))
    halves = losses.attribute_cross_entropy(0 * logits, 0 * labels + 0.5)
    self.assertAllClose(halves, [np.log(2)] * _BATCH)

  def test_is_zero_with_no_gradient_where_nothing_counts(self):
    values, gradient = _with_gradient(
      lambda logits: losses.attribute_cross_entropy(
        logits, tf.ones_like(logits), tf.zeros_like(logits)
      ),
      _normal(_BATCH, _ATTRIBUTES),
    )
    self.assertAllEqual(values, np.zeros(_BATCH))
    self.assertAllEqual(gradient, np.zeros([_BATCH, _ATTRIBUTES]))

  @parameterized.named_parameters(
    # The paper prints L_{c=0} = -(1 - log D), which goes to minus infinity.
    ("real", lambda x: losses.critic_cross_entropy(x, True)),
    ("fake", lambda x: losses.critic_cross_entropy(-x, False)),
    (
      "attributes",
      lambda x: losses.attribute_cross_entropy(
        x[:, tf.newaxis], tf.ones([len(_HUGE), 1])
      ),
    ),
  )
  def test_is_bounded_and_monotonic_with_finite_gradients(self, loss):
    values, gradient = _with_gradient(loss, _HUGE)
    self.assertAllInRange(values, 0.0, 2e30)
    self.assertTrue(np.all(np.diff(values) <= 0) and values[0] > values[-1])
    self.assertAllInRange(gradient, -1.0, 1.0)


class PenaltyTest(tf.test.TestCase):
  def test_measures_how_far_the_slope_is_from_one(self):
    direction = np.array([[0.0, 0.8, 0.6, 0.0]], np.float32)
    penalty, gradient = _with_gradient(
      lambda slopes: losses.gradient_penalty(slopes * direction),
      np.array([[0.6], [1.0], [3.0]], np.float32),
    )
    self.assertAllClose(penalty, [0.16, 0.0, 4.0], atol=1e-5)
    self.assertAllClose(gradient[:, 0], [-0.8, 0.0, 4.0], atol=1e-5)

  def test_a_flat_critic_gets_finite_gradients(self):
    # The square root has no gradient at zero.
    penalty, gradient = _with_gradient(
      losses.gradient_penalty, np.zeros([_BATCH, _LATENT], np.float32)
    )
    self.assertAllClose(penalty, np.ones(_BATCH), atol=1e-5)
    self.assertAllInRange(gradient, -1e6, 1e6)

  def test_zero_centred_is_half_the_squared_slope_and_trains(self):
    images = tf.constant(_normal(_BATCH, 1, 1, 2))
    penalty, gradient = _with_gradient(
      lambda weights: losses.zero_centred_penalty(
        lambda x: tf.linalg.matvec(x[:, 0, 0], weights), images
      ),
      [3.0, -2.0],
    )
    self.assertAllClose(penalty, [6.5] * _BATCH)
    # The derivative of |w|^2 / 2, in each row.
    self.assertAllClose(gradient, [9.0, -6.0])


class LatentDistanceTest(tf.test.TestCase, parameterized.TestCase):
  def test_is_the_formula(self):
    moved, start = _normal(_BATCH, _LATENT), _normal(_BATCH, _LATENT, seed=2)
    start[1] = moved[1]
    # A dimension that the encoder uses, with a small scale, costs more.
    scale = np.array([0.1, 0.5, 0.9, 1.1], np.float32)
    expected = (np.log(1 + (moved - start) ** 2) / scale**2).mean(axis=-1)
    distance = losses.latent_distance(moved, start, scale)
    self.assertAllClose(distance, expected, rtol=1e-5)
    self.assertAllEqual(distance.numpy() > 0, [True, False, True])

  @parameterized.parameters(1, 1024)
  def test_is_a_mean_over_dimensions(self, size):
    # A sum would grow with the latent size, and so would lambda_dist.
    distance = losses.latent_distance(
      tf.ones([_BATCH, size]), tf.zeros([_BATCH, size]), tf.ones([size])
    )
    self.assertAllClose(distance, [np.log(2)] * _BATCH)

  def test_has_finite_gradients_at_the_extremes(self):
    distance, gradient = _with_gradient(
      lambda moved: losses.latent_distance(
        moved, tf.zeros_like(moved), tf.fill([_LATENT], 1e-3)
      ),
      [[0.0, 1e-30, 1e4, -1e9]],
    )
    self.assertAllInRange(distance, 0.0, 1e9)
    self.assertAllInRange(gradient, -1e9, 1e9)


class NegativeElboTest(tf.test.TestCase):
  def test_is_distortion_plus_weighted_rate(self):
    likelihood, rate = _normal(_BATCH), np.abs(_normal(_BATCH, seed=2))
    for beta in (0.0, 1.0, 4.0):
      elbo = losses.negative_elbo(likelihood, rate, beta)
      self.assertAllClose(elbo, beta * rate - likelihood)


class PerExampleTest(tf.test.TestCase, parameterized.TestCase):
  """The loss of a permuted batch is the permuted loss: rows do not mix."""

  @parameterized.named_parameters(
    ("elbo", losses.negative_elbo, [(), ()]),
    ("real", lambda x: losses.critic_cross_entropy(x, True), [()]),
    ("fake", lambda x: losses.critic_cross_entropy(x, False), [()]),
    ("attributes", losses.attribute_cross_entropy, [(_ATTRIBUTES,)] * 2),
    ("masked", losses.attribute_cross_entropy, [(_ATTRIBUTES,)] * 3),
    ("penalty", losses.gradient_penalty, [(_LATENT,)]),
    (
      "distance",
      lambda a, b: losses.latent_distance(a, b, tf.fill([_LATENT], 0.5)),
      [(_LATENT,)] * 2,
    ),
  )
  def test_rows_do_not_mix(self, loss, shapes):
    arguments = [
      _binary(7, *shape, seed=seed) + 0.1 * _normal(7, *shape, seed=seed)
      for seed, shape in enumerate(shapes)
    ]
    order = np.random.default_rng(0).permutation(7)
    values = np.asarray(loss(*arguments))
    self.assertEqual(values.shape, (7,))
    self.assertNotAllClose(values, values[order])
    self.assertAllClose(loss(*(x[order] for x in arguments)), values[order])
