"""Tests of reading picture files of any format."""

import io
import pathlib
import struct
import zlib

import numpy as np
from absl.testing import parameterized
from PIL import Image
from PIL import PngImagePlugin

from lc_keras.data import images

_RAMP = np.arange(256, dtype=np.uint8).reshape(1, 256)


def _file(image, kind="PNG", **options):
  file = io.BytesIO()
  (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
    file, kind, **options
  )
  return io.BytesIO(file.getvalue())


# Its pixels take several chunks.
_NOISE = _file(
  np.random.default_rng(0).integers(256, size=[200, 200, 3], dtype=np.uint8)
).getvalue()


def _chunk(kind, data):
  checksum = zlib.crc32(kind + data)
  return (
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
  )


def _damaged_exif(image, kind):
  """Returns an intact picture with truncated EXIF."""
  exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x03\x01\x12\0\x03"
  if kind == "JPEG":
    data = _file(image, "JPEG", quality=95).getvalue()
    block = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    return io.BytesIO(data[:2] + block + data[2:])
  data = _file(image).getvalue()
  return io.BytesIO(data[:33] + _chunk(b"eXIf", b"\0\x08?!") + data[33:])


class ReadTest(parameterized.TestCase):
  @parameterized.parameters(
    "L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16", "I", "F"
  )
  def test_any_mode(self, mode):
    for channels in (1, 3):
      file = _file(Image.new(mode, (40, 30)), "TIFF")
      image = images.read(file, (8, 16, channels))
      self.assertEqual(image.shape, (8, 16, channels))
      self.assertEqual(image.dtype, np.uint8)

  def test_floats_are_a_255th_of_the_bytes(self):
    image = images.load(_file(_RAMP), (1, 256, 1))
    np.testing.assert_allclose(image[0, :, 0], _RAMP[0] / 255, rtol=1e-6)

  @parameterized.parameters(
    ("PNG", lambda ramp: ramp.astype(np.uint16) * 257),
    ("TIFF", lambda ramp: ramp.astype(np.uint16) * 257),
    ("TIFF", lambda ramp: ramp.astype(np.int32) * 257),
    ("TIFF", lambda ramp: ramp.astype(np.float32) / 255),
  )
  def test_a_ramp_from_black_to_white_stays_one(self, kind, of):
    image = images.read(_file(of(_RAMP), kind), (1, 256, 1), images.NONE)
    np.testing.assert_array_equal(image[..., 0], _RAMP)

  @parameterized.parameters(
    (np.float32([[0, 255]]), r"floats from 0 to 255: expected values from 0"),
    (np.float32([[0, np.nan]]), r"floats from nan to nan"),
    (
      np.int32([[-1, 70_000]]),
      r"numbers from -1 to 7e\+04: expected .* to 65535",
    ),
  )
  def test_numbers_without_a_known_range_are_refused(self, values, message):
    with self.assertRaisesRegex(ValueError, f"^scan.tif has {message}"):
      images.read(_file(values, "TIFF"), (1, 2, 1), name="scan.tif")

  def test_printers_colours(self):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image = images.read(_file(red, "JPEG", quality=95), (2, 2, 3))
    np.testing.assert_allclose(image[0, 0], [255, 0, 0], atol=6)

  def test_transparent_is_white(self):
    file = _file(Image.new("RGBA", (9, 9), (0, 0, 0, 0)))
    self.assertTrue((images.read(file, (4, 4, 3)) == 255).all())

  @parameterized.parameters(
    (images.CENTER, 40, 60), (images.NONE, 0, 100), ("10,5,30,15", 10, 40)
  )
  def test_crops(self, crop, left, right):
    columns = np.repeat(np.arange(100, dtype=np.uint8)[np.newaxis], 20, axis=0)
    image = images.read(_file(columns), (20, 20, 1), crop)
    middles = left + (np.arange(20) + 0.5) * (right - left) / 20 - 0.5
    np.testing.assert_allclose(image[3, 1:-1, 0], middles[1:-1], atol=1)

  def test_a_reduced_jpeg_has_the_pixels_of_the_whole(self):
    y, x = np.mgrid[:1200, :900] / 1200
    photo = np.uint8(np.stack([x, y, np.sin(9 * x) / 2 + 0.5], -1) * 255)
    part = images.read(_file(photo, "JPEG", quality=95), (32, 32, 3))
    whole = images.read(_file(photo), (32, 32, 3))
    np.testing.assert_allclose(np.int32(part), whole, atol=2)

  @parameterized.parameters("JPEG", "PNG")
  def test_turned_cameras(self, kind):
    pixels = np.zeros([40, 40], np.uint8)
    pixels[:, 20:] = 255  # White is on the right...
    exif = Image.Exif()
    exif[0x0112] = 6  # ...of a camera that was turned: at the bottom.
    image = images.read(_file(pixels, kind, exif=exif), (4, 4, 1))
    self.assertLess(image[0].max(), 60)
    self.assertGreater(image[-1].min(), 190)

  @parameterized.parameters("JPEG", "PNG")
  def test_a_damaged_exif_leaves_the_picture(self, kind):
    grey = np.full([16, 16], 99, np.uint8)
    image = images.read(_damaged_exif(grey, kind), (4, 4, 1))
    np.testing.assert_allclose(image, 99, atol=1)

  def test_only_the_orientation_of_an_exif_is_read(self):
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 3, (1, 0)  # A resolution of 1/0.
    ramp = _file(_RAMP, "TIFF", exif=exif)
    image = images.read(ramp, (1, 256, 1), images.NONE)
    np.testing.assert_array_equal(image[0, :, 0], _RAMP[0, ::-1])


