"""How models take latents and give images, and how we do.

Models differ in how latents are distributed and shaped, in the range of pixels
and in where channels go. Here is the one place that knows.
"""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

# What the model's own latents are drawn from: N(0, I), or evenly from [-1, 1]
# or [0, 1] in each dimension.
PRIORS = ("normal", "uniform", "unit_uniform")
LAYOUTS = ("channels_last", "channels_first", "no_channels")

# How near to the ends of a uniform prior an encoder's mean counts: beyond, the
# latent vector of a normal prior would go to infinity.
_EDGE = 1e-4


def from_normal(latents: tf.Tensor, prior: str) -> tf.Tensor:
  """Turns draws of N(0, I) into draws of another prior, each dimension alone.

  Args:
    latents: Of any shape.
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


def to_channels_last(images: tf.Tensor, layout: str) -> tf.Tensor:
  """Returns images [batch, height, width, channels].

  Args:
    images: A model's.
    layout: One of LAYOUTS.
  """
  if layout == "channels_first":
    return tf.transpose(images, [0, 2, 3, 1])
  return images[..., tf.newaxis] if layout == "no_channels" else images


def from_channels_last(images: tf.Tensor, layout: str) -> tf.Tensor:
  """Undoes `to_channels_last`."""
  if layout == "channels_first":
    return tf.transpose(images, [0, 3, 1, 2])
  return images[..., 0] if layout == "no_channels" else images


def check(prior: str, pixel_range) -> tuple[float, float]:
  """Returns the values of black and white.

  Raises:
    ValueError: There is no such prior, or no range of pixels.
  """
  if prior not in PRIORS:
    raise ValueError(f"Unknown prior {prior!r}: {', '.join(PRIORS)}.")
  low, high = map(float, pixel_range)
  if not low < high:
    raise ValueError(
      "The pixel range is the value of black, then that of white; got "
      f"{low:g}, {high:g}."
    )
  return low, high
