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


class CriticCrossEntropyTest(tf.test.TestCase, parameterized.TestCase):
  def test_is_the_papers_with_its_misprint_corrected(self):
    logits = 3 * _normal(_BATCH)
    value = _sigmoid(logits)
    real = losses.critic_cross_entropy(logits, is_real=True)
    fake = losses.critic_cross_entropy(logits, is_real=False)
    self.assertAllClose(real, -np.log(value))
    self.assertAllClose(fake, -np.log(1.0 - value))
    self.assertEqual(fake.shape, [_BATCH])

  @parameterized.parameters(True, False)
  def test_is_bounded_below_and_finite_with_finite_gradients(self, is_real):
    # The paper prints L_{c=0} = -(1 - log D), which goes to minus infinity.
    logits = tf.constant(_HUGE)
    with tf.GradientTape() as tape:
      tape.watch(logits)
      values = losses.critic_cross_entropy(logits, is_real)
    self.assertAllGreaterEqual(values, 0.0)
    self.assertAllInRange(values, 0.0, 2e30)
    self.assertAllInRange(tape.gradient(values, logits), -1.0, 1.0)

  def test_is_lowest_for_the_confidently_right(self):
    logits = tf.constant(_HUGE)
    real = losses.critic_cross_entropy(logits, is_real=True).numpy()
    fake = losses.critic_cross_entropy(logits, is_real=False).numpy()
    self.assertTrue(np.all(np.diff(real) <= 0) and real[0] > real[-1])
    self.assertTrue(np.all(np.diff(fake) >= 0) and fake[0] < fake[-1])


class AttributeCrossEntropyTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.logits = 3 * _normal(_BATCH, _ATTRIBUTES)
    self.labels = _binary(_BATCH, _ATTRIBUTES)
    value = _sigmoid(self.logits)
    self.each = -np.where(self.labels, np.log(value), np.log(1.0 - value))

  def test_is_the_mean_over_attributes(self):
    values = losses.attribute_cross_entropy(self.logits, self.labels)
    self.assertAllClose(values, self.each.mean(axis=-1))
    self.assertEqual(values.shape, [_BATCH])

  def test_counts_only_what_is_asked_for(self):
    mask = np.array([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]])
    mask = mask.astype(np.float32)
    values = losses.attribute_cross_entropy(self.logits, self.labels, mask)
    self.assertAllClose(values, (mask * self.each).sum(-1) / mask.sum(-1))

  def test_is_zero_with_no_gradient_where_nothing_is_asked_for(self):
    logits = tf.constant(self.logits)
    with tf.GradientTape() as tape:
      tape.watch(logits)
      values = losses.attribute_cross_entropy(
        logits, self.labels, tf.zeros([_BATCH, _ATTRIBUTES])
      )
    self.assertAllEqual(values, np.zeros(_BATCH))
    self.assertAllEqual(
      tape.gradient(values, logits), np.zeros([_BATCH, _ATTRIBUTES])
    )

  def test_is_finite_with_finite_gradients_at_the_extremes(self):
    logits = tf.constant([_HUGE])
    with tf.GradientTape() as tape:
      tape.watch(logits)
      values = losses.attribute_cross_entropy(logits, tf.ones_like(logits))
    self.assertAllInRange(values, 0.0, 2e30)
    self.assertAllInRange(tape.gradient(values, logits), -1.0, 1.0)

  def test_takes_labels_between_zero_and_one(self):
    logits = np.zeros([_BATCH, _ATTRIBUTES], np.float32)
    halves = np.full([_BATCH, _ATTRIBUTES], 0.5, np.float32)
    self.assertAllClose(
      losses.attribute_cross_entropy(logits, halves), [np.log(2)] * _BATCH
    )


