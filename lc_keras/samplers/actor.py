"""One step of a trained actor."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.constraints import constraint as constraint_lib
from lc_keras.samplers import sampler

# Latents, values and mask (see `Actor.call`) to latents.
Actor = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


class ActorSampler(sampler.Transformer):
  """z' = (1 - strength) * z + strength * G(z, y).

  Engel et al. 2018, section 3, with a dial: 1 is the actor itself, 0 changes
  nothing, between and beyond them the same move is made by less or more.
  """

  def __init__(
    self,
    judges: sampler.Judges,
    actor: Actor,
    strength: tf.Tensor | float = 1.0,
    begin: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
  ):
    """Creates the sampler.

    Args:
      judges: Who says whether a constraint holds.
      actor: G(z, y), such as an `Actor`.
      strength: A number, or a tensor [batch].
      begin: Makes of prior samples what the actor is given, such as
        `ActorCritic.begin`.
    """
    super().__init__(judges)
    self._actor = actor
    self._strength = strength
    self._begin = begin

  def sample(
    self, constraint: constraint_lib.Constraint, seeds: tf.Tensor
  ) -> sampler.Result:
    """See base class."""
    return self._move(self._begin(self._prior(seeds)), constraint)

  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    seeds: tf.Tensor,
  ) -> sampler.Result:
    """See base class. `converged` covers what is kept, too."""
    return self._move(latents, self.judges.keep(latents, constraint))

  def _move(self, start, constraint):
    # A column, or a number: either multiplies rows.
    strength = tf.reshape(self._strength, [-1, 1])
    moved = self._actor(start, constraint.values, constraint.mask)
    latents = (1.0 - strength) * start + strength * moved
    return self._result(latents, constraint, steps=1, start=start)
