"""Tests of the shipped rules for faces and garments."""

import numpy as np
from absl.testing import parameterized
from scipy import ndimage

from lc_keras.constraints import face_rules
from lc_keras.constraints import garment_rules
from lc_keras.constraints import rule
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import looks
from lc_keras.data.toon_faces import renderer

_BACKGROUNDS = ("beige", "blue", "green", "lilac")  # in the renderer's order


def _studio_faces(count):
  """Returns factors and images, float32 [count, 64, 64, 3] in [0, 1]."""
  drawn = factors.sample(0, 0, count)
  images = renderer.render(drawn, looks.STUDIO)
  return drawn, images.astype(np.float32) / 255


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
    # Blur and noise, as of a decoder.
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
    values = rule.Rule(f"{face_rules.__name__}:{name}").check(self.images)
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
