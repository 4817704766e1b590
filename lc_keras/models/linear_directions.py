"""One straight direction per attribute: the simplest model of latents."""

from typing import Self

import numpy as np
import tensorflow as tf
from sklearn import linear_model

from lc_keras.data import latents as latent_rows
from lc_keras.models import stored_model

# Of the logistic regression, per row, on latents of variance 1. So strong that
# a normal says where those with an attribute are on average, rather than where
# they can just be told apart: of edits of studio faces, 90% are read back at a
# margin of 3; with a penalty of 1 / 20,000 it is a quarter.
_PENALTY = 1 / 6
# The regression holds its rows in memory; more add nothing to so few weights.
_MOST_ROWS = 100_000


class LinearDirections(stored_model.StoredModel):
  """A score per attribute that is linear in z: its log odds.

  Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of GANs for Semantic Face
  Editing" (https://arxiv.org/abs/1907.10786), who use support vectors; a
  logistic regression finds such a hyperplane as well, and gives its distance a
  unit.

  Their latents have the covariance I, so that the shortest move across a
  hyperplane is also the most probable one. Encoded images have not: along most
  axes there is hardly more than the posterior's noise, and there a classifier
  finds the shortest moves, of which the decoder shows nothing. So the fit and
  the moves are in units of the deviation of latents.

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
      latents: where each score rises by the most probable move.
  """

  def __init__(self, latent_size: int, num_attributes: int, **kwargs):
    """Creates directions that know nothing: every score is zero.

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
    """Fits every attribute on its own, on the posterior's means.

    There is no chance in it. An attribute that all rows have, or none, has no
    direction: its normal is zero, and it is moved by nothing.

    Args:
      rows: The training split. Of more than 100,000 rows, so many are looked
        at, evenly spaced.
    """
    model = cls(rows.mean.shape[1], rows.attributes.shape[1])
    variances, axes = latent_rows.moments(rows).principal_axes()
    deviations = np.sqrt(variances)
    if len(rows) > _MOST_ROWS:
      rows = rows.take(np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(int))
    points = np.asarray(rows.mean) @ axes / deviations
    # Seen as equally frequent: a score of zero is then half way between those
    # with and those without, however rare an attribute is.
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
