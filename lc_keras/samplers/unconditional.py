"""The generative model as it is: what a search begins with if nothing else."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.constraints import constraint as constraint_lib
from lc_keras.samplers import sampler


class Unconditional(sampler.Transformer):
  """Samples as they come, and leaves what it is given as it is."""

  def __init__(
    self,
    judges: sampler.Judges,
    begin: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
  ):
    """Creates the sampler.

    Args:
      judges: Who says whether a constraint holds.
      begin: Makes of prior samples what is returned, such as draws with the
        moments of q(z).
    """
    super().__init__(judges)
    self._begin = begin

  @property
  def knows(self) -> int:
    """See base class."""
    return 0

  def sample(
    self, constraint: constraint_lib.Constraint, seeds: tf.Tensor
  ) -> sampler.Result:
    """See base class."""
    return self._result(self._begin(self._prior(seeds)), constraint, steps=1)

  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    seeds: tf.Tensor,
  ) -> sampler.Result:
    """See base class."""
    return self._result(latents, constraint, steps=0, start=latents)
