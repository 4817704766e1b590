import warnings

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from scipy import linalg
from sklearn.metrics import pairwise

from lc_keras.evaluation import fidelity


def _normal(seed, rows=300, features=6, shift=0.0, scale=1.0):
  draws = np.random.default_rng(seed).normal(size=[rows, features])
  return (shift + scale * draws).astype(np.float32)


class FrechetDistanceTest(parameterized.TestCase):
  def test_of_itself_is_zero_even_with_dead_features(self):
    features = _normal(0)
    features[:, 2] = 0
    features[:, 3] = features[:, 4]
    found, error = fidelity.frechet_distance(features, features)
    self.assertAlmostEqual(found, 0, places=5)
    self.assertTrue(np.isfinite(error))

  @parameterized.parameters((400, 350, 300), (20, 30, 60))
  def test_is_the_usual_formula_to_all_digits(self, count, made_count, size):
    real, made = _normal(0, count, size), _normal(1, made_count, size)
    real, made = np.float64(real), np.float64(made)
    found, _ = fidelity.frechet_distance(real, made)
    product = np.cov(real.T) @ np.cov(made.T)
    roots = np.sqrt(np.maximum(linalg.eigvals(product).real, 0))
    if count < size:  # The others are zero except for rounding, whose root
      roots = np.sort(roots)[-count + 1 :]  # has half the digits.
    expected = np.sum((real.mean(axis=0) - made.mean(axis=0)) ** 2)
    expected += np.trace(np.cov(real.T) + np.cov(made.T)) - 2 * roots.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-9)

  @parameterized.parameters((0.0, 1.0), (0.1, 1.0), (0.0, 1.2))
  def test_error_is_the_spread_over_draws(self, shift, scale):
    real = _normal(0, 500)
    found = [
      fidelity.frechet_distance(
        real, np.exp(0.5 * _normal(seed, 500, shift=shift, scale=scale))
      )
      for seed in range(1, 150)
    ]
    distances, errors = np.transpose(found)
    spread = distances.std()
    self.assertBetween(errors.mean(), 0.85 * spread, 1.15 * spread)


class KernelDistanceTest(absltest.TestCase):
  def test_agrees_with_counting_pairs(self):
    real, made = _normal(0, 7), _normal(1, 5, shift=1)
    found, _ = fidelity.kernel_distance(real, made)

    def kernel(x, y):
      return (x @ y / 6 + 1) ** 3

    own, others = (
      np.mean([kernel(x, y) for x in rows for y in rows if x is not y])
      for rows in (list(real), list(made))
    )
    across = np.mean([kernel(x, y) for x in real for y in made])
    self.assertAlmostEqual(found, own + others - 2 * across, places=4)

  def test_resamples_spread_as_draws_do(self):
    real = _normal(0, 100)
    found, resampled = zip(
      *(
        fidelity.kernel_distance(real, _normal(seed, 100, shift=0.3), 50)
        for seed in range(1, 100)
      )
    )
    spread = np.std(resampled, axis=1).mean()
    self.assertBetween(spread, 0.75 * np.std(found), 1.25 * np.std(found))

  def test_a_resample_of_one_row_alone_is_nan(self):
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      _, resampled = fidelity.kernel_distance(_normal(0, 7), _normal(1, 2), 100)
    self.assertTrue(np.isnan(resampled).any())
    self.assertTrue(np.isfinite(resampled).any())


class WithinTest(absltest.TestCase):
  def test_agrees_with_the_definition(self):
    support, features = _normal(0, 30, 2), _normal(1, 40, 2, scale=1.5)
    own = np.sort(pairwise.euclidean_distances(support), axis=1)
    # The first is the row itself.
    radii = own[:, 3]
    expected = [
      any(np.linalg.norm(row - s) <= r for s, r in zip(support, radii))
      for row in features
    ]
    self.assertIn(False, expected)
    np.testing.assert_array_equal(fidelity.within(support, features), expected)


class FidelityTest(parameterized.TestCase):
  def test_of_identical_sets(self):
    features = _normal(0)
    found = fidelity.fidelity(features, features)
    self.assertAlmostEqual(found["fid"], 0, places=4)
    self.assertEqual((found["precision"], found["recall"]), (1, 1))
    # Unbiased for independent sets, so negative for equal ones.
    self.assertLess(found["kid"], 0)
    self.assertEqual((found["real_count"], found["made_count"]), (300, 300))

  def test_precision_and_recall_tell_too_little_from_too_much(self):
    real = _normal(0)
    narrow = fidelity.fidelity(real, _normal(1, scale=0.3))
    wide = fidelity.fidelity(real, _normal(1, scale=3))
    self.assertGreater(narrow["precision"], 0.9)
    self.assertLess(narrow["recall"], 0.3)
    self.assertLess(wide["precision"], 0.3)
    self.assertGreater(wide["recall"], 0.9)
    apart = fidelity.fidelity(real, _normal(1, shift=100))
    self.assertEqual((apart["precision"], apart["recall"]), (0, 0))
    self.assertGreater(apart["fid"], 6 * 99**2)
    self.assertGreater(apart["intervals"]["kid"][0], 0)

  def test_intervals_hold_what_they_are_of(self):
    found = fidelity.fidelity(_normal(0), _normal(1, 200, shift=0.2))
    self.assertLen(found["intervals"], 4)
    for name, (low, high) in found["intervals"].items():
      self.assertBetween(found[name], low, high)
      self.assertLess(low, high)
    bare = fidelity.fidelity(
      _normal(0), _normal(1, 200, shift=0.2), resamples=0
    )
    self.assertEqual(found.keys() - bare.keys(), {"intervals"})

  def test_seed_draws_the_rows(self):
    sets = _normal(0), _normal(1, 200)
    first, again, other = (
      fidelity.fidelity(*sets, rows=50, seed=seed) for seed in (0, 0, 1)
    )
    self.assertEqual(first, again)
    self.assertNotEqual(first["fid"], other["fid"])
    self.assertEqual((first["real_count"], first["made_count"]), (50, 50))

  @parameterized.named_parameters(
    ("few", np.zeros([3, 6]), "at least 4"),
    ("images", np.zeros([9, 2, 3]), "shape"),
    ("other network", np.zeros([9, 5]), "one network"),
    ("nan", np.full([9, 6], np.nan), "finite"),
  )
  def test_refuses(self, made, message):
    with self.assertRaisesRegex(ValueError, message):
      fidelity.fidelity(_normal(0), made)
