"""The strength of an edit: any sampler's move, scaled."""

import tensorflow as tf

from lc_keras.samplers import sampler


class Scaled(sampler.Transformer):
  """z' = (1 - strength) * z + strength * T(z, y).

  1 is the move of T itself, 0 is none; other strengths scale the same move.
  """

  def __init__(self, moves: sampler.Transformer, strength: tf.Tensor | float):
    """Creates the sampler.

    Args:
      moves: T, the sampler that makes the whole move.
      strength: A number, or a tensor [batch].
    """
    super().__init__(moves.judges)
    self._moves = moves
    self._strength = strength

  @property
  def num_known_attributes(self) -> int:
    """See base class."""
    return self._moves.num_known_attributes

  def sample(self, constraint, seeds):
    """See base class. A sample has no start, hence no move to scale."""
    return self._moves.sample(constraint, seeds)

  def edit(self, latents, edit, seeds):
    """See base class. `converged` covers the attributes that are kept, too."""
    whole = self._moves.edit(latents, edit, seeds)
    strength = tf.reshape(self._strength, [-1, 1])
    moved = (1.0 - strength) * latents + strength * whole.latents
    return self._result(moved, edit.shown, whole.steps, latents)
