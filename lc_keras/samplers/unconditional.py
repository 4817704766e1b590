"""The generator without constraints, as a start for a search."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.samplers import sampler


class Unconditional(sampler.Transformer):
  """Ignores requests: samples the generator, and edits nothing."""

  def __init__(
    self,
    judges: sampler.Judges,
    starts: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
  ):
    """Creates the sampler.

    Args:
      judges: The critics.
      starts: Maps prior samples to the latents that are returned, such as
        draws with the moments of q(z).
    """
    super().__init__(judges)
    self._starts = starts

  @property
  def num_known_attributes(self) -> int:
    """See base class."""
    return 0

  def sample(self, constraint, seeds):
    """See base class."""
    return self._result(self._starts(self._start(seeds)), constraint, steps=1)

  def edit(self, latents, edit, seeds):
    """See base class."""
    return self._result(latents, edit.asked, steps=0, start=latents)
