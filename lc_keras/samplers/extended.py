"""A sampler that knows some attributes, and a search for the others."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras import losses
from lc_keras.constraints import constraint as constraints
from lc_keras.samplers import gradient_search
from lc_keras.samplers import sampler

# Maps latents and a constraint to latents that are nearer to its targets.
Advance = Callable[[tf.Tensor, constraints.Constraint], tf.Tensor]


class Extended(sampler.Transformer):
  """Extends a sampler by a search for the attributes that it does not know.

  The sampler knows the first columns, or none if it is unconditional; columns
  of constraints that were learned later follow. A row that requests only known
  attributes is left to the sampler. For other rows, the constraints' own
  actors, if there are any, move the sampler's result, and the search starts
  from there.
  """

  def __init__(
    self,
    base: sampler.Sampler,
    search: gradient_search.GradientSearch,
    advance: Advance = lambda latents, constraint: latents,
  ):
    """Creates the sampler.

    Args:
      base: The sampler that knows the first columns; a `Transformer`, if
        `transform` is to be called.
      search: The search for all columns; its judges evaluate the results.
      advance: Moves rows towards the targets before the search; must not change
        rows that request no learned constraint.
    """
    super().__init__(search.judges)
    self._base = base
    self._search = search
    self._advance = advance

  def sample(self, constraint, seeds):
    """See base class. `distance` adds that of the base and of the search."""
    beyond = self._beyond(constraint)
    known = constraint.narrowed(len(self._base.judges.attributes))
    made = self._base.sample(known, seeds)
    start, steps = self._advanced(made, constraint)
    searched = self._search.improve(start, constraint, seeds, beyond)
    result = self._chosen(beyond, searched, steps, constraint)
    moved = losses.latent_distance(
      searched.latents, made.latents, self.judges.posterior_scale
    )
    return result._replace(distance=made.distance + moved)

  def edit(self, latents, edit, seeds):
    """See base class."""
    beyond = self._beyond(edit.asked)
    known = edit.narrowed(len(self._base.judges.attributes))
    made = self._base.edit(latents, known, seeds)
    # Even without a request, a sampler may move a row a little.
    idle = beyond & tf.reduce_all(known.asked.weights <= 0.0, axis=-1)
    made = made._replace(
      latents=tf.where(idle[:, tf.newaxis], latents, made.latents),
      steps=tf.where(idle, 0, made.steps),
    )
    start, steps = self._advanced(made, edit.asked)
    searched = self._search.search(start, edit, seeds, beyond)
    return self._chosen(beyond, searched, steps, edit.shown, latents)

  def _beyond(self, constraint):
    """Returns which rows request attributes that the base does not know."""
    unknown = constraint.weights[:, self._base.num_known_attributes :]
    return tf.reduce_any(unknown > 0.0, axis=-1)

  def _advanced(self, made, constraint):
    """Returns the start of the search, and the steps taken so far."""
    start = self._advance(made.latents, constraint)
    moved = tf.reduce_any(start != made.latents, axis=-1)
    return start, made.steps + tf.cast(moved, tf.int32)

  def _chosen(self, beyond, searched, steps_before, shown, start=None):
    """Returns the search's latents with the judges' readings.

    Rows that were not searched are included, with the start of the search.
    """
    steps = steps_before + searched.steps
    result = self._result(searched.latents, shown, steps, start)
    return result._replace(
      realism=tf.where(beyond, searched.realism, result.realism),
      converged=tf.where(beyond, searched.converged, result.converged),
    )
