"""A dial on any transformation: the same move, by less or more."""

import tensorflow as tf

from lc_keras.constraints import constraint as constraint_lib
from lc_keras.samplers import sampler


class Dialled(sampler.Transformer):
  """z' = (1 - strength) * z + strength * T(z, y), see `ActorSampler`."""

  def __init__(self, moves: sampler.Transformer, strength: tf.Tensor | float):
    """Creates the sampler.

    Args:
      moves: T, what makes the whole move.
      strength: A number, or a tensor [batch].
    """
    super().__init__(moves.judges)
    self._moves = moves
    self._strength = strength

  def sample(
    self, constraint: constraint_lib.Constraint, seeds: tf.Tensor
  ) -> sampler.Result:
    """See base class. A sample is not moved from anywhere: no dial on it."""
    return self._moves.sample(constraint, seeds)

  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    seeds: tf.Tensor,
  ) -> sampler.Result:
    """See base class. `converged` covers what is kept, too."""
    whole = self._moves.transform(latents, constraint, seeds)
    strength = tf.reshape(self._strength, [-1, 1])
    moved = (1.0 - strength) * latents + strength * whole.latents
    shown = self.judges.keep(latents, constraint)
    return self._result(moved, shown, whole.steps, latents)
