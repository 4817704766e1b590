"""Targets and weights for every row of a batch, and the weight of realism."""

import dataclasses

import tensorflow as tf

from lc_keras import losses


@dataclasses.dataclass(frozen=True)
class Constraint:
  """A conjunction of attribute targets per row, always together with realism.

  Works on eager and on symbolic tensors alike, so that the same object drives
  samplers in Python and in an exported graph.

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> values, weights = tf.constant([[1.0, 0.0]]), tf.constant([[1.0, 0.0]])
  >>> constraint = lc_keras.Constraint(values, weights)
  >>> constraint.satisfied(tf.constant([[0.9, 0.9]])).numpy()
  array([ True])

  Attributes:
    values: float32 [batch, num_attributes] in [0, 1], the targets.
    weights: float32 [batch, num_attributes] from 0 up, how much each target
      counts; 0 leaves the attribute open.
    realism_weight: Factor on a sampler's own weight of realism, a number or
      float32 [batch].
    same: Weight of the distance between the embeddings of start and result,
      such as a face's identity, see `Judges.embedding`; a number or float32
      [batch]. 0 leaves it out.
  """

  values: tf.Tensor
  weights: tf.Tensor
  realism_weight: tf.Tensor | float = 1.0
  same: tf.Tensor | float = 0.0

  @property
  def mask(self) -> tf.Tensor:
    """[batch, num_attributes] in {0, 1}: 1 for attributes that count."""
    return tf.cast(self.weights > 0.0, tf.float32)

  def narrowed(self, count: int) -> "Constraint":
    """Returns the constraint on the first `count` attributes alone."""
    return dataclasses.replace(
      self, values=self.values[:, :count], weights=self.weights[:, :count]
    )

  def energy(self, logits: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of the targets, averaged by weight.

    Args:
      logits: [batch, num_attributes], an attribute critic's.

    Returns:
      [batch], in nats per attribute; 0 in rows without a request.
    """
    return losses.attribute_cross_entropy(logits, self.values, self.weights)

  def satisfied(
    self, probabilities: tf.Tensor, tolerance: tf.Tensor | float = 0.5
  ) -> tf.Tensor:
    """Returns whether every target is met, bool [batch].

    Args:
      probabilities: [batch, num_attributes] in [0, 1].
      tolerance: How far from its target a probability may be, a number or
        [batch, num_attributes]; 0.5 is the reading of a classifier at its
        threshold.
    """
    met = tf.abs(probabilities - self.values) < tolerance
    return tf.reduce_all(met | (self.weights <= 0.0), axis=-1)
