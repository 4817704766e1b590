"""Tests of rules: targets, and checks before a rule is learned."""

import numpy as np
from absl.testing import parameterized

from lc_keras.constraints import functions
from lc_keras.constraints import rule


def _noise(count, height=7, width=5, channels=3):
  shape = [count, height, width, channels]
  return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def _first_pixel(images):
  return images[:, 0, 0, 0]


class RuleTest(parameterized.TestCase):
  @parameterized.parameters(
    ({"threshold": 0.4}, lambda value: value >= 0.4, ">= 0.4"),
    (
      {"target_range": (0.2, 0.6)},
      lambda value: (value >= 0.2) & (value <= 0.6),
      "in [0.2, 0.6]",
    ),
  )
  def test_targets(self, settings, wanted, said):
    images = _noise(20)
    wrapped = rule.Rule(_first_pixel, **settings, batch_size=7)
    targets = wrapped(images)
    self.assertEqual(targets.dtype, np.float32)
    np.testing.assert_array_equal(targets, wanted(images[:, 0, 0, 0]))
    np.testing.assert_array_equal(wrapped.check(images), images[:, 0, 0, 0])
    self.assertTrue(wrapped.binary)
    self.assertEqual(str(wrapped), f"{__name__}:_first_pixel {said}")

  def test_edges_belong_in_whatever_precision_they_are_given(self):
    images = np.full([2, 7, 5, 1], 0.7, np.float32)
    for settings in ({"threshold": 0.7}, {"target_range": (0.7, 0.7)}):
      for kind in (np.float32, np.float64):
        wrapped = rule.Rule(
          lambda x, kind=kind: _first_pixel(x).astype(kind), **settings
        )
        np.testing.assert_array_equal(wrapped(images), [1, 1])

  def test_degrees_are_taken_as_they_are(self):
    images = _noise(20)
    wrapped = rule.Rule(_first_pixel)
    np.testing.assert_array_equal(wrapped(images), images[:, 0, 0, 0])
    self.assertFalse(wrapped.binary)
    binary = rule.Rule(lambda x: _first_pixel(x) > 0.5)
    binary(images)
    self.assertTrue(binary.binary)

  def test_degrees_must_be_degrees(self):
    wrapped = rule.Rule(lambda x: np.arange(len(x)))
    for use in (wrapped, wrapped.check):
      with self.assertRaisesRegex(
        ValueError,
        "gives row 2 the value 2. Without a threshold or a range, values are "
        r"taken as probabilities and must lie in \[0, 1\]. The values of these "
        r"images: 0 at the least, .*2.5 \(median\).*the threshold 2.5",
      ):
        use(_noise(6))

  @parameterized.parameters(
    (np.zeros([2, 7, 5, 1], np.uint8), "floats in .0, 1., got uint8"),
    (_noise(6)[0], r"n at least 1, got shape \[7, 5, 3\]"),
    (_noise(0), r"got shape \[0, 7, 5, 3\]"),
    (_noise(6) * 2 - 1, r"got values from -0.\d* to .*\(x \+ 1\)"),
    (_noise(6) * np.nan, "got values from nan to nan"),
  )
  def test_refuses_images(self, images, message):
    with self.assertRaisesRegex(ValueError, message):
      rule.Rule(_first_pixel)(images)

  def test_a_scorer_looks_at_the_first_images_once(self):
    class Centred(functions.Scorer):
      name, identity, mean = "centred", {"rule": "centred"}, None

      def look(self, images):
        self.mean = _first_pixel(images).mean()
        return [f"The mean is {self.mean:.2f}."]

      def __call__(self, images):
        return _first_pixel(images) - self.mean

    wrapped = rule.Rule(Centred(), threshold=0.0)
    images = _noise(20)
    first = wrapped(images)
    np.testing.assert_array_equal(wrapped(images[:3]), first[:3])
    self.assertLen(wrapped.notes, 1)
    self.assertEqual(
      wrapped.identity, {"rule": "centred", "threshold": 0.0, "range": None}
    )

  def test_what_it_is_given_stays_as_it_was(self):
    images = _noise(6)
    rule.Rule(_first_pixel).check(images)
    self.assertTrue(images.flags.writeable)
    np.testing.assert_array_equal(images, _noise(6))

  @parameterized.parameters(
    ({"threshold": 0.5, "target_range": (0, 1)}, "one of the two"),
    ({"threshold": np.nan}, "threshold must be a finite number"),
    (
      {"threshold": "much"},
      "threshold must be a number, got 'much'",
    ),
    ({"target_range": 3}, "must be two numbers, .low, high., got 3"),
    ({"target_range": (1, 2, 3)}, "must be two numbers"),
    ({"target_range": (2, 1)}, r"did you mean \(1, 2\)"),
    (
      {"target_range": (0, np.inf)},
      "range must be a finite number",
    ),
    ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
  )
  def test_refuses_settings(self, settings, message):
    with self.assertRaisesRegex(ValueError, message):
      rule.Rule(_first_pixel, **settings)