class GradientPenaltyTest(tf.test.TestCase):
  def test_measures_how_far_the_slope_is_from_one(self):
    slopes = np.array([[0.6], [1.0], [3.0]], np.float32)
    direction = np.array([[0.0, 0.8, 0.6, 0.0]], np.float32)
    penalty = losses.gradient_penalty(tf.constant(slopes * direction))
    self.assertAllClose(penalty, [0.16, 0.0, 4.0], atol=1e-5)

  def test_a_flat_critic_gets_finite_gradients(self):
    # The square root has none at zero.
    slopes = tf.Variable(tf.zeros([_BATCH, _LATENT]))
    with tf.GradientTape() as tape:
      penalty = losses.gradient_penalty(slopes)
    self.assertAllClose(penalty, np.ones(_BATCH), atol=1e-5)
    self.assertAllInRange(tape.gradient(penalty, slopes), -1e6, 1e6)

  def test_makes_steep_critics_less_steep(self):
    slopes = tf.Variable([[3.0, 0.0, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
      penalty = losses.gradient_penalty(slopes)
    steeper = tape.gradient(penalty, slopes)[:, 0]
    self.assertGreater(steeper[0], 0.0)
    self.assertLess(steeper[1], 0.0)


class ZeroCentredPenaltyTest(tf.test.TestCase):
  def test_is_half_the_squared_slope(self):
    # D = a * sum of c_i x_i has slope a |c| everywhere.
    direction = _normal(2, 3, 1)
    slopes = tf.constant([0.0, 1.0, -3.0])[
      :, tf.newaxis, tf.newaxis, tf.newaxis
    ]
    penalty = losses.zero_centred_penalty(
      lambda x: tf.reduce_sum(slopes * direction * x, axis=[1, 2, 3]),
      tf.constant(_normal(_BATCH, 2, 3, 1)),
    )
    square = np.sum(direction**2)
    self.assertAllClose(penalty, [0.0, 0.5 * square, 4.5 * square])

  def test_teaches_the_discriminator(self):
    weights = tf.Variable([3.0, -2.0])
    with tf.GradientTape() as tape:
      penalty = losses.zero_centred_penalty(
        lambda x: tf.linalg.matvec(x[:, 0, 0], weights),
        tf.constant(_normal(_BATCH, 1, 1, 2)),
      )
    # The derivative of |w|^2 / 2, in each row.
    self.assertAllClose(tape.gradient(penalty, weights), [9.0, -6.0])


class LatentDistanceTest(tf.test.TestCase, parameterized.TestCase):
  def test_is_the_formula(self):
    moved, start = _normal(_BATCH, _LATENT), _normal(_BATCH, _LATENT, seed=2)
    scale = np.array([0.1, 0.5, 0.9, 1.1], np.float32)
    expected = (np.log(1 + (moved - start) ** 2) / scale**2).mean(axis=-1)
    distance = losses.latent_distance(moved, start, scale)
    self.assertAllClose(distance, expected, rtol=1e-5)
    self.assertEqual(distance.shape, [_BATCH])

  @parameterized.parameters(1, 4, 1024)
  def test_is_a_mean_over_dimensions(self, size):
    # Summed, it would grow with the size, and lambda_dist with it.
    distance = losses.latent_distance(
      tf.ones([_BATCH, size]), tf.zeros([_BATCH, size]), tf.ones([size])
    )
    self.assertAllClose(distance, [np.log(2)] * _BATCH)

  def test_is_zero_only_for_the_unmoved(self):
    start = _normal(_BATCH, _LATENT)
    moved = start.copy()
    moved[1, 2] += 1e-2
    distance = losses.latent_distance(moved, start, np.ones(_LATENT, "f4"))
    self.assertAllEqual(distance.numpy() > 0, [False, True, False])

  def test_a_dimension_that_the_encoder_uses_costs_more(self):
    start, scale = np.zeros([2, 2], "f4"), np.array([0.1, 1.0], "f4")
    distance = losses.latent_distance(np.eye(2, dtype="f4"), start, scale)
    self.assertAllClose(distance[0], 100 * distance[1])

  def test_has_finite_gradients_at_the_extremes(self):
    moved = tf.constant([[0.0, 1e-30, 1e4, -1e9]])
    with tf.GradientTape() as tape:
      tape.watch(moved)
      distance = losses.latent_distance(
        moved, tf.zeros_like(moved), tf.fill([_LATENT], 1e-3)
      )
    self.assertAllInRange(distance, 0.0, 1e9)
    self.assertAllInRange(tape.gradient(distance, moved), -1e9, 1e9)


class NegativeElboTest(tf.test.TestCase):
  def test_is_rate_plus_distortion(self):
    likelihood, rate = -100 * _binary(_BATCH) - 1, np.abs(_normal(_BATCH))
    self.assertAllClose(
      losses.negative_elbo(likelihood, rate), rate - likelihood
    )

  def test_beta_weighs_the_rate_alone(self):
    likelihood, rate = _normal(_BATCH), np.abs(_normal(_BATCH, seed=2))
    self.assertAllClose(
      losses.negative_elbo(likelihood, rate, 0.0), -likelihood
    )
    self.assertAllClose(
      losses.negative_elbo(likelihood, rate, 4.0), 4 * rate - likelihood
    )


class PerExampleTest(tf.test.TestCase, parameterized.TestCase):
  """The loss of a permuted batch is the permuted loss: rows do not mix."""

  @parameterized.named_parameters(
    ("elbo", losses.negative_elbo, [(), ()]),
    ("real", lambda x: losses.critic_cross_entropy(x, True), [()]),
    ("fake", lambda x: losses.critic_cross_entropy(x, False), [()]),
    ("attributes", losses.attribute_cross_entropy, [(_ATTRIBUTES,)] * 2),
    ("masked", losses.attribute_cross_entropy, [(_ATTRIBUTES,)] * 3),
    (
      "penalty",
      losses.gradient_penalty,
      [(_LATENT,)],
    ),
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


if __name__ == "__main__":
  tf.test.main()
