"""Somebody else's decoder and encoder, made to look like a generator of ours.

Models differ in how latents are distributed and shaped, in the range of pixels
and in where channels go. Here is the one place that knows.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import priors

tfd = tfp.distributions

# What the model's own latents are drawn from: N(0, I), or evenly from [-1, 1]
# or [0, 1] in each dimension.
PRIORS = ("normal", "uniform", "unit_uniform")
LAYOUTS = ("channels_last", "channels_first", "no_channels")

# How near to the ends of a uniform prior an encoder's mean counts: beyond, the
# latent vector of a normal prior would go to infinity.
_EDGE = 1e-4
# A posterior of scale zero has an infinite rate.
_SMALLEST_SCALE = 1e-5


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


class Adapter:
  """A `generator.Generator` made of bare functions of tensors.

  Our latents are draws of N(0, I) whatever the model's are: for a uniform
  prior each goes through the normal distribution function first. There is an
  attribute `encode` only if the model can do that.

  A decoder that is a numpy function cannot be exported, see `exportable`: a
  model server runs no Python.

  Attributes:
    image_shape: (height, width, channels) of our images.
    latent_size: Size of z.
    exportable: Whether the functions can be part of a SavedModel.
    resource: What the functions belong to; must live as long as they do.
  """

  def __init__(
    self,
    decode: Callable[[tf.Tensor], tf.Tensor],
    *,
    image_shape: Sequence[int],
    latent_shape: Sequence[int],
    layout: str = "channels_last",
    prior: str = "normal",
    pixel_range: Sequence[float] = (0.0, 1.0),
    encode: Callable[[tf.Tensor], Mapping[str, tf.Tensor]] | None = None,
    posterior_scale: float = 0.1,
    exportable: bool = True,
    resource: object = None,
  ):
    """Wraps the functions of a model.

    Args:
      decode: The model's latents [batch, *latent_shape] to its images, as
        `layout` and `pixel_range` say. Any numeric type.
      image_shape: (height, width, channels).
      latent_shape: Shape of one latent vector, such as (n,) or (1, 1, n).
      layout: One of LAYOUTS: [batch, height, width, channels], [batch,
        channels, height, width], or [batch, height, width].
      prior: One of PRIORS.
      pixel_range: The model's values for black and white, such as (-1, 1).
      encode: None; or the model's images to "mean", [batch, *latent_shape],
        and, if it has one, "scale" or "log_variance" of the same shape.
      posterior_scale: Standard deviation in our latent space, for an encoder
        that says none, and for uniform priors.
      exportable: Whether the functions can be part of a SavedModel.
      resource: Kept, see above.

    Raises:
      ValueError: There is no such layout or prior, or no range of pixels.
    """
    if layout not in LAYOUTS:
      raise ValueError(f"Unknown layout {layout!r}: {', '.join(LAYOUTS)}.")
    if prior not in PRIORS:
      raise ValueError(f"Unknown prior {prior!r}: {', '.join(PRIORS)}.")
    self._low, self._high = map(float, pixel_range)
    if not self._low < self._high:
      raise ValueError(
        f"The pixel range is the value of black, then that of white; got "
        f"{self._low:g}, {self._high:g}."
      )
    self.image_shape = tuple(image_shape)
    self.latent_size = math.prod(latent_shape)
    self.exportable = exportable
    self.resource = resource
    self._own_shape = (-1, *latent_shape)
    self._layout = layout
    self._prior = prior
    self._decode = decode
    self._encode = encode
    self._posterior_scale = posterior_scale
    if encode is not None:
      # A model that cannot encode has no such attribute.
      self.encode = self._posterior

  @property
  def prior(self) -> tfd.Distribution:
    """p(z) = N(0, I), event shape [latent_size], whatever the model's is."""
    return priors.standard_normal(self.latent_size)

  def decode(self, latents: tf.Tensor) -> tfd.Distribution:
    """Returns p(x|z), event shape `image_shape`; its mean is in [0, 1].

    All of its mass is at one image: a draw is the mean, and no other image has
    a density.

    Args:
      latents: [batch, latent_size].
    """
    own = tf.reshape(from_normal(latents, self._prior), self._own_shape)
    pixels = tf.cast(self._decode(own), tf.float32)
    images = (pixels - self._low) / (self._high - self._low)
    if self._layout == "channels_first":
      images = tf.transpose(images, [0, 2, 3, 1])
    elif self._layout == "no_channels":
      images = images[..., tf.newaxis]
    images = tf.ensure_shape(images, [None, *self.image_shape])
    images = tf.clip_by_value(images, 0.0, 1.0)
    return tfd.Independent(tfd.Deterministic(images), 3)

  def _posterior(self, images: tf.Tensor) -> tfd.Distribution:
    """Returns q(z|x), event shape [latent_size].

    Args:
      images: [batch, *image_shape] in [0, 1].
    """
    pixels = images * (self._high - self._low) + self._low
    if self._layout == "channels_first":
      pixels = tf.transpose(pixels, [0, 3, 1, 2])
    elif self._layout == "no_channels":
      pixels = pixels[..., 0]
    codes = {
      name: tf.cast(tf.reshape(value, [-1, self.latent_size]), tf.float32)
      for name, value in self._encode(pixels).items()
    }
    mean, constant = codes["mean"], self._posterior_scale
    if self._prior != "normal":
      # The scale is the constant: what the model may say of it is in units in
      # which the middle and the ends of its range count the same.
      scale = tf.fill(tf.shape(mean), constant)
      share = (mean + 1.0) / 2.0 if self._prior == "uniform" else mean
      share = tf.clip_by_value(share, _EDGE, 1.0 - _EDGE)
      mean = tfd.Normal(0.0, 1.0).quantile(share)
    elif "scale" in codes:
      scale = codes["scale"]
    elif "log_variance" in codes:
      scale = tf.exp(0.5 * codes["log_variance"])
    else:
      scale = tf.fill(tf.shape(mean), constant)
    return tfd.MultivariateNormalDiag(
      loc=mean, scale_diag=tf.maximum(scale, _SMALLEST_SCALE)
    )
