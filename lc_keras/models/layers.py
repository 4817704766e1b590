"""Layers of Keras and TensorFlow, computed so that they are quick on a CPU.

Same numbers but for rounding, and same weights, also in files: Keras names
them by the class, which is why `Dense` is called that. Figures are in
docs/performance.md.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

# Weights from which on a batched product is the quicker one.
_LARGE = 512 * 512


def product(
  rows: tf.Tensor, kernel: tf.Tensor, transpose: bool = False
) -> tf.Tensor:
  """Returns rows times a kernel, [n, units], quick where the kernel is large.

  Args:
    rows: [n, inputs].
    kernel: [inputs, units], or, to be transposed, [units, inputs].
    transpose: Whether to transpose the kernel.
  """
  kernel = tf.convert_to_tensor(kernel)
  if math.prod(kernel.shape) < _LARGE:
    return tf.matmul(rows, kernel, transpose_b=transpose)
  # A batch of one product: a single one takes twice as long where a factor is
  # transposed, as in the gradient.
  one = tf.expand_dims(rows, 0), tf.expand_dims(kernel, 0)
  return tf.squeeze(tf.matmul(*one, transpose_b=transpose), 0)


class Dense(keras.layers.Dense):
  """[batch, inputs] -> [batch, units], quick where the kernel is large."""

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
    """Takes a factor for each of these axes."""
    super().__init__(**kwargs)
    self._scales = tf.constant(scales, tf.float32)

  def call(self, latents):
    return latents[:, : len(self._scales)] * self._scales


class Mean(keras.layers.Layer):
  """The mean of what some networks return."""

  def __init__(self, members: Sequence[keras.layers.Layer], **kwargs):
    """Takes built networks of one input and output shape."""
    super().__init__(**kwargs)
    self.members = list(members)
    self.built = True

  def call(self, inputs, training=False):
    return tf.reduce_mean(self.by_member(inputs, training), axis=1)

  def by_member(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Returns what each network returns, [batch, members, outputs]."""
    found = [member(inputs, training=training) for member in self.members]
    return tf.stack(found, axis=1)


class Residual(keras.layers.Layer):
  """[batch, h, w, c] -> the same: x + convolutions of x.

  He et al. 2016, "Identity mappings in deep residual networks", without
  normalisation: the second kernel is to begin small instead, after Zhang et al.
  2019, "Fixup initialization", so that any depth begins near the identity.
  """

  def __init__(self, first: keras.layers.Layer, second: keras.layers.Layer):
    """Takes two convolutions of c channels to c; ReLU comes before each."""
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
