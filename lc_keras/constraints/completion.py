"""What a request leaves open, filled in from what attributes exclude."""

import tensorflow as tf

from lc_keras.constraints import attributes as attribute_names


def complete(
  attributes: attribute_names.Attributes,
  own: tf.Tensor,
  values: tf.Tensor,
  mask: tf.Tensor,
) -> tf.Tensor:
  """Fills in the attributes that a request leaves open.

  Args:
    attributes: The attributes.
    own: [batch, num_attributes] in {0, 1}, the row's attributes.
    values: [batch, num_attributes] in [0, 1], the targets.
    mask: [batch, num_attributes] in {0, 1}, 1 for requested attributes.

  Returns:
    [batch, num_attributes]: `values` where requested, else `own`, with 0 for
    attributes that one requested to be on excludes.
  """
  on = mask * tf.cast(values > 0.5, tf.float32)
  ruled_out = tf.cast(tf.matmul(on, attributes.excludes) > 0.0, tf.float32)
  return mask * values + (1.0 - mask) * own * (1.0 - ruled_out)


def likely(
  attributes: attribute_names.Attributes, logits: tf.Tensor
) -> tf.Tensor:
  """Returns the most probable labels.

  Of attributes that exclude each other, only the most probable can be on.

  Args:
    attributes: The attributes.
    logits: [batch, num_attributes].

  Returns:
    [batch, num_attributes] in {0, 1}.
  """
  # 0 for attributes without rivals: they are on above 0.
  rivals = logits[:, tf.newaxis] * attributes.excludes
  return tf.cast(logits > tf.reduce_max(rivals, axis=-1), tf.float32)


def freed(
  attributes: attribute_names.Attributes,
  own: tf.Tensor,
  values: tf.Tensor,
  mask: tf.Tensor,
) -> tf.Tensor:
  """Marks attributes that may replace those that a request removes.

  Hair that is no longer blond needs another colour, or must go.

  Args:
    attributes: The attributes.
    own: [batch, num_attributes] in [0, 1], the row's attributes.
    values: [batch, num_attributes] in [0, 1], the targets.
    mask: [batch, num_attributes] in {0, 1}, 1 for requested attributes.

  Returns:
    [batch, num_attributes] in {0, 1}: 1 for an attribute that is not
    requested and excludes one that the row has and is to lose.
  """
  lost = mask * tf.cast((values < 0.5) & (own > 0.5), tf.float32)
  place = tf.cast(tf.matmul(lost, attributes.excludes) > 0.0, tf.float32)
  return (1.0 - mask) * place
