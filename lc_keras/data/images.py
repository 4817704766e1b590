"""Pictures of any size and format as pixels of a model, read in one way.

Training data, the client and the studio read pictures by this, so that one
comes out the same wherever it goes in. Needs no TensorFlow.

>>> from lc_keras.data import images
>>> images.box(178, 218, (64, 64, 3), "25,45,128,128")
(25, 45, 153, 173)
>>> images.box(356, 436, (64, 64, 3), "25,45,128,128 of 178x218")
(50, 90, 306, 346)
>>> images.box(300, 100, (64, 64, 3))  # The largest square in the middle.
(100, 0, 200, 100)
"""

import functools
import os
import re
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import ExifTags
from PIL import Image

# How a picture is cut to an image's proportions; or "x,y,width,height".
CENTER, NONE = "center", "none"
_WINDOW = re.compile(
  r"(\d+),(\d+),([1-9]\d*),([1-9]\d*)(?: of ([1-9]\d*)x([1-9]\d*))?"
)

# A header is a few bytes, whatever picture it announces: 50 megapixels take a
# fifth of a gigabyte, and no camera makes a face of more.
MAX_PIXELS = 50_000_000

# What turns a picture upright, by EXIF's number for how the camera was held.
_UPRIGHT = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}


# Pillow hands the first to Ghostscript, which runs what they say; the others it
# knows by name and cannot read: data of science, films and metafiles.
_NO_PICTURES = ("EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF")


@functools.cache
def _formats():
  Image.init()
  return [name for name in Image.OPEN if name not in _NO_PICTURES]


def endings() -> set[str]:
  """Returns how the names of picture files end, in lower case, with the dot."""
  formats = _formats()
  known = Image.registered_extensions()
  return {ending for ending, name in known.items() if name in formats}


def load(
  file: str | os.PathLike | BinaryIO,
  image_shape: Sequence[int],
  crop: str = CENTER,
  name: str = "",
) -> np.ndarray:
  """Reads a picture as floats; see `read`.

  Returns:
    float32 [height, width, channels] in [0, 1].
  """
  return read(file, image_shape, crop, name) / np.float32(255.0)


def read(
  file: str | os.PathLike | BinaryIO,
  image_shape: Sequence[int],
  crop: str = CENTER,
  name: str = "",
) -> np.ndarray:
  """Reads a picture of any size and format that Pillow reads.

  It is turned upright, what is transparent becomes white, and numbers of 16
  bits or floats keep their range. An animation gives its first picture.

  Args:
    file: The file, or its path.
    image_shape: (height, width, channels), with 1 or 3 channels.
    crop: Which part of the picture is resized to that, see `box`.
    name: The name of the file in errors; by default the path.

  Returns:
    uint8 [height, width, channels].

  Raises:
    ValueError: The file is missing, no picture, damaged, or too large; one
      sentence, which names it.
  """
  name = name or str(file)
  try:
    with Image.open(file, formats=_formats()) as image:
      return _pixels(image, image_shape, crop)
  except MemoryError:
    raise
  except Image.DecompressionBombError:
    raise ValueError(f"{name} {_too_large('')}") from None
  except _Unusable as error:
    raise ValueError(f"{name} {error}") from None
  except Image.UnidentifiedImageError:
    # Its text repeats the path, or the address of an open file.
    raise ValueError(_unreadable(name, "it is of no known format")) from None
  except Exception as error:  # Damage ends in errors of any kind in Pillow.
    told = getattr(error, "strerror", None) or f"it is damaged ({error})"
    raise ValueError(_unreadable(name, told)) from error


