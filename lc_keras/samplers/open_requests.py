"""A separate sampler for requests that leave all attributes open."""

import tensorflow as tf

from lc_keras.samplers import sampler


class OpenRequests(sampler.Transformer):
  """An actor, with another sampler for samples without a request.

  An actor is trained on requests for at least one attribute. A flow, which is
  trained without labels half of the time, or an unconditional sampler, covers
  the distribution of all images.
  """

  def __init__(self, actor: sampler.Transformer, open_sampler: sampler.Sampler):
    """Creates the sampler.

    Args:
      actor: Answers requests for at least one attribute, and edits.
      open_sampler: Samples the rows whose request leaves all attributes open;
        has the same judges.
    """
    super().__init__(actor.judges)
    self._actor = actor
    self._open_sampler = open_sampler

  @property
  def num_known_attributes(self) -> int:
    """See base class."""
    return self._actor.num_known_attributes

  def sample(self, constraint, seeds):
    """See base class."""
    is_open = tf.reduce_all(constraint.weights <= 0.0, axis=-1)
    made = self._actor.sample(constraint, seeds)

    def with_open():
      others = self._open_sampler.sample(constraint, seeds)
      return sampler.choose(is_open, others, made)

    # It may take many steps, and is seldom needed.
    return tf.cond(tf.reduce_any(is_open), with_open, lambda: made)

  def edit(self, latents, edit, seeds):
    """See base class."""
    return self._actor.edit(latents, edit, seeds)
