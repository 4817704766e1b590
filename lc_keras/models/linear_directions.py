"""One straight direction per attribute: the simplest model of latents."""

from typing import Self

import keras
import numpy as np
import tensorflow as tf
from sklearn import linear_model

from lc_keras import latents as latents_lib


class LinearDirections(keras.Model):
  """A score per attribute that is linear in z: its log odds.

  Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of GANs for Semantic Face
  Editing" (https://arxiv.org/abs/1907.10786), who use support vectors; a
  logistic regression finds such a hyperplane as well, and gives its distance a
  unit.

  Attributes:
    normals: [num_attributes, latent_size], the gradient of each score.
    biases: [num_attributes], the scores of the origin.
  """

  def __init__(self, latent_size: int, num_attributes: int, **kwargs):
    """Creates directions that know nothing: every score is zero.

    Args:
      latent_size: Size of z.
      num_attributes: Number of scores.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.arguments = {
      "latent_size": latent_size,
      "num_attributes": num_attributes,
    }
    self.normals = self.add_weight(
      shape=(num_attributes, latent_size), initializer="zeros", name="normals"
    )
    self.biases = self.add_weight(
      shape=(num_attributes,), initializer="zeros", name="biases"
    )
    self.built = True

  @classmethod
  def estimate(cls, rows: latents_lib.Latents) -> Self:
    """Fits every attribute on its own, on the posterior's means.

    There is no chance in it. An attribute that all rows have, or none, has no
    direction: its normal is zero, and it is moved by nothing.

    Args:
      rows: The training split.
    """
    model = cls(rows.mean.shape[1], rows.attributes.shape[1])
    # Seen as equally frequent: a score of zero is then half way between those
    # with and those without, however rare an attribute is.
    regression = linear_model.LogisticRegression(
      class_weight="balanced", max_iter=1000
    )
    normals, biases = (np.zeros(weight.shape) for weight in model.weights)
    for column, labels in enumerate(rows.attributes.T > 0.5):
      if labels.any() and not labels.all():
        regression.fit(rows.mean, labels)
        normals[column] = regression.coef_[0]
        biases[column] = regression.intercept_[0]
    model.set_weights([normals, biases])
    return model

  def call(self, latents):
    """Returns the scores, log odds [batch, num_attributes]."""
    return tf.matmul(latents, self.normals, transpose_b=True) + self.biases
