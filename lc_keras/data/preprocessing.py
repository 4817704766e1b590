"""Crops and resizes pictures of any size to images of a model.

A data set has one `Preprocessing`, which is stored with every model trained on
it, so that a client, the studio and an exported signature make the same image
of a picture as training did.

>>> import tensorflow as tf
>>> from lc_keras.data import preprocessing
>>> made = preprocessing.Preprocessing((64, 64, 3))  # The middle, resized.
>>> made(tf.zeros([218, 178, 3], tf.uint8)).shape
TensorShape([64, 64, 3])
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import BinaryIO, Self

import numpy as np
import tensorflow as tf

from lc_keras.data import images


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """How pictures become images: as files, and as tensors in a graph.

  Attributes:
    image_shape: (height, width, channels) of the images.
    crop: The part of a picture that becomes the image, see `images.box`.
    are_images: Whether the model makes images; else it makes arrays of any
      shape, and pictures are refused.
  """

  image_shape: tuple[int, int, int]
  crop: str = images.CENTER
  are_images: bool = True

  def __post_init__(self):
    images.check_crop(self.crop)

  @classmethod
  def from_about(cls, about: Mapping) -> Self:
    """Restores the preprocessing from `about()`; "crop" may be missing."""
    return cls(tuple(about["image_shape"]), about.get("crop", images.CENTER))

  def about(self) -> dict:
    """Returns the fields to store; `are_images` follows from the generator."""
    return {"image_shape": self.image_shape, "crop": self.crop}

  def load(
    self, file: str | os.PathLike | BinaryIO, name: str = ""
  ) -> np.ndarray:
    """Returns the image of a picture's file, see `images.load`.

    Raises:
      ValueError: The file cannot be read, or the model makes no images.
    """
    if not self.are_images:
      raise ValueError(
        "This model works on arrays of "
        f"{' x '.join(map(str, self.image_shape))} that are not images: it "
        "cannot take a picture."
      )
    return images.load(file, self.image_shape, self.crop, name)

  def __call__(self, picture: tf.Tensor) -> tf.Tensor:
    """Returns the image of a picture.

    Args:
      picture: uint8 [height, width, channels], upright; of any size.

    Returns:
      float32 [*image_shape] in [0, 1].
    """
    return self.resized(self.part(picture))

  def part(self, picture: tf.Tensor) -> tf.Tensor:
    """Returns the part of a picture that becomes the image, not yet resized."""
    size = tf.shape(picture)[:2]
    left, top, right, bottom = tf.unstack(self._box(size[1], size[0]))
    return picture[top:bottom, left:right]

  def resized(self, part: tf.Tensor) -> tf.Tensor:
    """Returns the image that the cropped part of a picture becomes.

    Args:
      part: uint8 [height, width, channels].

    Returns:
      float32 [*image_shape] in [0, 1].
    """
    image = tf.image.resize(part, self.image_shape[:2], antialias=True) / 255.0
    # The antialiasing filter averages, but rounding lifts white just above 1.
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0), self.image_shape)

  def _box(self, width, height):
    """Returns `images.box` of a picture whose size is a tensor."""
    whole = tf.stack([0, 0, width, height])
    if self.crop == images.NONE:
      return whole
    center = self._center(width, height)
    if self.crop == images.CENTER:
      return center
    window, size = images.window(self.crop)
    if size is None:
      return _corners(window)
    ratio = tf.cast(height, tf.float64) / size[1]
    scaled = tf.round(ratio * tf.constant([*window, size[0]], tf.float64))
    *window, expected = tf.unstack(tf.cast(scaled, tf.int32))
    box = _corners(window)
    is_such = tf.abs(width - expected) <= 1
    is_such &= tf.reduce_all(box[2:] <= [width, height])
    box = tf.where(is_such, box, center)
    if self.image_shape[1::-1] == size:
      return box
    is_image = (height == self.image_shape[0]) & (width == self.image_shape[1])
    return tf.where(is_image, whole, box)

  def _center(self, width, height):
    high, wide = self.image_shape[:2]
    ratios = tf.cast([width, height], tf.float64) / [wide, high]
    part = tf.round(
      tf.reduce_min(ratios) * tf.constant([wide, high], tf.float64)
    )
    part = tf.maximum(tf.cast(part, tf.int32), 1)
    corner = (tf.stack([width, height]) - part) // 2
    return tf.concat([corner, corner + part], axis=0)


def _corners(window):
  left, top, across, down = window
  return tf.stack(
    [left, top, left + tf.maximum(across, 1), top + tf.maximum(down, 1)]
  )
