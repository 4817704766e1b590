"""A sampler that knows some attributes, and a search for the others."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from lc_keras import losses
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.samplers import gradient_search
from lc_keras.samplers import sampler

# Latents and a constraint to latents that are nearer to it.
Begin = Callable[[tf.Tensor, constraint_lib.Constraint], tf.Tensor]


class Refined(sampler.Transformer):
  """Has one sampler make what it knows of, and a search add the rest.

  Constraints that were learnt after a sampler are columns behind those that it
  knows; a generative model as it is knows none. A row that asks for what the
  sampler knows is what it makes of it. Other rows begin with that, or with what
  the constraints' own actors make of it, and are searched until everything
  holds that was asked for.
  """

  def __init__(
    self,
    first: sampler.Sampler,
    search: gradient_search.GradientSearch,
    begin: Begin = lambda latents, constraint: latents,
  ):
    """Creates the sampler.

    Args:
      first: Knows the first columns; a `Transformer`, if `transform` is to be
        called.
      search: Knows all columns; its judges are those of the results.
      begin: Moves rows to where the search had better begin. It leaves alone
        those that ask for nothing new.
    """
    super().__init__(search.judges)
    self._first = first
    self._search = search
    self._begin = begin

  def sample(
    self, constraint: constraint_lib.Constraint, seeds: tf.Tensor
  ) -> sampler.Result:
    """See base class. Where several move a row, their distances are added."""
    known, beyond = self._split(constraint)
    made = self._first.sample(known, seeds)
    start, steps = self._begun(made, constraint)
    searched = self._search.improve(start, constraint, seeds, rows=beyond)
    result = self._chosen(beyond, searched, steps, constraint)
    moved = losses.latent_distance(
      searched.latents, made.latents, self.judges.posterior_scale
    )
    return result._replace(distance=made.distance + moved)

  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    seeds: tf.Tensor,
  ) -> sampler.Result:
    """See base class."""
    known, beyond = self._split(constraint)
    made = self._first.transform(latents, known, seeds)
    # Asked for nothing, a sampler may still move a row by a little.
    idle = beyond & tf.reduce_all(known.weights <= 0.0, axis=-1)
    made = made._replace(
      latents=tf.where(idle[:, tf.newaxis], latents, made.latents),
      steps=tf.where(idle, 0, made.steps),
    )
    start, steps = self._begun(made, constraint)
    searched = self._search.improve(
      start, constraint, seeds, kept=latents, rows=beyond
    )
    shown = self.judges.keep(latents, constraint)
    return self._chosen(beyond, searched, steps, shown, latents)

  def _split(self, constraint):
    """Returns what the first sampler is asked, and which rows ask for more."""
    unknown = constraint.weights[:, self._first.knows :]
    beyond = tf.reduce_any(unknown > 0.0, axis=-1)
    return known_to(self._first, constraint), beyond

  def _begun(self, made, constraint):
    """Returns where the search begins, and the steps that were taken."""
    start = self._begin(made.latents, constraint)
    moved = tf.reduce_any(start != made.latents, axis=-1)
    return start, made.steps + tf.cast(moved, tf.int32)

  def _chosen(self, beyond, searched, steps_before, shown, start=None):
    """Returns the search's latents, with the verdicts of all judges.

    Rows that were not searched are there too: where the search began.
    """
    steps = steps_before + searched.steps
    result = self._result(searched.latents, shown, steps, start)
    return result._replace(
      realism=tf.where(beyond, searched.realism, result.realism),
      converged=tf.where(beyond, searched.converged, result.converged),
    )


def known_to(
  first: sampler.Sampler, constraint: constraint_lib.Constraint
) -> constraint_lib.Constraint:
  """Returns the columns of a constraint that a sampler judges."""
  count = len(first.judges.attributes)
  return dataclasses.replace(
    constraint,
    values=constraint.values[:, :count],
    weights=constraint.weights[:, :count],
  )
