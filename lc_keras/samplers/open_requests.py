"""Has requests that leave everything open answered by who knows them."""

import tensorflow as tf

from lc_keras.constraints import constraint as constraint_lib
from lc_keras.samplers import sampler


class OpenRequests(sampler.Transformer):
  """A sampler, but for samples of which nothing is asked.

  An actor has learnt from requests that ask for something. A flow, which is
  trained without labels half of the time, or a generative model as it is, knows
  what images are like that nothing is asked of.
  """

  def __init__(self, first: sampler.Transformer, of_open: sampler.Sampler):
    """Creates the sampler.

    Args:
      first: Answers all that asks for something, and transforms.
      of_open: Makes samples of which nothing is asked; with the same judges.
    """
    super().__init__(first.judges)
    self._first = first
    self._of_open = of_open

  @property
  def knows(self) -> int:
    """See base class."""
    return self._first.knows

  def sample(
    self, constraint: constraint_lib.Constraint, seeds: tf.Tensor
  ) -> sampler.Result:
    """See base class."""
    is_open = tf.reduce_all(constraint.weights <= 0.0, axis=-1)
    made = self._first.sample(constraint, seeds)

    def with_open():
      others = self._of_open.sample(constraint, seeds)
      return sampler.Result(
        *(
          tf.where(
            tf.reshape(is_open, [-1] + [1] * (len(own.shape) - 1)), o, own
          )
          for o, own in zip(others, made)
        )
      )

    # It may take many steps, and is seldom asked.
    return tf.cond(tf.reduce_any(is_open), with_open, lambda: made)

  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    seeds: tf.Tensor,
  ) -> sampler.Result:
    """See base class."""
    return self._first.transform(latents, constraint, seeds)
