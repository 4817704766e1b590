import numpy as np
from absl.testing import absltest

from lc_keras.evaluation import diversity


def _people(seed, scale=1.0, rows=12, conditions=5):
  """Returns features around a different point for each condition."""
  generator = np.random.default_rng(seed)
  return {
    condition: 10 * condition + scale * generator.normal(size=[rows, 4])
    for condition in range(conditions)
  }


class DiversityTest(absltest.TestCase):
  def test_agrees_with_counting_pairs(self):
    made = {"a": np.array([[0.0], [1.0], [3.0]]), "b": np.array([[0.0], [5.0]])}
    real = {"a": np.array([[0.0], [4.0]]), "b": np.array([[7.0], [8.0]])}
    found = diversity.diversity(made, real)
    # Distances 1, 2, 3 of three rows, and 5 of two.
    self.assertAlmostEqual(found["distance"], (3 * 2 + 2 * 5) / 5)
    self.assertAlmostEqual(found["real_distance"], (3 * 4 + 2 * 1) / 5)
    self.assertAlmostEqual(found["ratio"], 16 / 14)
    self.assertEqual(found["conditions"], 2)

  def test_ratio_is_that_of_the_spreads_within(self):
    found = diversity.diversity(_people(0, scale=0.4), _people(1), rows=6)
    self.assertAlmostEqual(found["ratio"], 0.4, delta=0.06)
    low, high = found["intervals"]["ratio"]
    self.assertBetween(found["ratio"], low, high)
    self.assertLess(high, 0.6)
    bare = diversity.diversity(_people(0), _people(0), resamples=0)
    self.assertEqual((bare["ratio"], "intervals" in bare), (1, False))

  def test_conditions_without_pairs_are_left_out(self):
    made, real = _people(0), _people(1)
    made[0], real[1] = made[0][:1], real[1][:1]
    del real[2]
    found = diversity.diversity(made, real)
    self.assertEqual(found["conditions"], 2)
    with self.assertRaisesRegex(ValueError, "two made and two real rows"):
      diversity.diversity({0: made[0]}, real)


class SortingTest(absltest.TestCase):
  def test_by_labels(self):
    features = np.arange(6).reshape(3, 2)
    found = diversity.by_labels(features, np.array([[0, 1.0], [1, 1], [0, 1]]))
    self.assertEqual(set(found), {(0, 1), (1, 1)})
    np.testing.assert_array_equal(found[0, 1], features[[0, 2]])
