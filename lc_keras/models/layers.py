"""Layers of Keras and TensorFlow, computed so that they are quick on a CPU.

Same numbers but for rounding, and same weights, also in files: Keras names
them by the class, which is why `Dense` is called that. Figures are in
docs/performance.md.
"""

import math

import keras
import tensorflow as tf

# Weights from which on a batched product is the quicker one.
_LARGE = 512 * 512


class Dense(keras.layers.Dense):
  """[batch, inputs] -> [batch, units], quick where the kernel is large."""

  def call(self, inputs, training=None):
    del training
    is_large = math.prod(self.kernel.shape) >= _LARGE
    if len(inputs.shape) != 2 or not is_large or not self.use_bias:
      return super().call(inputs)
    # A batch of one product: what computes a single one takes twice as long
    # where a factor is transposed, as in the gradient.
    kernel = tf.expand_dims(tf.convert_to_tensor(self.kernel), 0)
    outputs = tf.squeeze(tf.matmul(tf.expand_dims(inputs, 0), kernel), 0)
    outputs = tf.nn.bias_add(outputs, self.bias)
    return outputs if self.activation is None else self.activation(outputs)


class SpaceToDepth(keras.layers.Layer):
  """[batch, h, w, c] -> [batch, h/block, w/block, block^2 * c]."""

  def __init__(self, block: int, **kwargs):
    super().__init__(**kwargs)
    self._block = block

  def call(self, images):
    # `tf.nn.space_to_depth` is a loop in one thread.
    block, (_, height, width, channels) = self._block, images.shape
    rows = tf.reshape(images, [-1, block, width // block, block * channels])
    return tf.reshape(
      tf.transpose(rows, [0, 2, 1, 3]),
      [-1, height // block, width // block, block**2 * channels],
    )


class DepthToSpace(keras.layers.Layer):
  """[batch, h, w, block^2 * c] -> [batch, h*block, w*block, c]."""

  def __init__(self, block: int, **kwargs):
    super().__init__(**kwargs)
    self._block = block

  def call(self, features):
    block, (_, height, width, channels) = self._block, features.shape
    rows = tf.reshape(features, [-1, width, block, channels // block])
    return tf.reshape(
      tf.transpose(rows, [0, 2, 1, 3]),
      [-1, height * block, width * block, channels // block**2],
    )
