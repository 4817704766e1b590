"""How realistic latents are: how far out they lie, beside held-out ones.

The critic of an actor cannot say: trained until the two are in balance, it
tells its actor's samples from encoded images however good these are, knows
nothing of latents that neither of them ever showed it, and its answer depends
on the request. It is what a search climbs; this is what is reported.

>>> import numpy as np
>>> from lc_keras.data import latents
>>> from lc_keras.samplers import typicality
>>> mean = np.random.default_rng(0).normal(size=[500, 3]).astype(np.float32)
>>> rows = latents.Latents(mean, 0.0 * mean + 0.5, mean[:, :0])
>>> realism = typicality.Typicality(rows.take(slice(400)), rows)
>>> (realism(tf.constant([[0.5, -1.0, 0.0], [9.0, 9.0, 9.0]])) > 0.0).numpy()
array([ True, False])
"""

import math

import numpy as np
import tensorflow as tf

from lc_keras.data import latents as latent_rows

# Of held-out rows, half read this or more, and these percent one half.
_TYPICAL = 0.9
_PERCENT = 95.0
# Rows that are looked at, at most, and draws of each that is held out.
_ROWS = 8192
_DRAWS = 4
# Of the largest variance: encoders without noise leave axes of none.
_LEAST_VARIANCE = 1e-6


class Typicality:
  """Realism as a logit, from the distance to the mean of q(z).

  The distance is Mahalanobis's, with the covariance of draws of q(z); held-out
  draws calibrate it. Whatever lies within, such as a blend of two faces, reads
  as realistic: only latents far out are told.
  """

  def __init__(self, train: latent_rows.Latents, held_out: latent_rows.Latents):
    """Measures the spread of the first, and calibrates on the second.

    Args:
      train: The training split.
      held_out: Rows that nothing was fitted to.
    """
    spread = latent_rows.moments(train.take(slice(_ROWS)))
    variances, axes = spread.principal_axes()
    least = _LEAST_VARIANCE * variances[-1]
    whiten = axes / np.sqrt(np.maximum(variances, least))
    # Variables: an export holds them once, not once a signature.
    self._center, self._whiten = (
      tf.Variable(value, trainable=False, dtype=tf.float32)
      for value in (spread.center, whiten)
    )
    rows = held_out.take(slice(_ROWS))
    noise = np.random.default_rng(0).normal(size=[_DRAWS, *rows.mean.shape])
    distances = [
      self._distances(tf.constant(rows.mean + rows.scale * one, tf.float32))
      for one in noise
    ]
    middle, self._limit = np.percentile(distances, [50.0, _PERCENT])
    width = max(self._limit - middle, _LEAST_VARIANCE * self._limit)
    self._slope = math.log(_TYPICAL / (1.0 - _TYPICAL)) / width

  def __call__(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns logits, [batch], of latents [batch, latent_size]."""
    return self._slope * (self._limit - self._distances(latents))

  def _distances(self, latents):
    points = tf.matmul(latents - self._center, self._whiten)
    return tf.reduce_sum(tf.square(points), axis=-1)
