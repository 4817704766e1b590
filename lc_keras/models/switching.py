"""Requests for training: one attribute of a row switched, others left open.

Pure functions of the rows of `latent_batches.at_random`. Throughout, `own` is
[batch, num_attributes] in {0, 1}, a row's labels; `focus` is int64 [batch], the
column that the request on it switches; and `excludes` is that of `Attributes`.
"""

import tensorflow as tf


def switch(
  own: tf.Tensor, focus: tf.Tensor, excludes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Switches the focus, and switches off the attributes that it rules out.

  Returns:
    The new labels, and a mask in {0, 1} of the attributes that the request is
    about: the focus and those that it rules out; both [batch, num_attributes].
  """
  column = tf.one_hot(focus, own.shape[-1])
  turned_on = tf.reduce_sum(column * (1.0 - own), axis=-1, keepdims=True)
  ruled_out = turned_on * tf.matmul(column, excludes)
  switched = tf.where(column > 0.0, 1.0 - own, own) * (1.0 - ruled_out)
  return switched, column + ruled_out


def random_mask(
  about: tf.Tensor, open_fraction: float, seed: tf.Tensor
) -> tf.Tensor:
  """Returns the masks of requests, [batch, num_attributes].

  A mask has all attributes; or those that the request is about, and each other
  one with a probability that is drawn per row, so that requests for two
  attributes and for nine are equally frequent.

  Args:
    about: [batch, num_attributes] in {0, 1}, attributes always in the mask.
    open_fraction: Share of rows that may leave attributes open.
    seed: int32 [2].
  """
  shape = tf.shape(about)
  uniform = tf.random.stateless_uniform([shape[0], shape[1] + 2], seed)
  everything = uniform[:, :1] >= open_fraction
  some = uniform[:, 2:] < uniform[:, 1:2]
  return tf.cast(everything | some | (about > 0.0), tf.float32)
