"""From a picture of any size to an image of a model: a part of it, resized.

A data set says once how its pictures become images. That is kept with every
model trained on them, so that a client, the studio and an exported signature
make the same image of a picture as training did.

>>> import tensorflow as tf
>>> from lc_keras.data import preprocessing
>>> made = preprocessing.Preprocessing((64, 64, 3))  # The middle, resized.
>>> made(tf.zeros([218, 178, 3], tf.uint8)).shape
TensorShape([64, 64, 3])
"""

import dataclasses
from collections.abc import Mapping
from typing import Self

import tensorflow as tf

CENTER, NONE = "center", "none"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """How pictures become images.

  A window is about pictures of one size. It is taken of pictures of the same
  proportions, in proportion; any other picture is taken to be cropped already,
  and its middle is used, as a picture of the images' own size is used whole.

  Attributes:
    image_shape: (height, width, channels) of the images.
    crop: "center", the largest part in the middle that has the proportions of
      the images; "none", the whole picture, stretched; or a window,
      "x,y,width,height" in pixels.
    picture_size: (height, width) of the pictures that a window is about.
  """

  image_shape: tuple[int, int, int]
  crop: str = CENTER
  picture_size: tuple[int, int] | None = None

  def __post_init__(self):
    if self.crop in (CENTER, NONE):
      return
    try:
      x, y, width, height = self.window
    except ValueError as error:
      raise ValueError(
        f"A crop is {CENTER}, {NONE}, or four whole numbers x,y,width,height "
        f"in pixels; got {self.crop!r}."
      ) from error
    if self.picture_size is None:
      raise ValueError(
        f"The crop {self.crop} is for pictures of one size: say of which."
      )
    most_high, most_wide = self.picture_size
    if (
      min(x, y) < 0
      or min(width, height) < 1
      or x + width > most_wide
      or y + height > most_high
    ):
      raise ValueError(
        f"The crop {self.crop} (x,y,width,height) does not lie within pictures "
        f"of {most_wide} x {most_high} pixels."
      )

  @property
  def window(self) -> tuple[int, int, int, int]:
    """x, y, width and height of a window in pixels, of `picture_size`."""
    x, y, width, height = map(int, self.crop.split(","))
    return x, y, width, height

  def __call__(self, picture: tf.Tensor) -> tf.Tensor:
    """Returns the image of a picture.

    Args:
      picture: uint8 [height, width, channels], upright; of any size.

    Returns:
      float32 [*image_shape] in [0, 1].
    """
    size = tf.shape(picture)[:2]
    top, left, height, width = tf.unstack(self._part(size[0], size[1]))
    return self.resized(picture[top : top + height, left : left + width])

  def resized(self, part: tf.Tensor) -> tf.Tensor:
    """Returns the image that the cropped part of a picture becomes.

    Args:
      part: uint8 [height, width, channels].

    Returns:
      float32 [*image_shape] in [0, 1].
    """
    image = tf.image.resize(part, self.image_shape[:2], antialias=True) / 255.0
    # The antialiased triangle only averages, but white becomes 1 and a bit.
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0), self.image_shape)

  def about(self) -> dict:
    """Returns it as JSON values, for `from_about`."""
    return dataclasses.asdict(self)

  @classmethod
  def from_about(cls, about: Mapping) -> Self:
    """Returns what `about` told of; or "center", of the shape alone."""
    size = about.get("picture_size")
    return cls(
      tuple(about["image_shape"]),
      about.get("crop", CENTER),
      tuple(size) if size else None,
    )

  def _part(self, height, width):
    """Returns top, left, height and width of the part of a picture, int32."""
    whole = tf.stack([0, 0, height, width])
    if self.crop == NONE:
      return whole
    middle = _middle(height, width, self.image_shape[1] / self.image_shape[0])
    if self.crop == CENTER:
      return middle
    x, y, wide, high = self.window
    most_high, most_wide = self.picture_size
    ratio = tf.cast(height, tf.float64) / most_high
    window = tf.constant([y, x, high, wide], tf.float64) * ratio
    expected = tf.cast(tf.round(most_wide * ratio), tf.int32)
    part = tf.where(
      tf.abs(width - expected) <= 1,
      tf.maximum(tf.cast(tf.round(window), tf.int32), [0, 0, 1, 1]),
      middle,
    )
    is_image = (height == self.image_shape[0]) & (width == self.image_shape[1])
    is_image &= self.picture_size != self.image_shape[:2]
    return tf.where(is_image, whole, part)


def _middle(height, width, proportion):
  """Returns the largest part in the middle, `proportion` as wide as high."""
  height, width = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
  high = tf.round(tf.minimum(height, width / proportion))
  wide = tf.round(tf.minimum(width, height * proportion))
  part = tf.stack([(height - high) / 2, (width - wide) / 2, high, wide])
  return tf.maximum(tf.cast(part, tf.int32), [0, 0, 1, 1])