class RefusalsTest(parameterized.TestCase):
  @parameterized.parameters(
    (b"Not a picture.", "is of no known format"),
    (b"", "is empty"),
    # PostScript is a program, which Pillow would run.
    (_file(Image.new("L", (4, 4)), "EPS").getvalue(), "is of no known format"),
    (_NOISE[: len(_NOISE) // 2], "is damaged .*truncated"),
    (_NOISE[:33] + b"\0\0\0\2\x14\x04\xc1\xc3" + _NOISE[41:], "is of no known"),
    # The first chunk of pixels is followed by one without a name.
    (
      _NOISE.replace(b"IDAT", b"\x14\x04\xc1\xc3").replace(
        b"\x14\x04\xc1\xc3", b"IDAT", 1
      ),
      "is damaged",
    ),
    (
      _file(np.zeros([64, 64, 3], np.uint8), "JPEG").getvalue()[:-40],
      "is damaged .*truncated",
    ),
  )
  def test_what_is_no_picture_is_named(self, data, what):
    with self.assertRaisesRegex(
      ValueError, f"^me.jpg cannot be read as a picture: it {what}.*Give a PNG"
    ):
      images.read(io.BytesIO(data), (4, 4, 3), name="me.jpg")

  def test_what_pillow_knows_and_cannot_read_is_no_picture(self):
    self.assertNoCommonElements(
      {".eps", ".h5", ".mpg", ".wmf"}, images.endings()
    )

  def test_files_that_are_not_there_are_named(self):
    folder = self.create_tempdir().full_path
    for path, what in ((folder, "directory"), (folder + "/no.png", "No such")):
      with self.assertRaisesRegex(ValueError, f"^{path} cannot.*{what}"):
        images.read(path, (4, 4, 3))
      with self.assertRaisesRegex(ValueError, f"^{path} cannot.*{what}"):
        images.read(pathlib.Path(path), (4, 4, 3))

  @parameterized.parameters((8_000, 8_000), (30_000, 30_000))
  def test_too_many_pixels_are_refused_before_they_are_decoded(self, *size):
    # Only a header: the size is checked before the pixels are read.
    header = struct.pack(">IIBBBBB", *size, 1, 0, 0, 0, 0)
    data = (
      b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"x")
    )
    with self.assertRaisesRegex(ValueError, "^it has .*pixels.*50 million"):
      images.read(io.BytesIO(data), (4, 4, 3), name="it")

  def test_a_text_that_inflates_without_end_is_refused(self):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("a", "a" * 5_000_000, zip=True)
    with self.assertRaisesRegex(ValueError, "^it cannot be read"):
      images.read(_file(_RAMP, pnginfo=texts), (1, 256, 1), name="it")

  @parameterized.parameters("middle", "1,2,3", "0,0,0,4", "-1,0,4,4", "a,b,c,d")
  def test_crops_that_there_are_not(self, crop):
    with self.assertRaisesRegex(ValueError, f"no crop '{crop}'.*center, none"):
      images.check_crop(crop)

  def test_a_picture_smaller_than_the_crop_is_named(self):
    with self.assertRaisesRegex(ValueError, "^it has 256 x 1 pixels, too few"):
      images.read(_file(_RAMP), (4, 4, 1), "0,0,64,64", name="it")
