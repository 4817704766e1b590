"""Cuts what a judge looks at out of aligned images of faces."""

import tensorflow as tf

# Of an aligned image of so many pixels: top, left, height, width.
_ALIGNED = 256
_FACE = (66, 48, 160, 160)
# Mean colour that the networks of dlib and face-api take off, in RGB, 0 to 255.
MEAN_COLOUR = (122.782, 117.001, 104.298)


def face(images: tf.Tensor, size: int) -> tf.Tensor:
  """Returns the faces in aligned images, [n, size, size, 3].

  Args:
    images: [n, height, height, 3], aligned as FFHQ is.
    size: In pixels.
  """
  scale = images.shape[1] / _ALIGNED
  top, left, height, width = (round(scale * side) for side in _FACE)
  found = images[:, top : top + height, left : left + width]
  return tf.image.resize(found, [size, size])


def without_mean(images: tf.Tensor, unit: float) -> tf.Tensor:
  """Returns images in [0, 1] as (image * 255 - mean colour) / unit."""
  return (255.0 * images - tf.constant(MEAN_COLOUR)) / unit
