"""A trunk that is told a request, with no more work than that takes.

The published networks join z and an embedding of y before their first hidden
layer. The embedding is linear, and so is the layer up to its ReLU: what z and
what y give can be computed apart and added. A latent vector is then looked at
under several requests, or a request held up to many latents, for the price of
one.
"""

import keras
import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import layers


class Entrance:
  """The first hidden layer of such a trunk, in its two parts.

  Made anew wherever it is used, so that a gradient by the layer's weights is
  put together once.
  """

  def __init__(
    self, embedding: keras.Sequential, trunk: keras.Sequential, size: int
  ):
    """Takes the layer apart.

    Args:
      embedding: One linear layer.
      trunk: What takes [latents, embedding].
      size: Of a latent vector.
    """
    (self._embed,) = embedding.layers
    first = trunk.layers[0]
    self._bias = first.bias
    sizes = [size, self._embed.units]
    self.kernel, self._from_embedding = tf.split(first.kernel, sizes)

  def of_latents(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns what latents [batch, size] give, [batch, width]."""
    return tf.matmul(latents, self.kernel)

  def of_request(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns what a request gives, [batch, width].

    Args:
      values: [batch, num_attributes] in [0, 1], what is wanted.
      mask: [batch, num_attributes] in {0, 1}, 0 where anything will do.
    """
    condition = architectures.condition(values, mask)
    # The product of both layers is a small one, for as many rows as a request
    # has numbers; a batch that is smaller still takes one after the other.
    rows, numbers = condition.shape
    if rows is not None and rows < numbers:
      embedded = self._embed(condition)
      return tf.matmul(embedded, self._from_embedding) + self._bias
    both = tf.matmul(self._embed.kernel, self._from_embedding)
    shift = tf.linalg.matvec(
      self._from_embedding, self._embed.bias, transpose_a=True
    )
    return tf.matmul(condition, both) + (shift + self._bias)


def finished(trunk: keras.Sequential, first: tf.Tensor) -> tf.Tensor:
  """Returns a trunk's outputs, given the first hidden layer before its ReLU."""
  features = tf.nn.relu(first)
  for layer in trunk.layers[1:]:
    features = layer(features)
  return features


def slopes(
  trunk: keras.Sequential, entrance: Entrance, first: tf.Tensor
) -> tf.Tensor:
  """Returns the gradient of a trunk's only output by the latents.

  It is written out as matrix products, so that differentiating it once more is
  one pass, and not a tape within a tape. Of a ReLU network the gradient
  depends on the inputs only by which units are on: no derivative goes that way,
  and none is computed. (TensorFlow would send zeros through all layers.)

  Args:
    trunk: ReLU layers, and a linear one with a single output.
    entrance: Its own.
    first: [batch, width], the first hidden layer before its ReLU.

  Returns:
    [batch, latent_size].
  """
  *hidden, last = trunk.layers
  features = tf.nn.relu(tf.stop_gradient(first))
  active = [tf.sign(features)]
  for layer in hidden[1:]:
    features = tf.stop_gradient(layer(features))
    active.append(tf.sign(features))
  slope = active[-1] * last.kernel[:, 0]
  for layer, on in zip(hidden[:0:-1], active[-2::-1]):
    slope = on * layers.product(slope, layer.kernel, transpose=True)
  return tf.matmul(slope, entrance.kernel, transpose_b=True)
