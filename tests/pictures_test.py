"""Tests of reading pictures: any file becomes the pixels of a model."""

import os

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from serving import pictures


class LoadTest(parameterized.TestCase):
  def _save(self, image, name="picture.png", **kwargs):
    path = os.path.join(self.create_tempdir().full_path, name)
    image.save(path, **kwargs)
    return path

  @parameterized.parameters("L", "RGB", "RGBA", "P", "1", "CMYK", "I;16")
  def test_any_mode(self, mode):
    path = self._save(Image.new(mode, (40, 30)), "picture.tiff")
    for channels in (1, 3):
      image = pictures.load(path, (8, 16, channels))
      self.assertEqual(image.shape, (8, 16, channels))
      self.assertEqual(image.dtype, np.float32)
      self.assertBetween(image.min(), 0.0, 1.0)
      self.assertBetween(image.max(), 0.0, 1.0)

  def test_takes_the_middle(self):
    pixels = np.zeros([20, 100], np.uint8)
    pixels[:, 40:60] = 255
    path = self._save(Image.fromarray(pixels))
    image = pictures.load(path, (10, 10, 1))
    self.assertGreater(image.min(), 0.9)  # Its edge is smoothed.

  def test_turned_cameras(self):
    pixels = np.zeros([40, 40], np.uint8)
    pixels[:, 20:] = 255  # White is on the right...
    exif = Image.Exif()
    exif[0x0112] = 6  # ...of a camera that was turned: at the bottom.
    path = self._save(Image.fromarray(pixels), exif=exif)
    image = pictures.load(path, (4, 4, 1))
    self.assertLess(image[0].max(), 0.2)
    self.assertGreater(image[-1].min(), 0.8)

  def test_transparent_is_white(self):
    path = self._save(Image.new("RGBA", (9, 9), (0, 0, 0, 0)))
    np.testing.assert_array_equal(
      pictures.load(path, (4, 4, 3)), np.ones([4, 4, 3])
    )

  def test_refuses_what_is_no_picture(self):
    folder = self.create_tempdir()
    text = folder.create_file("notes.txt", "Not a picture.").full_path
    for path in (text, folder.full_path, os.path.join(folder, "missing.png")):
      with self.assertRaisesRegex(ValueError, "cannot be read as a picture"):
        pictures.load(path, (4, 4, 3))


if __name__ == "__main__":
  absltest.main()
