"""Samplers that choose among draws of the prior."""

import abc
from collections.abc import Callable

import tensorflow as tf

from lc_keras.constraints import constraint as constraints
from lc_keras.samplers import sampler


class CandidateSampler(sampler.Sampler):
  """Chooses for each row the one of its prior draws that scores highest.

  One draw per row is in memory at a time. The first is the start of the other
  samplers; a larger number of candidates only adds draws.
  """

  def __init__(self, judges: sampler.Judges, candidates: int = 64):
    """Creates the sampler.

    Args:
      judges: The critics.
      candidates: Draws per row, at least 1.

    Raises:
      ValueError: There are no candidates.
    """
    super().__init__(judges)
    if candidates < 1:
      raise ValueError(f"candidates must be at least 1, got {candidates}.")
    self._candidates = candidates

  @abc.abstractmethod
  def _scores(
    self, constraint: constraints.Constraint, seeds: tf.Tensor
  ) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a function of a draw and its scalar number to scores [batch]."""

  def sample(self, constraint, seeds):
    """See base class."""
    score = self._scores(constraint, seeds)

    def consider(number, latents, highest):
      drawn = self._start(seeds, number)
      scores = score(drawn, number)
      better = scores > highest
      latents = tf.where(better[:, tf.newaxis], drawn, latents)
      return number + 1, latents, tf.where(better, scores, highest)

    first, number = self._start(seeds), tf.constant(0)
    _, latents, _ = tf.while_loop(
      lambda number, latents, highest: number < self._candidates,
      consider,
      [number + 1, first, score(first, number)],
    )
    return self._result(latents, constraint, steps=self._candidates)
