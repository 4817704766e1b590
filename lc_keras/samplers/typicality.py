"""Realism of latents: their distance from the mean, against held-out latents.

The critic of an actor does not measure it: trained in balance with its actor,
it separates the actor's samples from encoded images however good they are, was
trained on no other latents, and depends on the request. A search climbs the
critic; reports show typicality.

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

# Calibration: 50% of held-out rows read at least 0.9, and 95% at least 0.5.
_TYPICAL = 0.9
_PERCENT = 95.0
# Most rows that are used, and posterior draws of each held-out row.
_ROWS = 8192
_DRAWS = 4
# Share of the largest variance: without noise, some axes have no variance.
_LEAST_VARIANCE = 1e-6


class Typicality:
  """Realism as a logit, from the distance to the mean of q(z).

  The distance is the squared Mahalanobis distance under the covariance of q(z),
  calibrated on held-out draws. It detects only outliers: latents near the mean,
  such as a blend of two faces, read as realistic.
  """

  def __init__(self, train: latent_rows.Latents, held_out: latent_rows.Latents):
    """Fits mean and covariance to `train`, and calibrates on `held_out`.

    Args:
      train: The training split.
      held_out: Rows that no model was trained on.
    """
    spread = latent_rows.moments(train.take(slice(_ROWS)))
    variances, axes = spread.principal_axes()
    least = _LEAST_VARIANCE * variances[-1]
    whiten = axes / np.sqrt(np.maximum(variances, least))
    # Variables, which an export stores once, not once per signature.
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
