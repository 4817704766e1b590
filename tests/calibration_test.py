"""Tests of calibration: figures are of rows not trained on."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from scipy import special

from lc_keras.learning import calibration
from lc_keras.learning import examples


class _Known:
  """A model whose members return given logits."""

  def __init__(self, logits):
    self._logits = tf.constant(logits, tf.float32)
    self.calibration = None

  def by_member(self, latents):
    # The first coordinate is the number of the row.
    return tf.gather(self._logits, tf.cast(latents[:, 0], tf.int32))

  def calibrate(self, slope, shift):
    self.calibration = slope, shift


class _Itself:
  """A model that reads a latent vector of one number as its logit."""

  def predict(self, latents, batch_size, verbose):
    return latents[:, 0]


def _examples(value, weight=None, folds=2):
  numbers = np.arange(len(value), dtype=np.float32)[:, np.newaxis]
  return examples.Examples.of(numbers, [0.1], value, weight, folds=folds)


class CalibrationTest(tf.test.TestCase, parameterized.TestCase):
  def test_probabilities_are_calibrated(self):
    random = np.random.default_rng(0)
    truth = random.normal(size=4000) * 2.0 - 1.0
    value = (random.uniform(size=4000) < special.expit(truth)).astype(
      np.float32
    )
    # Logits four times too large, with a wrong bias.
    model = _Known(np.tile((4.0 * truth + 3.0)[:, np.newaxis], [1, 2]))
    known = calibration.calibrate(model, _examples(value))
    slope, shift = model.calibration
    self.assertAllClose(slope, 0.25, atol=0.03)
    self.assertAllClose(shift, -0.75, atol=0.1)
    self.assertLess(known["calibration_error"], 0.03)
    self.assertAllClose(known["on"], value.mean(), atol=1e-6)

  def test_what_a_member_has_seen_does_not_count(self):
    value = np.tile([0.0, 1.0], 200).astype(np.float32)
    rows = _examples(value)
    # Right on its training rows, random elsewhere.
    random = np.random.default_rng(1)
    logits = np.where(value[:, np.newaxis] > 0.5, 5.0, -5.0) * np.ones([1, 2])
    logits[np.arange(400), rows.fold] = random.choice([-5.0, 5.0], 400)
    known = calibration.calibrate(_Known(logits), rows)
    low, high = known["balanced_accuracy"]["interval"]
    self.assertBetween(0.5, low - 0.03, high + 0.03)
    self.assertFalse(calibration.trustworthy(known))

  def test_a_good_critic_is_trusted_once_there_are_enough_rows(self):
    def known(count):
      value = np.tile([0.0, 1.0], count // 2).astype(np.float32)
      read = np.where(np.arange(count) % 10 == 0, 1.0 - value, value)
      return calibration.figures(read, value, np.ones(count))

    self.assertTrue(calibration.trustworthy(known(1000)))
    self.assertFalse(calibration.trustworthy(known(40)))

  def test_a_few_rows_of_a_kind_cannot_show_much(self):
    # All are read right, which with five rows may be chance.
    value = (np.arange(1000) < 5).astype(np.float32)
    known = calibration.figures(value, value, np.ones(1000))
    self.assertEqual(known["balanced_accuracy"]["value"], 1.0)
    self.assertFalse(calibration.trustworthy(known))
    # Weights do not increase the evidence.
    heavy = calibration.figures(value, value, np.where(value > 0.5, 200.0, 1.0))
    self.assertAllClose(
      heavy["balanced_accuracy"]["interval"],
      known["balanced_accuracy"]["interval"],
    )

  def test_the_margin_is_that_of_three_rows_in_four(self):
    # Without noise, the logit is the row itself.
    logits = np.linspace([-4.0, 0.0], [0.0, 4.0], 101).T
    rows = examples.Examples.of(
      logits.reshape(-1, 1), [1.0], np.repeat([0.0, 1.0], 101), folds=2
    )
    off, on = calibration.margin(_Itself(), rows, noise=0.0)
    self.assertAllClose(off, special.expit(-1.0), atol=1e-3)
    self.assertAllClose(on, special.expit(-1.0), atol=1e-3)
    # With any noise, a search must reach the right side.
    self.assertEqual(
      calibration.margin(_Itself(), rows, noise=50.0), [0.45, 0.45]
    )

  def test_weights_count(self):
    value = np.array([1, 1, 0, 0], np.float32)
    read = np.array([0.9, 0.1, 0.1, 0.9], np.float32)
    weight = np.array([3, 1, 1, 3], np.float64)
    known = calibration.figures(read, value, weight)
    self.assertAllClose(known["balanced_accuracy"]["value"], 0.5)
    self.assertAllClose(known["f1"]["value"], 6 / 10)
    self.assertAllClose(known["accuracy"]["value"], 0.5)

  def test_a_critic_that_is_always_wrong_is_worth_nothing(self):
    value = np.tile([0.0, 1.0], 50).astype(np.float32)
    model = _Known(np.where(value, -3.0, 3.0)[:, np.newaxis] * np.ones([1, 2]))
    calibration.calibrate(model, _examples(value))
    self.assertEqual(model.calibration[0], 0.0)
