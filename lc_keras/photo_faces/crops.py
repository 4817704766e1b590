"""Crops aligned images of faces for judges."""

import tensorflow as tf

# Top, left, height and width of the face in an aligned image of 256 pixels.
_ALIGNED = 256
_FACE = (66, 48, 160, 160)
# Mean colour that networks of dlib and face-api subtract, in RGB, 0 to 255.
MEAN_COLOUR = (122.782, 117.001, 104.298)


def face(images: tf.Tensor, size: int) -> tf.Tensor:
  """Returns the faces in aligned images, [n, size, size, 3].

  Args:
    images: [n, height, height, 3], aligned as FFHQ is.
    size: Height and width of the result, in pixels.
  """
  scale = images.shape[1] / _ALIGNED
  top, left, height, width = (round(scale * side) for side in _FACE)
  found = images[:, top : top + height, left : left + width]
  return tf.image.resize(found, [size, size])


def without_mean(images: tf.Tensor, unit: float) -> tf.Tensor:
  """Returns images in [0, 1] as (image * 255 - mean colour) / unit."""
  return (255.0 * images - tf.constant(MEAN_COLOUR)) / unit
