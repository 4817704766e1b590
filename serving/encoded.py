"""Decodes JPEG and PNG files in a TensorFlow graph, with EXIF's orientation.

A model server runs no Python: this module does in TensorFlow what
`lc_keras.data.images` does with Pillow.
"""

import tensorflow as tf

from lc_keras.data import images as image_files
from lc_keras.data import preprocessing as preprocessings

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
# Offsets in bytes of a PNG's width and height, and of its bit depth.
_PNG_SIZE, _PNG_BITS = 16, 24
_PIXELS_AT_ONCE = 1 << 18
# EXIF is at the beginning of a JPEG. Its orientation has tag 0x0112, type short
# and one value: both byte orders of these, and the offset of the value.
_EXIF_BYTES = 4096
_EXIF = b"Exif\0\0"
_ORIENTATIONS = (
  (b"\x01\x12\x00\x03\x00\x00\x00\x01", 9),
  (b"\x12\x01\x03\x00\x01\x00\x00\x00", 8),
)


def images(
  files: tf.Tensor, preprocessing: preprocessings.Preprocessing
) -> tf.Tensor:
  """Decodes and preprocesses files, as in training.

  Args:
    files: string [b], each a JPEG or PNG file.
    preprocessing: Crops and resizes a picture to an image.

  Returns:
    float32 [b, *image_shape] in [0, 1].
  """
  return tf.map_fn(
    lambda file: _image(file, preprocessing),
    files,
    fn_output_signature=tf.TensorSpec(preprocessing.image_shape, tf.float32),
    parallel_iterations=1,  # A picture takes hundreds of megabytes at most.
  )


def _image(file, preprocessing):
  is_png = _starts_with(file, _PNG)
  sentence = "image_bytes must be JPEG or PNG files."
  checks = [tf.debugging.Assert(is_png | _starts_with(file, _JPEG), [sentence])]
  with tf.control_dependencies(checks):
    pixels = tf.cond(is_png, lambda: _png_pixels(file), lambda: _pixels(file))
  # A few bytes of header can announce any size: checked before decoding.
  fits = (pixels > 0) & (pixels <= image_files.MAX_PIXELS)
  sentence = (
    f"pictures may have {image_files.MAX_PIXELS // 1_000_000} million pixels."
  )
  with tf.control_dependencies([tf.debugging.Assert(fits, [sentence])]):
    picture = tf.cond(is_png, lambda: _png(file), lambda: _jpeg(file))
  part = preprocessing.part(picture)
  if preprocessing.image_shape[-1] == 1:
    part = tf.image.rgb_to_grayscale(part)
  return preprocessing.resized(part)


def _starts_with(file, mark):
  return tf.strings.substr(file, 0, len(mark)) == mark


def _png_pixels(file):
  size = tf.strings.substr(tf.strings.join([file, bytes(32)]), _PNG_SIZE, 8)
  size = tf.io.decode_raw(size, tf.int32, little_endian=False)
  return tf.reduce_prod(tf.cast(tf.maximum(size, 0), tf.int64))


def _pixels(file):
  size = tf.image.extract_jpeg_shape(file, tf.int32)[:2]
  return tf.reduce_prod(tf.cast(size, tf.int64))


def _png(file):
  picture = tf.io.decode_png(file, channels=4)
  # For PNGs of less than 8 bits without transparency, TensorFlow 2.21 returns
  # the opacity 1, 3 or 15 everywhere.
  bits = tf.io.decode_raw(tf.strings.substr(file, _PNG_BITS, 1), tf.uint8)[0]
  most = tf.bitwise.left_shift(tf.constant(1, tf.uint8), bits % 8) - 1
  most = tf.where(bits < 8, most, tf.uint8.max)
  is_opaque = tf.reduce_all(picture[..., 3] == most)
  return tf.cond(
    is_opaque, lambda: picture[..., :3], lambda: _on_white(picture)
  )


def _on_white(picture):
  """Returns a picture on white, computed some lines at a time.

  As floats, a whole picture would take a gigabyte.
  """
  height, width = tf.unstack(tf.shape(picture)[:2])
  lines = tf.maximum(1, _PIXELS_AT_ONCE // width)
  count = (height + lines - 1) // lines
  made = tf.TensorArray(
    tf.uint8, count, infer_shape=False, element_shape=[None, None, 3]
  )

  def add(number, made):
    some = picture[number * lines : (number + 1) * lines]
    color, opacity = tf.split(tf.cast(some, tf.float32), [3, 1], axis=-1)
    color = 255.0 + (color - 255.0) * opacity / 255.0
    return number + 1, made.write(number, tf.cast(tf.round(color), tf.uint8))

  _, made = tf.while_loop(
    lambda number, _: number < count, add, (0, made), parallel_iterations=1
  )
  return made.concat()


def _jpeg(file):
  picture = tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")
  return _upright(picture, _orientation(file))


def _upright(picture, orientation):
  """Turns a picture upright, by EXIF's orientation."""
  turned = tf.transpose(picture, [1, 0, 2])
  return tf.switch_case(
    orientation - 1,
    [
      lambda: picture,
      lambda: tf.reverse(picture, [1]),
      lambda: tf.reverse(picture, [0, 1]),
      lambda: tf.reverse(picture, [0]),
      lambda: turned,
      lambda: tf.reverse(turned, [1]),
      lambda: tf.reverse(turned, [0, 1]),
      lambda: tf.reverse(turned, [0]),
    ],
  )


def _orientation(file):
  """Returns EXIF's orientation from 1 to 8; 1 if there is none."""
  start = tf.strings.substr(file, 0, _EXIF_BYTES)
  # Padded by more than any mark and the offset of its value.
  start = tf.io.decode_raw(tf.strings.join([start, bytes(32)]), tf.uint8)
  has_exif, _ = _find(start, _EXIF)
  found = tf.constant(1)
  for mark, place in _ORIENTATIONS:
    is_there, position = _find(start, mark)
    value = tf.cast(start[position + place], tf.int32)
    good = has_exif & is_there & (value >= 1) & (value <= 8)
    found = tf.where(good, value, found)
  return found


def _find(data, mark):
  """Returns whether `data` contains `mark`, and its first position."""
  count = tf.size(data) - len(mark) + 1
  equal = [data[i : i + count] == byte for i, byte in enumerate(mark)]
  hits = tf.cast(tf.reduce_all(tf.stack(equal), axis=0), tf.int32)
  return tf.reduce_any(hits > 0), tf.argmax(hits, output_type=tf.int32)
