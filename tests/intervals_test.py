import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from scipy import stats

from lc_keras.evaluation import intervals


class WeightsTest(absltest.TestCase):
  def test_seed_decides(self):
    first, again, other = (intervals.weights(7, 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    self.assertFalse(np.array_equal(first, other))
    np.testing.assert_array_equal(first.sum(axis=1), np.full(20, 7))


class ShareTest(parameterized.TestCase):
  @parameterized.parameters((0, 9), (3, 7), (64, 64))
  def test_is_wilsons(self, hits, rows):
    expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    np.testing.assert_allclose(
      intervals.share(np.arange(rows) < hits), list(expected), atol=1e-12
    )


class MeansTest(absltest.TestCase):
  def test_are_those_of_explicit_resamples(self):
    values = np.random.default_rng(0).normal(size=7)
    weights = intervals.weights(7, 5)
    for weight, mean in zip(weights, intervals.means(values, weights)):
      drawn = np.repeat(values, weight.astype(int))
      self.assertAlmostEqual(mean, drawn.mean())

  def test_of_rows_that_were_not_drawn_are_left_out(self):
    weights = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    means = intervals.means([3.0], weights[:, :1])
    np.testing.assert_array_equal(means, [3, np.nan, 3])
    self.assertEqual(intervals.percentile(means), [3, 3])


class NormalTest(absltest.TestCase):
  def test_is_two_errors_wide_on_either_side(self):
    low, high = intervals.normal(3, 0.5)
    self.assertAlmostEqual(low, 3 - 0.98, places=3)
    self.assertAlmostEqual(high, 3 + 0.98, places=3)
