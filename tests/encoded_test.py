"""Tests of encoded pictures: a photo gives the same image everywhere."""

import functools
import io
import struct
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from lc_keras.data import celeb_a
from lc_keras.data import preprocessing
from lc_keras.data import stored
from serving import encoded
from serving.studio import faces

_SHAPE = (4, 6, 3)


def _file(image, kind="PNG", **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def _photo(width=178, height=218):
  """Returns a picture that is smooth, and different at every pixel."""
  y, x = np.mgrid[:height, :width]
  pixels = np.stack([x, y, 128 + 60 * np.sin(x / 9)], -1) % 256
  return Image.fromarray(np.uint8(pixels))


def _announcing(width, height):
  """Returns a JPEG whose header announces more pixels than it has."""
  file = _file(_photo(), "JPEG")
  place = file.index(b"\xff\xc0") + 5
  return file[:place] + struct.pack(">HH", height, width) + file[place + 4 :]


@functools.cache
def _function(how):
  """Returns the function from files to images, traced once."""
  files = tf.TensorSpec([None], tf.string)
  return tf.function(lambda data: encoded.images(data, how), [files])


def _images(files, how):
  return _function(how)(tf.constant(files)).numpy()


class DoorsTest(tf.test.TestCase):
  def test_an_aligned_photo_is_the_image_it_was_in_training(self):
    file = _file(_photo(), "JPEG", quality=95)
    how = celeb_a.load().preprocessing
    # As the job `data` writes it and trainings read it.
    (example,) = stored.read_pictures([(file, [], "000001.jpg")], how)
    trained = tf.io.decode_png(example.image).numpy() / 255.0
    studio = faces.Faces()
    upload = studio.take(file, "me.jpg", how)
    images = {
      "client": how.load(io.BytesIO(file)),
      "studio": studio.picture(upload, how),
      "transform_encoded": _images([file], how)[0],
    }
    for door, image in images.items():
      with self.subTest(door):
        # Pillow rounds to bytes twice.
        self.assertAllClose(image, trained, atol=1.1 / 255)
    # A central square of 178 instead of 128 pixels differs.
    other = preprocessing.Preprocessing(how.image_shape).load(io.BytesIO(file))
    self.assertNotAllClose(other, trained, atol=0.1)


class ImagesTest(parameterized.TestCase, tf.test.TestCase):
  @parameterized.parameters(*range(1, 9))
  def test_turned_cameras(self, orientation):
    how = preprocessing.Preprocessing(_SHAPE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = _file(_photo(64, 48), "JPEG", quality=95, exif=exif)
    self.assertAllClose(
      _images([file], how)[0], how.load(io.BytesIO(file)), atol=2.1 / 255
    )

  def test_the_other_order_of_bytes(self):
    how = preprocessing.Preprocessing(_SHAPE)
    file = _file(_photo(64, 48), "JPEG", quality=95)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack(
      "<HHIHH", 0x0112, 3, 1, 6, 0
    )
    block = b"\xff\xe1" + struct.pack(">H", len(exif) + 6) + exif + bytes(4)
    file = file[:2] + block + file[2:]
    self.assertAllClose(
      _images([file], how)[0], how.load(io.BytesIO(file)), atol=2.1 / 255
    )

  @parameterized.parameters("L", "LA", "P", "RGB", "RGBA", "1")
  def test_any_png_for_any_channels(self, mode):
    photo = _photo(30, 20)
    if "A" in mode:
      photo.putalpha(Image.fromarray(np.uint8(np.mgrid[:20, :30].sum(0) * 5)))
    file = _file(photo.quantize(4) if mode == "P" else photo.convert(mode))
    for channels in (1, 3):
      how = preprocessing.Preprocessing((4, 6, channels))
      self.assertAllClose(
        _images([file], how)[0], how.load(io.BytesIO(file)), atol=2.1 / 255
      )

  def test_transparent_lines_some_at_a_time(self):
    self.enter_context(mock.patch.object(encoded, "_PIXELS_AT_ONCE", 100))
    photo = _photo(30, 20)
    photo.putalpha(Image.fromarray(np.uint8(np.mgrid[:20, :30].sum(0) * 5)))
    how = preprocessing.Preprocessing((5, 7, 3))  # Traced here.
    self.assertAllClose(
      _images([_file(photo)], how)[0],
      how.load(io.BytesIO(_file(photo))),
      atol=2.1 / 255,
    )

  def test_pictures_of_different_sizes_in_one_batch(self):
    how = preprocessing.Preprocessing(_SHAPE)
    files = [_file(_photo(*size)) for size in ((6, 4), (50, 20), (1, 1))]
    images = _images(files, how)
    for file, image in zip(files, images):
      self.assertAllClose(image, _images([file], how)[0])
    self.assertAllClose(images[0], np.asarray(_photo(6, 4)) / 255.0)

  @parameterized.named_parameters(
    ("text", b"Not a picture.", "must be JPEG or PNG files"),
    ("empty", b"", "must be JPEG or PNG files"),
    ("half a png", _file(_photo())[:-40], "PNG"),
    ("a png of nothing", b"\x89PNG\r\n\x1a\n", "million pixels"),
    ("half a jpeg", _file(_photo(), "JPEG")[:700], "JPEG"),
    (
      "a bomb",
      b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 30_000, 30_000),
      "50 million pixels",
    ),
    (
      "a bomb of more pixels than a number of 32 bits",
      b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 2**31, 2**31 - 1),
      "50 million pixels",
    ),
    ("a jpeg bomb", _announcing(60_000, 60_000), "50 million pixels"),
  )
  def test_refuses(self, file, message):
    how = preprocessing.Preprocessing(_SHAPE)
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, message):
      _images([file], how)
