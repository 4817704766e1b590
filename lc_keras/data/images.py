"""Reads pictures of any size and format as the pixels of a model.

Training data, the client and the studio all use it, so that a picture gives
them the same pixels. Needs no TensorFlow.

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
from PIL import Image
from PIL import ImageOps

# Ways to crop a picture, besides "x,y,width,height"; see `box`.
CENTER, NONE = "center", "none"
_WINDOW = re.compile(
  r"(\d+),(\d+),([1-9]\d*),([1-9]\d*)(?: of ([1-9]\d*)x([1-9]\d*))?"
)

# A file of a few bytes can announce a picture of any size. 50 megapixels take
# 0.2 GB of memory, more than any photograph of a face.
MAX_PIXELS = 50_000_000

# Pillow passes EPS to Ghostscript, which executes it. It recognises the other
# formats (scientific data, films, metafiles) but cannot read them.
_NO_PICTURES = ("EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF")


@functools.cache
def _formats():
  Image.init()
  return [name for name in Image.OPEN if name not in _NO_PICTURES]


def endings() -> set[str]:
  """Returns the extensions of picture files, in lower case, with the dot."""
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

  The picture is turned upright and put on white if it is transparent. Integers
  of 16 bits, and floats in [0, 1], are scaled to 8 bits. An animation gives its
  first picture.

  Args:
    file: The file, or its path.
    image_shape: (height, width, channels), with 1 or 3 channels.
    crop: The part of the picture that is resized to that shape, see `box`.
    name: The name of the file in errors; by default the path.

  Returns:
    uint8 [height, width, channels].

  Raises:
    ValueError: The file is missing, not a picture, damaged or too large; the
      message is one sentence that names it.
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
    told = "it is empty" if _is_empty(file) else "it is of no known format"
    raise ValueError(_unreadable(name, told)) from None
  except Exception as error:  # Pillow raises errors of any kind for damage.
    told = getattr(error, "strerror", None) or f"it is damaged ({error})"
    raise ValueError(_unreadable(name, told)) from error


def box(
  width: int, height: int, image_shape: Sequence[int], crop: str = CENTER
) -> tuple[int, int, int, int]:
  """Returns the part of a picture that becomes the image.

  Args:
    width: Width of the picture, upright.
    height: Height of the picture.
    image_shape: (height, width, channels) of the image.
    crop: "center", the largest central part with the image's proportions;
      "none", the whole picture, whatever its proportions; "x,y,width,height" in
      the picture's pixels; or such a window with the size of its pictures, as
      "25,45,128,128 of 178x218", the form that a model stores. That window is
      scaled to any picture of the same proportions. A picture of other
      proportions counts as already cropped, so that its center is taken, and
      one of the image's own size is taken whole.

  Returns:
    (left, top, right, bottom).

  Raises:
    ValueError: The crop is invalid, or larger than the picture.
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
  """Raises ValueError if a crop is invalid, see `box`."""
  if crop not in (CENTER, NONE):
    window(crop)


def window(
  crop: str,
) -> tuple[tuple[int, int, int, int], tuple[int, int] | None]:
  """Returns (x, y, width, height) of a window, and the size of its pictures.

  The size, (width, height), is None for a window of pictures of any size.

  Raises:
    ValueError: The window is invalid.
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
    raise ValueError(
      f"The crop {crop} does not lie within a picture of {size[0]}x{size[1]} "
      "pixels (width x height)."
    )
  return (left, top, across, down), (size[0], size[1])


class _Unusable(ValueError):
  """A picture is undamaged, but cannot be used."""


def _is_empty(file):
  if hasattr(file, "seek"):
    return file.seek(0, os.SEEK_END) == 0
  return os.path.getsize(file) == 0


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
    # Decodes a JPEG at a fraction of its size, if that is large enough.
    image.draft(None, (4 * max(height, width),) * 2)
  image.load()  # Also turns a TIFF upright.
  try:
    ImageOps.exif_transpose(image, in_place=True)
  except MemoryError:
    raise
  except Exception:  # A picture with damaged EXIF data is still usable.
    pass
  image = _in_8_bits(image)
  image = image.crop(box(*image.size, image_shape, crop))
  if image.has_transparency_data:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  image = image.convert("L" if channels == 1 else "RGB")
  image = image.resize((width, height), Image.Resampling.BILINEAR)
  return np.asarray(image).reshape(height, width, channels)


def _in_8_bits(image):
  """Scales a picture of 16 bits or of floats to 8 bits."""
  if image.mode[0] not in "IF":
    return image
  values = np.asarray(image, np.float64)
  # Pillow has pictures of 16 bits in the modes I;16 and I.
  top, kind = (1, "floats") if image.mode == "F" else (65_535, "numbers")
  if not ((values >= 0) & (values <= top)).all():  # False for NaN.
    raise _Unusable(
      f"has {kind} from {values.min():.4g} to {values.max():.4g}: expected "
      f"values from 0 (black) to {top} (white)."
    )
  return Image.fromarray(np.uint8(np.rint(values * (255 / top))))
