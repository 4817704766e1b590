"""Layers of Keras and TensorFlow, computed faster on a CPU.

They give the same numbers up to rounding, and have the same weights, also in
files: Keras names weights by the class, hence the name `Dense`. Figures are in
docs/performance.md.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

# Number of weights from which a batched product is faster.
_LARGE = 512 * 512


def product(
  rows: tf.Tensor, kernel: tf.Tensor, transpose: bool = False
) -> tf.Tensor:
  """Returns rows times a kernel, [n, units], faster for large kernels.

  Args:
    rows: [n, inputs].
    kernel: [inputs, units], or, to be transposed, [units, inputs].
    transpose: Whether to transpose the kernel.
  """
  kernel = tf.convert_to_tensor(kernel)
  if math.prod(kernel.shape) < _LARGE:
    return tf.matmul(rows, kernel, transpose_b=transpose)
  # As a batch of one: a plain product takes twice as long if a factor is
  # transposed, as in the gradient.
  one = tf.expand_dims(rows, 0), tf.expand_dims(kernel, 0)
  return tf.squeeze(tf.matmul(*one, transpose_b=transpose), 0)


class Dense(keras.layers.Dense):
  """[batch, inputs] -> [batch, units], faster for large kernels."""

  def call(self, inputs, training=None):
    del training
    is_large = math.prod(self.kernel.shape) >= _LARGE
    if len(inputs.shape) != 2 or not is_large or not self.use_bias:
      return super().call(inputs)
    outputs = tf.nn.bias_add(product(inputs, self.kernel), self.bias)
    return outputs if self.activation is None else self.activation(outputs)


class Axes(keras.layers.Layer):
  """[batch, latent_size] -> [batch, axes]: the first axes, scaled."""

  def __init__(self, scales: Sequence[float], **kwargs):
    """Creates the layer from one factor per axis."""
    super().__init__(**kwargs)
    self._scales = tf.constant(scales, tf.float32)

  def call(self, latents):
    return latents[:, : len(self._scales)] * self._scales


class Mean(keras.layers.Layer):
  """The mean of the outputs of several networks."""

  def __init__(self, members: Sequence[keras.layers.Layer], **kwargs):
    """Creates the layer from built networks of the same shapes."""
    super().__init__(**kwargs)
    self.members = list(members)
    self.built = True

  def call(self, inputs, training=False):
    return tf.reduce_mean(self.by_member(inputs, training), axis=1)

  def by_member(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Returns the outputs of each network, [batch, members, outputs]."""
    found = [member(inputs, training=training) for member in self.members]
    return tf.stack(found, axis=1)


class Residual(keras.layers.Layer):
  """[batch, h, w, c] -> the same: x + convolutions of x.

  He et al. 2016, "Identity mappings in deep residual networks", without
  normalisation: the second kernel should start small instead, after Zhang et
  al. 2019, "Fixup initialization", so that any depth starts near the identity.
  """

  def __init__(self, first: keras.layers.Layer, second: keras.layers.Layer):
    """Creates the layer from two convolutions, c channels to c, after ReLUs."""
    super().__init__()
    self._first, self._second = first, second

  def build(self, input_shape):
    self._first.build(input_shape)
    self._second.build(input_shape)

  def call(self, features):
    inside = self._first(tf.nn.relu(features))
    return features + self._second(tf.nn.relu(inside))


class SpaceToDepth(keras.layers.Layer):
  """[batch, h, w, c] -> [batch, h/block, w/block, block^2 * c]."""

  def __init__(self, block: int, **kwargs):
    super().__init__(**kwargs)
    self._block = block

  def call(self, images):
    return tf.nn.space_to_depth(images, self._block)


class DepthToSpace(keras.layers.Layer):
  """[batch, h, w, block^2 * c] -> [batch, h*block, w*block, c]."""

  def __init__(self, block: int, **kwargs):
    super().__init__(**kwargs)
    self._block = block

  def call(self, features):
    return tf.nn.depth_to_space(features, self._block)