def box(
  width: int, height: int, image_shape: Sequence[int], crop: str = CENTER
) -> tuple[int, int, int, int]:
  """Returns which part of a picture becomes the image.

  Args:
    width: Of the picture, upright.
    height: Of the picture.
    image_shape: (height, width, channels) of the image.
    crop: "center", the largest part from the middle that has the image's
      proportions; "none", all of it, whatever its proportions; or
      "x,y,width,height" in the picture's pixels; or a window of pictures of
      one size, as "25,45,128,128 of 178x218", which is how a model remembers
      it: taken in proportion from any picture of these proportions. A picture
      of others has been cropped already, so that its middle is the image, and
      one of the image's own size is the image.

  Returns:
    (left, top, right, bottom).

  Raises:
    ValueError: There is no such way to crop, or the picture is smaller.
  """
  if crop == NONE:
    return 0, 0, width, height
  if crop == CENTER:
    scale = min(width / image_shape[1], height / image_shape[0])
    part = [max(1, round(side * scale)) for side in image_shape[1::-1]]
    left, top = (width - part[0]) // 2, (height - part[1]) // 2
    return left, top, left + part[0], top + part[1]
  (left, top, across, down), size = window(crop)
  if size is not None:
    if (height, width) == tuple(image_shape[:2]) != size[::-1]:
      return 0, 0, width, height
    ratio = height / size[1]
    left, top, across, down, expected = (
      round(number * ratio) for number in (left, top, across, down, size[0])
    )
    across, down = max(across, 1), max(down, 1)
    is_such = abs(width - expected) <= 1
    if not is_such or left + across > width or top + down > height:
      return box(width, height, image_shape)
  if left + across > width or top + down > height:
    raise _Unusable(
      f"has {width} x {height} pixels, too few for the crop {crop} (x, y, "
      "width, height)."
    )
  return left, top, left + across, top + down


def check_crop(crop: str) -> None:
  """Raises ValueError unless there is such a way to crop, see `box`."""
  if crop not in (CENTER, NONE):
    window(crop)


def window(
  crop: str,
) -> tuple[tuple[int, int, int, int], tuple[int, int] | None]:
  """Returns x, y, width and height of a window; and of which pictures it is.

  The width and height of these pictures are None for a window of any.

  Raises:
    ValueError: There is no such window.
  """
  numbers = _WINDOW.fullmatch(crop)
  if numbers is None:
    raise ValueError(
      f"There is no crop {crop!r}: give {CENTER}, {NONE} or x,y,width,height "
      "in pixels."
    )
  left, top, across, down, *size = (int(n or 0) for n in numbers.groups())
  if not all(size):
    return (left, top, across, down), None
  if left + across > size[0] or top + down > size[1]:
    raise ValueError(f"The crop {crop} does not lie within such pictures.")
  return (left, top, across, down), (size[0], size[1])


class _Unusable(ValueError):
  """A picture is whole, and cannot be used."""


def _unreadable(name, what):
  return (
    f"{name} cannot be read as a picture: {what}. Give a PNG, JPEG or other "
    "picture."
  )


def _too_large(size):
  return (
    f"has {size or 'too many'} pixels; pictures may have "
    f"{MAX_PIXELS // 1_000_000} million: make it smaller."
  )


def _pixels(image, image_shape, crop):
  height, width, channels = image_shape
  if image.width * image.height > MAX_PIXELS:
    raise _Unusable(_too_large(f"{image.width} x {image.height}"))
  if crop in (CENTER, NONE):
    # A JPEG is decoded at a part of its size, if that is ample.
    image.draft(None, (4 * max(height, width),) * 2)
  image.load()  # Of a TIFF, that turns it, too.
  turn = _UPRIGHT.get(_orientation(image))
  image = _in_8_bits(image)
  image = image.transpose(turn) if turn is not None else image
  image = image.crop(box(*image.size, image_shape, crop))
  if image.has_transparency_data:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  image = image.convert("L" if channels == 1 else "RGB")
  image = image.resize((width, height), Image.Resampling.BILINEAR)
  return np.asarray(image).reshape(height, width, channels)


def _orientation(image):
  """Returns how the camera was held; 1, upright, where that cannot be read."""
  try:
    return image.getexif().get(ExifTags.Base.Orientation, 1)
  except Exception:  # Whatever is wrong with it, the picture is not.
    return 1


def _in_8_bits(image):
  """Returns a picture of more bits or of floats in 8 bits, by its range."""
  if image.mode[0] not in "IF":
    return image
  values = np.asarray(image, np.float64)
  # Pillow has pictures of 16 bits in the modes I;16 and I.
  top, kind = (1, "floats") if image.mode == "F" else (65_535, "numbers")
  if not ((values >= 0) & (values <= top)).all():  # NaN is not.
    raise _Unusable(
      f"has {kind} from {values.min():.4g} to {values.max():.4g}, and only 0 "
      f"to {top} says what is black and what white."
    )
  return Image.fromarray(np.uint8(np.rint(values * (255 / top))))
