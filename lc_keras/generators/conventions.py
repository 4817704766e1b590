"""Converts between the latents and images of models and our own.

Models differ in the distribution and shape of latents, in the range of pixels,
in the axis of channels and in the form of an encoder's outputs. Only this
module handles these differences, for all kinds of models.
"""

import math
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

# Distributions of the model's own latents: N(0, I), or uniform in [-1, 1] or
# [0, 1] in each dimension.
PRIORS = ("normal", "uniform", "unit_uniform")
LAYOUTS = ("channels_last", "channels_first", "no_channels")
# Layout of outputs that are not images, which stay as the model returns them.
AS_IS = "as_is"
# Meaning of a pixel: a value between those of black and white, or its logit.
PIXELS = ("values", "logits")

# Encoders' means are kept at this distance from the ends of a uniform prior,
# where the latent vector of a normal prior would go to infinity.
_EDGE = 1e-4


def from_normal(latents: tf.Tensor, prior: str) -> tf.Tensor:
  """Turns draws of N(0, I) into draws of another prior, each dimension alone.

  Args:
    latents: Draws, of any shape.
    prior: One of PRIORS.
  """
  if prior == "normal":
    return latents
  share = tfd.Normal(0.0, 1.0).cdf(latents)
  return 2.0 * share - 1.0 if prior == "uniform" else share


def to_normal(latents: tf.Tensor, prior: str) -> tf.Tensor:
  """Undoes `from_normal`."""
  if prior == "normal":
    return latents
  share = (latents + 1.0) / 2.0 if prior == "uniform" else latents
  share = tf.clip_by_value(share, _EDGE, 1.0 - _EDGE)
  return tfd.Normal(0.0, 1.0).quantile(share)


def layout_of(shape: Sequence[int]) -> tuple[str, list[int]] | None:
  """Returns one of LAYOUTS, and [height, width, channels]; None for no images.

  >>> from lc_keras.generators import conventions
  >>> conventions.layout_of([3, 64, 32])
  ('channels_first', [64, 32, 3])

  Args:
    shape: Shape of one image, as a model has it.
  """
  sizes = list(shape)
  if len(sizes) == 2:
    return "no_channels", [*sizes, 1]
  if len(sizes) == 3 and sizes[2] in (1, 3):
    return "channels_last", sizes
  if len(sizes) == 3 and sizes[0] in (1, 3):
    return "channels_first", [*sizes[1:], sizes[0]]
  return None


def shape_in(layout: str, image_shape: Sequence[int]) -> list[int]:
  """Returns the shape of an image in a layout; undoes `layout_of`."""
  if layout == AS_IS:
    return list(image_shape)
  height, width, channels = image_shape
  if layout == "channels_first":
    return [channels, height, width]
  return [height, width, *([channels] * (layout == "channels_last"))]


def to_channels_last(
  images: tf.Tensor, layout: str, image_shape: Sequence[int]
) -> tf.Tensor:
  """Returns images [batch, height, width, channels], or [batch, *image_shape].

  Args:
    images: Images of a model, which may be flat.
    layout: One of LAYOUTS, or AS_IS.
    image_shape: [height, width, channels]; with AS_IS, any shape.
  """
  images = tf.reshape(images, [-1, *shape_in(layout, image_shape)])
  if layout == "channels_first":
    return tf.transpose(images, [0, 2, 3, 1])
  return images[..., tf.newaxis] if layout == "no_channels" else images


def from_channels_last(
  images: tf.Tensor, layout: str, flat: bool = False
) -> tf.Tensor:
  """Undoes `to_channels_last`.

  Args:
    images: [batch, height, width, channels], or [batch, *image_shape].
    layout: One of LAYOUTS, or AS_IS.
    flat: Whether the model takes images as vectors.
  """
  if layout == "channels_first":
    images = tf.transpose(images, [0, 3, 1, 2])
  elif layout == "no_channels":
    images = images[..., 0]
  size = math.prod(images.shape[1:])
  return tf.reshape(images, [-1, size]) if flat else images


def halves_axis(
  shape: Sequence[int], latent_shape: Sequence[int]
) -> int | None:
  """Returns the axis along which an output has mean and spread, concatenated.

  >>> from lc_keras.generators import conventions
  >>> conventions.halves_axis([3, 8, 8, 8], [4, 8, 8])
  1

  Args:
    shape: Shape of the output, batch included.
    latent_shape: Shape of one latent vector, as the decoder takes it.

  Returns:
    The axis; None if the output is not twice as large as a latent vector.
  """
  sizes, wanted = list(shape[1:]), list(latent_shape)
  if math.prod(sizes) != 2 * math.prod(wanted):
    return None
  for axis, size in enumerate(sizes):
    rest = sizes[:axis] + sizes[axis + 1 :]
    if size == 2 and rest in (wanted, [math.prod(wanted)]):
      return 1 + axis
    if size % 2 == 0:
      half = [*sizes[:axis], size // 2, *sizes[axis + 1 :]]
      if half in (wanted, [math.prod(wanted)]):
        return 1 + axis
  return None


def check(prior: str, pixels: str, pixel_range, plot=None) -> None:
  """Checks the prior and the pixels that a user gives for a model.

  Raises:
    ValueError: The prior or the kind or range of pixels is invalid; or pixels
      are given for outputs that are not images.
  """
  if plot is not None and (pixels != PIXELS[0] or pixel_range is not None):
    raise ValueError(
      "With a plot, outputs are not images, and their values are not scaled: "
      "leave pixels and pixel_range out."
    )
  for what, value, known in (
    ("prior", prior, PRIORS),
    ("kind of pixels", pixels, PIXELS),
  ):
    if value not in known:
      raise ValueError(f"Unknown {what} {value!r}: {', '.join(known)}.")
  if pixel_range is None:
    return
  try:
    low, high = map(float, pixel_range)
  except (TypeError, ValueError) as error:
    raise ValueError(
      f"The pixel range is two numbers, (black, white); got {pixel_range!r}."
    ) from error
  if not -math.inf < low < high < math.inf:
    raise ValueError(
      "The pixel range is the value of black, then that of white; got "
      f"{low:g}, {high:g}."
    )
