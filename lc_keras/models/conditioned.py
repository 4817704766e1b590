"""The critic's and the actor's trunk, with shared work done once.

The published networks join z and an embedding of y before their first hidden
layer. The embedding is linear, and so is the layer up to its ReLU: the products
of z and of y are computed separately and added. One latent vector under several
requests, or one request for many latents, then costs little more than one.
"""

import keras
import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import layers


class ConditionedTrunk(keras.layers.Layer):
  """A linear embedding of a request, and a trunk for [latents, embedding].

  Engel et al. 2018, appendix: the network of the actor and of the critic.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int,
    depth: int,
    outputs: int,
    masked: bool = True,
    **kwargs,
  ):
    """Creates and builds the layers; see `Actor` for the arguments."""
    super().__init__(**kwargs)
    self._latent_size = latent_size
    self._masked = masked
    numbers = (1 + masked) * num_attributes
    self.embedding = architectures.stack(
      (numbers,), [architectures.dense(numbers, width)], name="embedding"
    )
    inputs = latent_size + width
    self.trunk = architectures.stack(
      (inputs,),
      architectures.trunk(inputs, width, depth, outputs),
      name="trunk",
    )
    self.built = True

  def entrance(self) -> "Entrance":
    """Returns the first hidden layer, in its two parts."""
    return Entrance(self.embedding, self.trunk, self._latent_size, self._masked)

  def _outputs(self, latents, values, mask):
    """Returns [batch, outputs]; see `Actor.call`."""
    entrance = self.entrance()
    return self._finished(
      entrance.of_latents(latents) + entrance.of_request(values, mask)
    )

  def _finished(self, first):
    """Returns the outputs, given the first hidden layer before its ReLU."""
    features = tf.nn.relu(first)
    for layer in self.trunk.layers[1:]:
      features = layer(features)
    return features


class Entrance:
  """The first hidden layer of such a trunk, in its two parts.

  Created in every call, so that the gradient of the layer's weights is
  assembled once.
  """

  def __init__(
    self,
    embedding: keras.Sequential,
    trunk: keras.Sequential,
    size: int,
    masked: bool,
  ):
    """Splits the layer.

    Args:
      embedding: One linear layer.
      trunk: ReLU layers; their input is [latents, embedding].
      size: Size of a latent vector.
      masked: Whether the embedding takes a mask beside the values.
    """
    self._masked = masked
    (self._embed,) = embedding.layers
    first = trunk.layers[0]
    self._bias = first.bias
    sizes = [size, self._embed.units]
    self.kernel, self._from_embedding = tf.split(first.kernel, sizes)

  def of_latents(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns the term of latents [batch, size], [batch, width]."""
    return tf.matmul(latents, self.kernel)

  def of_request(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the term of requests, with the bias, [batch, width].

    Args:
      values: [batch, num_attributes] in [0, 1], the targets.
      mask: [batch, num_attributes] in {0, 1}, 0 leaves an attribute open.
    """
    if self._masked:
      condition = architectures.condition(values, mask)
    else:
      condition = tf.where(mask > 0.0, values, 0.5)
    # The product of both layers' kernels has as many rows as a request has
    # numbers: for a smaller batch, the layers one after the other are cheaper.
    rows, numbers = condition.shape
    if rows is not None and rows < numbers:
      embedded = self._embed(condition)
      return tf.matmul(embedded, self._from_embedding) + self._bias
    both = tf.matmul(self._embed.kernel, self._from_embedding)
    shift = tf.linalg.matvec(
      self._from_embedding, self._embed.bias, transpose_a=True
    )
    return tf.matmul(condition, both) + (shift + self._bias)


def slopes(
  trunk: keras.Sequential, entrance: Entrance, first: tf.Tensor
) -> tf.Tensor:
  """Returns the gradient of a trunk's only output by the latents.

  It is written as matrix products, so that its own gradient takes one pass
  instead of nested tapes. The gradient of a ReLU network depends on the inputs
  only through which units are active; the derivative of that is zero, and is
  not computed. (TensorFlow would send zeros through all layers.)

  Args:
    trunk: ReLU layers, and a linear one with a single output.
    entrance: The entrance of this trunk.
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
