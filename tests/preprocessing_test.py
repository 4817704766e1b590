"""Tests of preprocessing: which part of a picture becomes an image."""

import json

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.data import preprocessing

_WINDOW = preprocessing.Preprocessing(
  (4, 4, 1), crop="2,5,8,8", picture_size=(20, 12)
)


def _picture(height, width):
  """Returns a picture in which every pixel tells its place."""
  y, x = np.mgrid[:height, :width]
  return np.uint8(10 * y + x)[..., np.newaxis]


def _part(how, picture):
  """Returns the part of a picture that is resized, by its four edges."""
  top, left, height, width = how._part(*picture.shape[:2]).numpy()
  return top, left, height, width


class PreprocessingTest(parameterized.TestCase, tf.test.TestCase):
  @parameterized.parameters(
    ("center", (9, 14), (0, 2, 9, 9)),
    ("center", (14, 9), (2, 0, 9, 9)),
    ("none", (9, 14), (0, 0, 9, 14)),
    ("none", (1, 1), (0, 0, 1, 1)),
  )
  def test_parts_of_any_picture(self, crop, size, expected):
    how = preprocessing.Preprocessing((4, 4, 1), crop)
    self.assertEqual(_part(how, _picture(*size)), expected)

  @parameterized.named_parameters(
    ("of the size", (20, 12), (5, 2, 8, 8)),
    ("twice the size", (40, 24), (10, 4, 16, 16)),
    ("other proportions", (20, 20), (0, 0, 20, 20)),
    ("cropped already", (4, 4), (0, 0, 4, 4)),
  )
  def test_a_window_is_of_pictures_of_its_proportions(self, size, expected):
    self.assertEqual(_part(_WINDOW, _picture(*size)), expected)

  def test_an_image_comes_out_unchanged(self):
    image = _picture(4, 4)
    self.assertAllClose(_WINDOW(image), image / 255.0)

  def test_resizes_by_averages_within_the_range(self):
    white = np.full([20, 12, 1], 255, np.uint8)
    self.assertAllEqual(_WINDOW(white), np.ones([4, 4, 1]))
    inside = _picture(20, 12)[5:13, 2:10] / 255.0
    self.assertAllClose(
      tf.reduce_mean(_WINDOW(_picture(20, 12))), inside.mean()
    )

  def test_survives_a_file(self):
    told = json.loads(json.dumps(_WINDOW.about()))
    self.assertEqual(preprocessing.Preprocessing.from_about(told), _WINDOW)
    # A folder of before says nothing of it.
    self.assertEqual(
      preprocessing.Preprocessing.from_about({"image_shape": [4, 4, 1]}),
      preprocessing.Preprocessing((4, 4, 1)),
    )

  @parameterized.parameters(
    ("middle", (20, 12), "center, none, or four whole numbers"),
    ("1,2,3", (20, 12), "four whole numbers"),
    ("2,5,8,8", None, "say of which"),
    ("2,5,11,8", (20, 12), "does not lie within pictures of 12 x 20"),
    ("-1,5,8,8", (20, 12), "does not lie within"),
  )
  def test_refuses(self, crop, size, message):
    with self.assertRaisesRegex(ValueError, message):
      preprocessing.Preprocessing((4, 4, 1), crop, size)


if __name__ == "__main__":
  tf.test.main()
