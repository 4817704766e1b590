"""Tests of rules: what the shipped ones measure, and what is refused."""

import hashlib
import os
import pathlib
import sys

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from scipy import ndimage

from lc_keras import imports
from lc_keras.constraints import face_rules
from lc_keras.constraints import garment_rules
from lc_keras.constraints import rule
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import looks
from lc_keras.data.toon_faces import renderer

_BACKGROUNDS = ("beige", "blue", "green", "lilac")  # in the renderer's order
_FACES = "lc_keras.constraints.face_rules"


def _studio_faces(count):
  """Returns factors and images, float32 [count, 64, 64, 3] in [0, 1]."""
  drawn = factors.sample(0, 0, count)
  images = renderer.render(drawn, looks.STUDIO)
  return drawn, images.astype(np.float32) / 255


def _noise(count, height=7, width=5, channels=3):
  shape = [count, height, width, channels]
  return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def _first_pixel(images):
  return images[:, 0, 0, 0]


def _box(height, width):
  """Returns one image [1, 28, 28, 1] with a box in it, away from the edges."""
  image = np.zeros([1, 28, 28, 1], np.float32)
  image[:, 3 : 3 + height, 5 : 5 + width] = 0.8
  return image


class FacesTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.drawn, cls.images = _studio_faces(256)
    cls.background = (cls.drawn.draw("background") * 4).astype(int)

  @parameterized.product(
    colour=_BACKGROUNDS, blur_and_noise=[(0, 0), (2, 0), (1, 0.02)]
  )
  def test_backgrounds_agree_with_what_was_drawn(self, colour, blur_and_noise):
    # What a decoder does to a plain colour.
    blur, noise = blur_and_noise
    images = ndimage.gaussian_filter(self.images, (0, blur, blur, 0))
    images += noise * np.random.default_rng(0).normal(size=images.shape)
    images = np.clip(images, 0, 1)
    shares = getattr(face_rules, f"{colour}_background")(images)
    drawn = self.background == _BACKGROUNDS.index(colour)
    self.assertGreaterEqual(np.mean((shares >= 0.5) == drawn), 0.99)

  def test_backgrounds_are_shares_of_one_edge(self):
    shares = [
      getattr(face_rules, f"{colour}_background")(self.images)
      for colour in _BACKGROUNDS
    ]
    self.assertLessEqual(np.sum(shares, axis=0).max(), 1 + 1e-6)
    grey = np.full([2, 64, 64, 3], 0.5, np.float32)
    np.testing.assert_array_equal(face_rules.blue_background(grey), [0, 0])

  def test_a_background_does_not_depend_on_the_size(self):
    half = self.images[:, ::2, ::2]
    np.testing.assert_allclose(
      face_rules.blue_background(half),
      face_rules.blue_background(self.images),
      atol=0.15,
    )

  @parameterized.parameters(
    (face_rules.mouth_brightness,),
    (face_rules.dark_share,),
    (garment_rules.ink_mass,),
  )
  def test_brightness_is_monotone(self, measure):
    values = np.array([measure(self.images * gain) for gain in (0.4, 0.7, 1)])
    rises = np.diff(values, axis=0)
    if measure is face_rules.dark_share:
      rises = -rises
    self.assertGreaterEqual(rises.min(), 0)
    self.assertGreater(rises.mean(), 0)

  @parameterized.parameters(1, 3)
  def test_black_and_white(self, channels):
    images = np.zeros([2, 64, 64, channels], np.float32)
    images[1] = 1
    np.testing.assert_allclose(
      face_rules.mouth_brightness(images), [0, 1], 1e-6
    )
    np.testing.assert_array_equal(face_rules.dark_share(images), [1, 0])

  def test_the_mouth_region_holds_the_mouth(self):
    mouths = factors.sample(0, 0, 64)
    column = factors.NAMES.index("Mouth_Slightly_Open")
    open_or_not = []
    for value in (False, True):
      mouths.traits[:, column] = value
      open_or_not.append(renderer.render(mouths, looks.STUDIO))
    changed = np.any(open_or_not[0] != open_or_not[1], axis=-1)
    height, width = changed.shape[1:]
    region = np.zeros_like(changed)
    (top, bottom), (left, right) = face_rules._MOUTH
    region[
      :,
      round(top * height) : round(bottom * height),
      round(left * width) : round(right * width),
    ] = True
    self.assertGreater((changed & region).sum() / changed.sum(), 0.95)

  @parameterized.parameters(64, 63)
  def test_symmetry_of_a_mirrored_image_is_equal(self, width):
    images = self.images[:, :, :width]
    mirrored = images[:, :, ::-1]
    values = face_rules.left_right_symmetry(images)
    np.testing.assert_array_equal(
      face_rules.left_right_symmetry(mirrored), values
    )
    self.assertLess(values.min(), 0.95)
    both = (images + mirrored) / 2
    np.testing.assert_allclose(
      face_rules.left_right_symmetry(both), 1, atol=1e-6
    )

  def test_dark_share_counts_pixels(self):
    images = np.ones([1, 8, 8, 3], np.float32)
    images[:, :4, :4] = 0.1
    np.testing.assert_allclose(face_rules.dark_share(images), [0.25])

  @parameterized.parameters(
    *(f"{colour}_background" for colour in _BACKGROUNDS),
    "mouth_brightness",
    "left_right_symmetry",
    "dark_share",
  )
  def test_shipped_rules_pass_their_checks(self, name):
    values = rule.Rule(f"{_FACES}:{name}").check(self.images)
    self.assertEqual(values.dtype, np.float32)
    self.assertEqual(getattr(face_rules, name)(self.images).dtype, np.float32)


