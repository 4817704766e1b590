"""Tests of preprocessing: every implementation gives the same image."""

import dataclasses
import io
import json

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from lc_keras.data import images
from lc_keras.data import preprocessing

_WINDOW = "2,5,8,8 of 12x20"


class PreprocessingTest(parameterized.TestCase, tf.test.TestCase):
  @parameterized.product(
    crop=("center", "none", "1,0,1,1", _WINDOW, "0,0,3,3 of 4x7"),
    shape=((4, 4, 1), (4, 7, 1), (7, 4, 1)),
  )
  def test_a_graph_takes_the_part_that_files_are_cropped_to(self, crop, shape):
    how = preprocessing.Preprocessing(shape, crop)
    box = tf.function(how._box)
    for width in (2, 3, 4, 7, 12, 13, 24, 35):
      for height in (1, 4, 7, 19, 20, 40, 61):
        found = box(tf.constant(width), tf.constant(height))
        self.assertAllEqual(found, images.box(width, height, shape, crop))

  @parameterized.named_parameters(
    ("of the size", (12, 20), (2, 5, 10, 13)),
    ("twice the size", (24, 40), (4, 10, 20, 26)),
    ("other proportions", (20, 20), (0, 0, 20, 20)),
    ("cropped already", (4, 4), (0, 0, 4, 4)),
  )
  def test_a_window_is_of_pictures_of_its_proportions(self, size, expected):
    self.assertEqual(images.box(*size, (4, 4, 1), _WINDOW), expected)

  @parameterized.parameters((20, 12, 3), (4, 4, 3), (30, 50, 1))
  def test_a_tensor_and_a_file_become_the_same_image(self, *size):
    shape = (4, 4, size[2])
    how = preprocessing.Preprocessing(shape, _WINDOW)
    picture = np.random.default_rng(0).integers(256, size=size, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, "PNG")
    image = how(picture)
    self.assertEqual(image.shape, shape)
    # Pillow rounds to bytes twice.
    self.assertAllClose(image, how.load(file), atol=1.1 / 255)

  def test_white_stays_white(self):
    how = preprocessing.Preprocessing((4, 4, 1), _WINDOW)
    white = np.full([20, 12, 1], 255, np.uint8)
    self.assertAllEqual(how(white), np.ones([4, 4, 1]))

  def test_survives_a_file(self):
    how = preprocessing.Preprocessing((4, 4, 1), _WINDOW)
    told = json.loads(json.dumps(dataclasses.asdict(how)))
    self.assertEqual(preprocessing.Preprocessing.from_about(told), how)

  @parameterized.parameters(
    ("2,5,11,8 of 12x20", "does not lie within"), ("0,0,1,1 of 0x3", "no crop")
  )
  def test_refuses(self, crop, message):
    with self.assertRaisesRegex(ValueError, message):
      preprocessing.Preprocessing((4, 4, 1), crop)