class CheckTest(parameterized.TestCase):
  @parameterized.parameters(
    (
      {},
      lambda x: np.ones(len(x)),
      "gives 1 to each of 6 images, and what is the same for every image "
      "cannot be learned. The function itself gives 1 every time",
    ),
    (
      {"threshold": 2},
      _first_pixel,
      "_first_pixel >= 2 gives 0 to each of 6 images, .*"
      r"\(median\).*Choose a threshold above 0.\d+ and not above 0.\d+, or try",
    ),
    (
      {"threshold": -1},
      _first_pixel,
      "_first_pixel >= -1 gives 1 to each of 6 images",
    ),
    (
      {"target_range": (3, 4)},
      _first_pixel,
      r"in \[3, 4\] gives 0 to each .*Choose a target range that some of",
    ),
    (
      {"threshold": 7},
      lambda x: np.full(len(x), 5),
      "The function itself gives 5 every time, so that no threshold and no",
    ),
  )
  def test_refuses_what_is_constant(self, settings, function, message):
    wrapped = rule.Rule(function, **settings)
    with self.assertRaisesRegex(ValueError, message):
      wrapped.check(_noise(6))
    values = wrapped.check(_noise(6), rare=True)
    with self.assertRaisesRegex(ValueError, message):
      wrapped.check_varies(values)
    # With values of more images, the rule can be learned.
    if settings.get("threshold") == 2:
      wrapped.check_varies(np.append(values, np.float32(3)))

  def test_the_threshold_that_it_names_helps(self):
    images = np.zeros([9, 7, 5, 1], np.float32)
    images[4] = 0.25
    with self.assertRaisesRegex(
      ValueError, "threshold above 0 and not above 0.25"
    ):
      rule.Rule(_first_pixel, threshold=0.5).check(images)
    rule.Rule(_first_pixel, threshold=0.25).check(images)

  def test_refuses_what_is_random(self):
    random = np.random.default_rng(0)
    wrapped = rule.Rule(lambda x: random.uniform(size=len(x)))
    with self.assertRaisesRegex(
      ValueError, r"gives row \d the value 0.\d+, then 0.\d+ for the same ima"
    ):
      wrapped.check(_noise(6))

  @parameterized.parameters(
    (lambda x: np.arange(len(x)) / len(x), "in another order"),
    (lambda x: x[0, 0, 0, 0] * _first_pixel(x), "in another order"),
    (lambda x: _first_pixel(x) / _first_pixel(x).max(), "in smaller batches"),
    (
      lambda x: _first_pixel(x) >= np.median(_first_pixel(x)),
      "in smaller batches",
    ),
  )
  def test_refuses_what_depends_on_the_other_images(self, function, message):
    with self.assertRaisesRegex(
      ValueError,
      rf"gives row \d+ the value .*, but .* when the same images come {message}"
      ". The value of an image must not depend on the others",
    ):
      rule.Rule(function).check(_noise(40))

  def test_refuses_a_single_image(self):
    with self.assertRaisesRegex(ValueError, "on one image: give at least 2"):
      rule.Rule(_first_pixel).check(_noise(1))