class GarmentsTest(parameterized.TestCase):
  @parameterized.parameters((10, 4), (4, 10), (7, 7), (1, 20))
  def test_a_box(self, height, width):
    box = _box(height, width)
    self.assertAlmostEqual(
      garment_rules.ink_mass(box)[0], 0.8 * height * width / 28**2, places=6
    )
    self.assertAlmostEqual(
      garment_rules.aspect_ratio(box)[0], height / width, places=6
    )

  def test_two_parts_share_a_box(self):
    image = np.maximum(_box(2, 2), np.roll(_box(2, 2), (18, 4), (1, 2)))
    self.assertAlmostEqual(
      garment_rules.aspect_ratio(image)[0], 20 / 6, places=6
    )

  def test_an_empty_image(self):
    images = np.concatenate([np.zeros_like(_box(1, 1)), _box(3, 6)])
    np.testing.assert_array_equal(garment_rules.aspect_ratio(images), [0, 0.5])
    self.assertEqual(garment_rules.ink_mass(images)[0], 0)

  def test_faint_dirt_is_no_ink(self):
    image = _box(9, 3)
    image[:, -1, -1] = 0.1
    self.assertAlmostEqual(garment_rules.aspect_ratio(image)[0], 3, places=6)

  @parameterized.parameters("ink_mass", "aspect_ratio")
  def test_shipped_rules_pass_their_checks(self, name):
    images = np.concatenate([_box(h, w) for h in range(20) for w in range(9)])
    checked = rule.Rule(
      f"lc_keras.constraints.garment_rules:{name}", threshold=0.1
    )
    values = checked.check(images)
    self.assertEqual(values.dtype, np.float32)


class LoadTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.addCleanup(os.chdir, os.getcwd())
    self.addCleanup(sys.path.__setitem__, slice(None), list(sys.path))
    self.addCleanup(sys.modules.pop, "written_rules", None)
    os.chdir(self.create_tempdir().full_path)
    sys.modules.pop("written_rules", None)

  def _write(self, text):
    pathlib.Path("written_rules.py").write_text(text)

  def test_finds_a_shipped_rule(self):
    self.assertIs(
      imports.function(f"{_FACES}:blue_background"), face_rules.blue_background
    )

  def test_finds_a_file_in_the_current_directory(self):
    self._write("def tall(images):\n  return images[:, 0, 0, 0]\n")
    self.assertEqual(imports.function("written_rules:tall").__name__, "tall")

  @parameterized.parameters(
    ("blue", "does not say where a function is. Write module:function"),
    (f"{_FACES}.dark_share", f"Did you mean {_FACES}:dark_share?"),
    ("./some/rules.py:tall", "Did you mean some.rules:tall?"),
    ("some.py:tall", "Did you mean some:tall?"),
    ("../rules.py:tall", "in the current directory$"),
    ("rules.py", "for the function tall of my_rules.py in the current direct"),
    ("rules:", "'rules:' does not say where a function is"),
    (":tall", "':tall' does not say where a function is"),
    ("a:b:c", "'a:b:c' does not say where a function is"),
    (
      "lc_keras.constraints.face_rule:dark_share",
      "no module 'lc_keras.constraints.face_rule', neither installed nor in .*"
      "Did you mean face_rules",
    ),
    ("lc_kears.rules.faces:x", "no module 'lc_kears'.*Did you mean lc_keras?"),
    (
      f"{_FACES}:blue_backgroud",
      f"no 'blue_backgroud' in {_FACES}: did you mean blue_background",
    ),
    (f"{_FACES}:qqqqqq", "choose one of beige_background, blue_background, d"),
    (
      "lc_keras.constraints:x",
      "no 'x' in lc_keras.constraints: it holds no fun",
    ),
  )
  def test_refuses_an_address(self, address, message):
    with self.assertRaisesRegex(ValueError, message):
      imports.function(address)

  @parameterized.parameters(
    ("x = 1 +\n", "SyntaxError: invalid syntax .written_rules.py, line 1"),
    (
      "x = 1\ny = x / 0\n",
      "ZeroDivisionError: .*\n.*line 2, in <mod.*\n.*x / 0",
    ),
    (
      "import no_such_thing\n",
      "ModuleNotFoundError: .*'no_such_thing'\n.*ne 1",
    ),
    ("import sys\nsys.exit(3)\n", "SystemExit: 3\n.*line 2"),
  )
  def test_says_why_importing_fails(self, text, message):
    self._write(text)
    with self.assertRaisesRegex(
      ValueError, f"module written_rules, which runs its code, fails: {message}"
    ):
      imports.function("written_rules:tall")

  @parameterized.parameters(
    ("tall = 3", "written_rules:tall is of type int. A rule is a function"),
    ("class tall: pass", "written_rules:tall is a class"),
    (
      "def tall(a, b): pass",
      r"takes \(a, b\). A rule is called with one argum",
    ),
    ("def tall(): pass", r"takes \(\). A rule is called with one argument"),
  )
  def test_refuses_what_is_no_function_of_images(self, text, message):
    self._write(text)
    with self.assertRaisesRegex(TypeError, message):
      rule.Rule("written_rules:tall")

  def test_extra_arguments_may_have_defaults(self):
    self._write("def tall(images, a=1): return images[:, 0, 0, 0]\n")
    rule.Rule("written_rules:tall")

  def test_identity_holds_the_checksum_of_the_file_that_was_loaded(self):
    text = "def tall(images): return images[:, 0, 0, 0]\n"
    self._write(text)
    loaded = rule.Rule("written_rules:tall", target_range=(0, 0.25))
    self._write("something else")
    self.assertEqual(
      loaded.identity,
      {
        "rule": "written_rules:tall",
        "threshold": None,
        "range": [0.0, 0.25],
        "source_sha256": hashlib.sha256(text.encode()).hexdigest(),
      },
    )

  def test_identity_without_a_file(self):
    built_in = rule.Rule(len, threshold=2)
    self.assertEqual(
      built_in.identity,
      {
        "rule": "builtins:len",
        "threshold": 2.0,
        "range": None,
        "source_sha256": None,
      },
    )

  def test_an_exception_is_reported_with_the_line_of_the_rule(self):
    self._write(
      "import numpy as np\n\n"
      "def tall(images):\n"
      "  return np.reshape(images, [3, -7, 11])\n"
    )
    loaded = rule.Rule("written_rules:tall")
    with self.assertRaisesRegex(
      ValueError,
      r"rule written_rules:tall fails on images of shape \[4, 7, 5, 3\]: "
      r"ValueError: .*\n.*written_rules.py, line 4, in tall:\n"
      r"    return np.reshape\(images",
    ):
      loaded.check(_noise(4))


