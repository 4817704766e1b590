"""One step of a trained actor."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.samplers import sampler

# Maps latents, values and mask to latents, see `Actor.call`.
Actor = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
# How close to its target an attribute reads where a request holds already.
_TOLERANCE = 0.05


class ActorSampler(sampler.Transformer):
  """z' = G(z, y), Engel et al. 2018, section 3.

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> attributes = lc_keras.Attributes(["Smiling", "Male"])
  >>> judges = lc_keras.Judges(
  ...   attributes,
  ...   critic=lambda z, values, mask: 3.0 - z[:, 2] ** 2,
  ...   attribute_critic=lambda z: 9.0 * z[:, :2],
  ...   posterior_scale=tf.fill([3], 0.1),
  ... )
  >>> rows = lc_keras.parse("Smiling, not Male", attributes).rows(4)
  >>> seeds = tf.range(4, dtype=tf.int64)
  >>> model = lc_keras.ActorCritic(3, num_attributes=2, width=16, depth=1)
  >>> sampler = lc_keras.ActorSampler(judges, model.actor, model.starts)
  >>> sampler.sample(rows, seeds).steps.numpy()
  array([1, 1, 1, 1], dtype=int32)
  """

  def __init__(
    self,
    judges: sampler.Judges,
    actor: Actor,
    starts: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
  ):
    """Creates the sampler.

    Args:
      judges: The critics that evaluate its results.
      actor: G(z, y), such as an `Actor`.
      starts: Maps prior samples to the actor's input latents, such as
        `ActorCritic.starts`.
    """
    super().__init__(judges)
    self._actor = actor
    self._starts = starts

  def sample(self, constraint, seeds):
    """See base class."""
    return self._move(self._starts(self._start(seeds)), constraint)

  def edit(self, latents, edit, seeds):
    """See base class. `converged` covers the attributes that are kept, too."""
    return self._move(latents, edit.shown)

  def _move(self, start, constraint):
    moved = self._actor(start, constraint.values, constraint.mask)
    return self._result(moved, constraint, steps=1, start=start)


class SearchActorSampler(sampler.Transformer):
  """One step of a trained `SearchActor`, from where the search would start.

  As by the search, a row for which the request holds is returned unmoved.
  """

  def __init__(
    self, judges: sampler.Judges, actor: Actor, starts: sampler.Sampler
  ):
    """Creates the sampler.

    Args:
      judges: The critics that evaluate its results.
      actor: The `SearchActor`.
      starts: Makes the latents that samples are moved from.
    """
    super().__init__(judges)
    self._actor = actor
    self._starts = starts

  def sample(self, constraint, seeds):
    """See base class."""
    start = self._starts.sample(constraint, seeds).latents
    result = self.edit(start, self.judges.edit(start, constraint), seeds)
    return self._result(result.latents, constraint, result.steps)

  def edit(self, latents, edit, seeds):
    """See base class. `converged` covers the attributes that are kept, too."""
    del seeds
    read = tf.sigmoid(self.judges.attribute_critic(latents))
    holds = edit.asked.satisfied(read, _TOLERANCE)
    moved = self._actor(latents, edit.asked.values, edit.asked.mask)
    moved = tf.where(holds[:, tf.newaxis], latents, moved)
    return self._result(moved, edit.shown, tf.where(holds, 0, 1), latents)
