"""A sampler that knows some attributes, and a search for the others."""

import math
from collections.abc import Callable

import tensorflow as tf

from lc_keras import losses
from lc_keras.constraints import constraint as constraints
from lc_keras.samplers import gradient_search
from lc_keras.samplers import sampler

# Maps latents and a constraint to latents that are nearer to its targets.
Advance = Callable[[tf.Tensor, constraints.Constraint], tf.Tensor]

# Samples of the base per row at most. The first that meets the request needs no
# search, and if none does, the best needs a shorter one than the first.
_CANDIDATES = 16
# Between the seeds of a row's candidates: further apart than rows are.
_APART = 2**40


class Extended(sampler.Transformer):
  """Extends a sampler by a search for the attributes that it does not know.

  The sampler knows the first columns, or none if it is unconditional; columns
  of constraints that were learned later follow. A row that requests only known
  attributes is left to the sampler. For other rows, the sampler makes several
  samples and keeps the best; the constraints' own actors, if there are any,
  move it, and the search starts from there.
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
    """See base class.

    `distance` adds that of the base and of the search; `steps` are of all
    candidates.
    """
    beyond = self._beyond(constraint)
    best, distance, steps = self._best(constraint, seeds, beyond)
    start, steps = self._advanced(best, steps, constraint)
    searched = self._search.improve(start, constraint, seeds, beyond)
    result = self._chosen(beyond, searched, steps, constraint)
    moved = losses.latent_distance(
      searched.latents, best, self.judges.posterior_scale
    )
    return result._replace(distance=distance + moved)

  def edit(self, latents, edit, seeds):
    """See base class."""
    beyond = self._beyond(edit.asked)
    known = edit.narrowed(len(self._base.judges.attributes))
    made = self._base.edit(latents, known, seeds)
    # Even without a request, a sampler may move a row a little.
    idle = beyond & tf.reduce_all(known.asked.weights <= 0.0, axis=-1)
    start, steps = self._advanced(
      tf.where(idle[:, tf.newaxis], latents, made.latents),
      tf.where(idle, 0, made.steps),
      edit.asked,
    )
    searched = self._search.search(start, edit, seeds, beyond)
    return self._chosen(beyond, searched, steps, edit.shown, latents)

  def _beyond(self, constraint):
    """Returns which rows request attributes that the base does not know."""
    unknown = constraint.weights[:, self._base.num_known_attributes :]
    return tf.reduce_any(unknown > 0.0, axis=-1)

  def _best(self, constraint, seeds, beyond):
    """Returns latents, distances and steps of the best of the base's samples.

    A row's best is the first that meets the request, else that of lowest
    energy; for rows that are not `beyond`, the first. It does not depend on
    other rows.
    """
    judges, base = self.judges, self._base
    known = constraint.narrowed(len(base.judges.attributes))

    def consider(number, latents, distance, steps, lowest, searching):
      made = base.sample(known, seeds + _APART * number)
      energy = judges.attribute_energy(
        made.latents, constraint
      ) + judges.realism_energy(made.latents, constraint)
      met = self._result(made.latents, constraint, made.steps).converged
      better = searching & (met | (energy < lowest))
      return (
        number + 1,
        tf.where(better[:, tf.newaxis], made.latents, latents),
        tf.where(better, made.distance, distance),
        steps + tf.where(searching, made.steps, 0),
        tf.where(better, energy, lowest),
        searching & beyond & ~met,
      )

    rows = tf.zeros_like(seeds, tf.float32)
    _, latents, distance, steps, _, _ = tf.while_loop(
      lambda number, *state: (number < _CANDIDATES) & tf.reduce_any(state[-1]),
      consider,
      [
        tf.constant(0, tf.int64),
        tf.zeros([tf.shape(seeds)[0], self.latent_size]),
        rows,
        tf.zeros_like(seeds, tf.int32),
        rows + math.inf,
        tf.ones_like(seeds, tf.bool),
      ],
    )
    return latents, distance, steps

  def _advanced(self, latents, steps, constraint):
    """Returns the start of the search, and the steps taken so far."""
    start = self._advance(latents, constraint)
    moved = tf.reduce_any(start != latents, axis=-1)
    return start, steps + tf.cast(moved, tf.int32)

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