class RuleTest(parameterized.TestCase):
  def test_threshold(self):
    images = _noise(20)
    wrapped = rule.Rule(_first_pixel, threshold=0.4, batch_size=7)
    targets = wrapped(images)
    self.assertEqual(targets.dtype, np.float32)
    np.testing.assert_array_equal(targets, images[:, 0, 0, 0] >= 0.4)
    self.assertTrue(wrapped.binary)
    self.assertEqual(str(wrapped), f"{__name__}:_first_pixel >= 0.4")

  def test_target_range(self):
    images = _noise(20)
    wrapped = rule.Rule(_first_pixel, target_range=(0.2, 0.6), batch_size=20)
    value = images[:, 0, 0, 0]
    np.testing.assert_array_equal(
      wrapped(images), (value >= 0.2) & (value <= 0.6)
    )
    self.assertEqual(str(wrapped), f"{__name__}:_first_pixel in [0.2, 0.6]")

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

  @parameterized.parameters(
    (lambda v: v[:, np.newaxis],),
    (lambda v: v.tolist(),),
    (lambda v: tf.constant(v),),
    (lambda v: v > 0.5,),
    (lambda v: (v > 0.5).astype(int),),
    (lambda v: v.astype(np.float64),),
  )
  def test_accepts(self, convert):
    images = _noise(9)
    wrapped = rule.Rule(lambda x: convert(_first_pixel(x)))
    expected = np.asarray(convert(_first_pixel(images)), np.float32).ravel()
    np.testing.assert_array_equal(wrapped(images), expected)
    np.testing.assert_array_equal(wrapped.check(images), expected)

  @parameterized.parameters(
    (lambda x: None, TypeError, "returns nothing. .*Does it end with return?"),
    (lambda x: "abc", TypeError, "returns a str of <U3, for example 'abc'"),
    (lambda x: len, TypeError, "returns a builtin_function_or_method of obj"),
    (
      lambda x: [[1, 2], [3]],
      TypeError,
      r"returns a list that cannot be read as numbers: .*here \[6\]",
    ),
    (
      lambda x: [1.0, None] * 3,
      TypeError,
      "returns a list of object, for example 1.0, and not of real numbers",
    ),
    (lambda x: x[:, 0, 0, 0] * 1j, TypeError, "returns a ndarray of complex"),
    (
      lambda x: x.mean(),
      ValueError,
      r"returns shape \[\] for 6 images. .*Keep the first axis: mean\(axis",
    ),
    (
      lambda x: x.mean(axis=(1, 2)),
      ValueError,
      r"returns shape \[6, 3\] for 6 images. .*Reduce the other axes",
    ),
    (
      lambda x: x.mean(axis=(0, 2, 3)),
      ValueError,
      r"shape \[7\] for 6 images. .*one number per image: \[n\], here \[6\]",
    ),
    (
      lambda x: np.where(np.arange(6) == 4, np.nan, 0),
      ValueError,
      "gives row 4 the value nan, and 1 of a batch of 6 are NaN or infinite",
    ),
    (lambda x: np.full(6, 1e300), ValueError, "gives row 0 the value inf"),
    (
      lambda x: np.arange(6),
      ValueError,
      "gives row 2 the value 2. Without a threshold or a range, values are "
      r"taken as probabilities and must lie in \[0, 1\]. The values of these "
      r"images: 0 at the least, .*2.5 \(median\).*the threshold 2.5",
    ),
    (
      lambda x: x.sort(axis=0),
      ValueError,
      "writes into the images that it is given. Let it work on a copy",
    ),
  )
  def test_refuses_at_every_call(self, function, error, message):
    wrapped = rule.Rule(function)
    for use in (wrapped, wrapped.check):
      with self.assertRaisesRegex(error, message) as caught:
        use(_noise(6))
      self.assertIn("<lambda>", str(caught.exception))

  def test_rows_are_counted_over_all_batches(self):
    images = _noise(20)
    images[13, 0, 0, 0] = 0
    wrapped = rule.Rule(
      lambda x: np.where(_first_pixel(x) == 0, np.inf, 0), batch_size=6
    )
    with self.assertRaisesRegex(ValueError, "row 13 the value inf.*batch of 6"):
      wrapped(images)

  def test_a_single_image_keeps_its_axis(self):
    wrapped = rule.Rule(lambda x: np.squeeze(x.mean(axis=(1, 2, 3))))
    with self.assertRaisesRegex(
      ValueError, r"shape \[\] for 1 image. .*Keep the first axis of a single"
    ):
      wrapped.check(_noise(6))

  @parameterized.parameters(
    (
      np.zeros([2, 7, 5, 1], np.uint8),
      TypeError,
      "floats in .0, 1., got uint8",
    ),
    (_noise(6)[0], ValueError, r"n at least 1, got shape \[7, 5, 3\]"),
    (_noise(0), ValueError, r"got shape \[0, 7, 5, 3\]"),
    (_noise(6) * 2 - 1, ValueError, r"got values from -0.\d* to .*\(x \+ 1\)"),
    (_noise(6) * np.nan, ValueError, "got values from nan to nan"),
  )
  def test_refuses_images(self, images, error, message):
    with self.assertRaisesRegex(error, message):
      rule.Rule(_first_pixel)(images)

  def test_what_it_is_given_stays_as_it_was(self):
    images = _noise(6)
    rule.Rule(_first_pixel).check(images)
    self.assertTrue(images.flags.writeable)
    np.testing.assert_array_equal(images, _noise(6))

  @parameterized.parameters(
    ({"threshold": 0.5, "target_range": (0, 1)}, ValueError, "one of the two"),
    ({"threshold": np.nan}, ValueError, "threshold must be a finite number"),
    (
      {"threshold": "much"},
      TypeError,
      "threshold must be a number, got 'much'",
    ),
    ({"target_range": 3}, TypeError, "must be two numbers, .low, high., got 3"),
    ({"target_range": (1, 2, 3)}, TypeError, "must be two numbers"),
    ({"target_range": (2, 1)}, ValueError, r"did you mean \(1, 2\)"),
    (
      {"target_range": (0, np.inf)},
      ValueError,
      "range must be a finite number",
    ),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
  )
  def test_refuses_settings(self, settings, error, message):
    with self.assertRaisesRegex(error, message):
      rule.Rule(_first_pixel, **settings)

  def test_refuses_what_is_no_function(self):
    with self.assertRaisesRegex(TypeError, "is of type float"):
      rule.Rule(0.5)
    with self.assertRaisesRegex(TypeError, "called with one argument"):
      rule.Rule(lambda a, b: a)


class CheckTest(parameterized.TestCase):
  @parameterized.parameters(
    (
      {},
      lambda x: np.ones(len(x)),
      "gives 1 to each of 6 images, and what is the same for every image "
      "cannot be learnt. The function itself gives 1 every time",
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
    # What is found among more images makes it a rule that can be learnt.
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

  def test_looks_over_several_batches(self):
    wrapped = rule.Rule(_first_pixel, batch_size=7)
    images = _noise(20)
    np.testing.assert_array_equal(wrapped.check(images), images[:, 0, 0, 0])


if __name__ == "__main__":
  absltest.main()
