"""The coordinates in which draws of q(z) have mean 0 and covariance I."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.data import latents as latent_rows


class Whitening(keras.layers.Layer):
  """A fixed affine map of latents; before `adapt`, the identity.

  Attributes:
    signal: [latent_size], the share of each whitened axis's variance that tells
      images apart. The rest is the posterior's noise.
  """

  def __init__(self, latent_size: int, **kwargs):
    """Creates and builds the layer.

    Args:
      latent_size: Size of z.
      **kwargs: For `keras.layers.Layer`.
    """
    super().__init__(trainable=False, **kwargs)
    size = latent_size
    self._center = self.add_weight((size,), "zeros", name="center")
    self._axes = self.add_weight((size, size), "identity", name="axes")
    self._deviations = self.add_weight((size,), "ones", name="deviations")
    self.signal = self.add_weight((size,), "ones", name="signal")
    self.built = True

  def adapt(self, rows: latent_rows.Latents) -> None:
    """Estimates the map; to be called once, before training.

    Args:
      rows: The training split, of more rows than dimensions.
    """
    spread = latent_rows.moments(rows)
    variances, axes = spread.principal_axes()
    signal = np.sum(axes * (spread.covariance @ axes), axis=0) / variances
    self._center.assign(spread.center)
    self._axes.assign(axes)
    self._deviations.assign(np.sqrt(variances))
    self.signal.assign(signal)

  def call(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns whitened latents, [batch, latent_size]."""
    return tf.matmul(latents - self._center, self._axes) / self._deviations

  def undo(self, points: tf.Tensor) -> tf.Tensor:
    """Returns the latents of whitened points."""
    latents = tf.matmul(points * self._deviations, self._axes, transpose_b=True)
    return latents + self._center

  def noise(self, prior: tf.Tensor) -> tf.Tensor:
    """Maps prior samples to whitened latents of the same distribution.

    A rotation, which keeps N(0, I); of all rotations, `undo` after this one
    moves prior samples least.
    """
    return tf.matmul(prior, self._axes)
