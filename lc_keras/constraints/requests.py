"""Requests: expressions applied to the rows of a batch.

>>> from lc_keras.constraints import attributes
>>> from lc_keras.constraints import expressions
>>> faces = attributes.Attributes(["Smiling", "Eyeglasses", "Male"])
>>> either = expressions.Has("Smiling") | expressions.Has("Eyeglasses")
>>> Request(either & ~expressions.Has("Male"), faces).rows(3).values.numpy()
array([[1., 0., 0.],
       [0., 1., 0.],
       [1., 0., 0.]], dtype=float32)
"""

import functools

import numpy as np
import tensorflow as tf

from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import constraint as constraints
from lc_keras.constraints import expressions
from lc_keras.constraints import language


class Request:
  """A request: alternatives, of which one must hold.

  Attributes:
    attributes: The attributes, in the order of the columns.
    alternatives: At least one, see `expressions.alternatives`.
    realism_weight: See `Constraint`.
  """

  def __init__(
    self,
    expression: expressions.Expression,
    attributes: attribute_names.Attributes,
    realism_weight: float = 1.0,
  ):
    """Expands an expression into alternatives.

    Args:
      expression: The expression.
      attributes: The attributes that it can name.
      realism_weight: Above 0, see `Constraint`.

    Raises:
      ValueError: There are no alternatives, see `expressions.alternatives`, or
        the realism weight is not above 0.
    """
    expressions.check_realism(realism_weight)
    self.attributes = attributes
    self.realism_weight = realism_weight
    self.alternatives = expressions.alternatives(expression, attributes)

  def rows(self, n: int, first: int = 0) -> constraints.Constraint:
    """Returns a constraint of n rows that take the alternatives in turns.

    Args:
      n: Number of rows.
      first: Turn of the first row.
    """
    return self._constraint(
      np.arange(first, first + n) % len(self.alternatives)
    )

  def nearest(self, probabilities: tf.Tensor) -> constraints.Constraint:
    """Returns the nearest alternative of each row.

    Args:
      probabilities: [batch, num_attributes] in [0, 1], of the rows.

    Returns:
      A constraint that has, per row, the alternative of least cross-entropy,
      summed by weight: the alternative that changes the row least.
    """
    probabilities = tf.clip_by_value(probabilities, 1e-6, 1.0 - 1e-6)
    logits = tf.math.log(probabilities) - tf.math.log1p(-probabilities)
    missing = [
      tf.reduce_sum(weights) * constraint.energy(logits)
      for constraint, weights in zip(
        self._spread(probabilities), self._stacked.weights
      )
    ]
    return self._constraint(tf.argmin(tf.stack(missing, axis=-1), axis=-1))

  def satisfied(
    self, probabilities: tf.Tensor, tolerance: float = 0.5
  ) -> tf.Tensor:
    """Returns whether some alternative holds, bool [batch].

    Args:
      probabilities: [batch, num_attributes] in [0, 1].
      tolerance: See `Constraint.satisfied`.
    """
    held = [
      constraint.satisfied(probabilities, tolerance)
      for constraint in self._spread(probabilities)
    ]
    return tf.reduce_any(tf.stack(held, axis=-1), axis=-1)

  @functools.cached_property
  def _stacked(self):
    """The alternatives as one, [num_alternatives, num_attributes]."""
    return expressions.Alternative(*map(np.stack, zip(*self.alternatives)))

  def _spread(self, probabilities):
    """Yields each alternative as a constraint on all rows."""
    count = tf.shape(probabilities)[0]
    for index in range(len(self.alternatives)):
      yield self._constraint(tf.fill([count], index))

  def _constraint(self, indices):
    return constraints.Constraint(
      tf.gather(self._stacked.values, indices),
      tf.gather(self._stacked.weights, indices),
      self.realism_weight,
    )


def parse(text: str, attributes: attribute_names.Attributes) -> Request:
  """Parses a request such as "Smiling, Eyeglasses, not Male".

  >>> from lc_keras.constraints import attributes
  >>> faces = attributes.Attributes(["Smiling", "Male"])
  >>> parse("Smiling, not Male", faces).rows(1).values.numpy()
  array([[1., 0.]], dtype=float32)

  Args:
    text: See `language.read`.
    attributes: The attributes that it can name.

  Raises:
    ValueError: The text cannot be parsed (the message shows where), or is not
      valid, see `Request`.
  """
  expression, realism_weight = language.read(text, attributes)
  return Request(expression, attributes, realism_weight)
