"""One step of a trained actor."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.samplers import sampler

# Latents, values and mask (see `Actor.call`) to latents.
Actor = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


class ActorSampler(sampler.Transformer):
  """z' = G(z, y), Engel et al. 2018, section 3."""

  def __init__(
    self,
    judges: sampler.Judges,
    actor: Actor,
    starts: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
  ):
    """Creates the sampler.

    Args:
      judges: The critics that judge its results.
      actor: G(z, y), such as an `Actor`.
      starts: Prior samples to the latents that the actor is given, such as
        `ActorCritic.starts`.
    """
    super().__init__(judges)
    self._actor = actor
    self._starts = starts

  def sample(self, constraint, seeds):
    """See base class."""
    return self._move(self._starts(self._prior(seeds)), constraint)

  def edit(self, latents, edit, seeds):
    """See base class. `converged` covers the attributes that are kept, too."""
    return self._move(latents, edit.shown)

  def _move(self, start, constraint):
    moved = self._actor(start, constraint.values, constraint.mask)
    return self._result(moved, constraint, steps=1, start=start)
