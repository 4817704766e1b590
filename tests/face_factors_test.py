"""Tests of the factors of cartoon faces: rates, rules, seeds."""

import numpy as np
from absl.testing import parameterized

from lc_keras.data.toon_faces import factors

_COLUMN = {name: i for i, name in enumerate(factors.NAMES)}


class SampleTest(parameterized.TestCase):
  def test_a_face_depends_on_seed_and_row_only(self):
    whole = factors.sample(3, 0, factors.BLOCK + 7)
    piece = factors.sample(3, factors.BLOCK - 5, factors.BLOCK + 2)
    rows = slice(factors.BLOCK - 5, factors.BLOCK + 2)
    np.testing.assert_array_equal(piece.traits, whole.traits[rows])
    np.testing.assert_array_equal(piece.draws, whole.draws[rows])

  def test_seeds_and_blocks_differ(self):
    first, second = factors.sample(3, 0, 2 * factors.BLOCK).draws.reshape(
      2, factors.BLOCK, -1
    )
    other = factors.sample(4, 0, factors.BLOCK).draws
    self.assertFalse(np.intersect1d(first[:, 0], second[:, 0]).size)
    self.assertFalse(np.intersect1d(first[:, 0], other[:, 0]).size)

  def test_rates_are_those_of_celeb_a_and_exclusive_labels_never_meet(self):
    count = 20 * factors.BLOCK
    labels = factors.sample(1, 0, count).labels
    for group in factors.EXCLUSIVE:
      columns = [_COLUMN[name] for name in group]
      self.assertLessEqual(labels[:, columns].sum(1).max(), 1, group)
    for name, rate in zip(factors.NAMES, labels.mean(0)):
      expected = factors.MARGINALS[name]
      # Six standard errors, and the rounding of the kinds of beard.
      tolerance = 6 * np.sqrt(expected / count) + 0.002
      self.assertAlmostEqual(rate, expected, delta=tolerance, msg=name)

  def test_what_sex_sways_occurs_in_both(self):
    faces = factors.sample(1, 0, 20 * factors.BLOCK)
    male = faces.shows("Male")
    beard = ~faces.shows("No_Beard")
    for shown, among_men, among_women in (
      (beard, 0.28, 0.082),
      (faces.shows("Bald"), 0.04, 0.01),
      (faces.shows("Wearing_Lipstick"), 0.2, 0.667),
    ):
      self.assertAlmostEqual(shown[male].mean(), among_men, delta=0.02)
      self.assertAlmostEqual(shown[~male].mean(), among_women, delta=0.02)


class BalancedTest(parameterized.TestCase):
  @parameterized.parameters("Bald", "Smiling", "Wearing_Hat", "No_Beard")
  def test_half_show_the_attribute(self, name):
    faces = factors.sample_balanced(5, name, 60)
    self.assertLen(faces, 60)
    np.testing.assert_array_equal(faces.shows(name), np.arange(60) % 2 == 0)

  def test_no_face_twice(self):
    drawn = [
      factors.sample_balanced(5, name, 40).draws[:, 0]
      for name in ("Bald", "Young")
    ]
    drawn.append(factors.sample(5, 0, 1000).draws[:, 0])
    drawn = np.concatenate(drawn)
    self.assertLen(np.unique(drawn), len(drawn))
