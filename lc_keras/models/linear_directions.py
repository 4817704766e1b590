"""One linear direction per attribute: the simplest model of latents."""

from typing import Self

import numpy as np
import tensorflow as tf
from sklearn import linear_model

from lc_keras.data import latents as latent_rows
from lc_keras.models import stored_model

# L2 penalty of the logistic regression, per row, on latents of variance 1. It
# is strong enough that a normal points to the mean of the rows with an
# attribute, not just across the boundary: at a margin of 3, 90% of edits of
# studio faces are read as requested; with a penalty of 1 / 20,000, a quarter.
_PENALTY = 1 / 6
# The regression holds its rows in memory, and so few weights need no more.
_MOST_ROWS = 100_000


class LinearDirections(stored_model.StoredModel):
  """A score per attribute that is linear in z: its log odds.

  Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of GANs for Semantic Face
  Editing" (https://arxiv.org/abs/1907.10786), who use support vectors; a
  logistic regression also finds a hyperplane, and the distance from it is in
  log odds.

  Their latents have the covariance I, so that the shortest move across a
  hyperplane is also the most probable one. This does not hold for encoded
  images: most axes have hardly more than the posterior's noise, and a
  classifier finds its shortest moves there, which the decoder does not show. So
  the fit and the moves are in units of the standard deviations of latents.

  >>> import numpy as np
  >>> import lc_keras
  >>> random = np.random.default_rng(0)
  >>> mean = random.normal(size=[400, 3]).astype(np.float32)
  >>> labels = (mean[:, :2] > 0).astype(np.float32)
  >>> rows = lc_keras.Latents(mean, np.full_like(mean, 0.1), labels)
  >>> model = lc_keras.LinearDirections.estimate(rows)
  >>> agree = (model(mean).numpy() > 0) == (labels > 0)
  >>> bool(agree.mean() > 0.95)
  True

  Attributes:
    normals: [num_attributes, latent_size], the gradient of each score.
    biases: [num_attributes], the scores of the origin.
    moves: [num_attributes, latent_size], the normals times the covariance of
      latents: the most probable moves that raise each score.
  """

  def __init__(self, latent_size: int, num_attributes: int, **kwargs):
    """Creates untrained directions, whose scores are zero.

    Args:
      latent_size: Size of z.
      num_attributes: Number of scores.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    shape = (num_attributes, latent_size)
    self.normals = self.add_weight(shape, "zeros", name="normals")
    self.biases = self.add_weight((num_attributes,), "zeros", name="biases")
    self.moves = self.add_weight(shape, "zeros", name="moves")
    self.built = True

  @classmethod
  def estimate(cls, rows: latent_rows.Latents) -> Self:
    """Fits every attribute separately, on the posterior's means.

    The fit is deterministic. An attribute that all rows have, or none, gets a
    normal and a move of zero.

    Args:
      rows: The training split; at most 100,000 rows of it are used, evenly
        spaced.
    """
    model = cls(rows.mean.shape[1], rows.attributes.shape[1])
    variances, axes = latent_rows.moments(rows).principal_axes()
    deviations = np.sqrt(variances)
    if len(rows) > _MOST_ROWS:
      rows = rows.take(np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(int))
    points = np.asarray(rows.mean) @ axes / deviations
    # Balanced, so that a score of zero is half way between the rows with and
    # without an attribute, however rare it is.
    regression = linear_model.LogisticRegression(
      C=1.0 / (_PENALTY * len(rows)), class_weight="balanced"
    )
    weights = np.zeros(model.normals.shape)
    biases = np.zeros(model.biases.shape)
    for column, labels in enumerate(np.asarray(rows.attributes).T):
      known = ~np.isnan(labels)
      labels = labels[known] > 0.5
      if labels.any() and not labels.all():
        regression.fit(points[known], labels)
        weights[column] = regression.coef_[0]
        biases[column] = regression.intercept_[0]
    model.normals.assign(weights / deviations @ axes.T)
    model.biases.assign(biases)
    model.moves.assign(weights * deviations @ axes.T)
    return model

  def call(self, latents):
    """Returns the scores, log odds [batch, num_attributes]."""
    return tf.matmul(latents, self.normals, transpose_b=True) + self.biases
