"""The network of a conditional flow: the velocity of a point."""

import math

import keras
import tensorflow as tf

from lc_keras.models import architectures

_WAVES = 8


class Velocity(keras.layers.Layer):
  """v(x, a, y): a residual network whose blocks are modulated by a and y.

  The modulation is that of Perez et al., "FiLM"
  (https://arxiv.org/abs/1709.07871). An untrained network returns zeros.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    **kwargs,
  ):
    """Creates and builds the network.

    Args:
      latent_size: Size of a point.
      num_attributes: Size of y.
      width: Units of every hidden layer.
      depth: Number of residual blocks, of two hidden layers each.
      **kwargs: For `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    told = _WAVES + 2 * num_attributes
    small = math.ceil(width / 4)
    self.embedding = architectures.stack(
      (told,),
      [
        architectures.dense(told, small, "silu"),
        architectures.dense(small, small, "silu"),
      ],
      name="embedding",
    )
    self.entrance = architectures.stack(
      (latent_size,), [architectures.dense(latent_size, width)], name="entrance"
    )
    self.blocks = [
      _Block(width, small, name=f"block_{number}") for number in range(depth)
    ]
    self.exit = architectures.stack(
      (width,),
      [
        keras.layers.LayerNormalization(),
        keras.layers.Dense(latent_size, kernel_initializer="zeros"),
      ],
      name="exit",
    )
    self.built = True

  def call(self, points, angles, values, mask):
    """Returns the velocity.

    Args:
      points: [batch, latent_size].
      angles: [batch] in [0, pi / 2].
      values: [batch, num_attributes] in [0, 1], the targets.
      mask: [batch, num_attributes] in {0, 1}, 0 leaves an attribute open.

    Returns:
      [batch, latent_size], per unit of angle.
    """
    return self.exit(self.features(points, angles, values, mask))

  def features(self, points, angles, values, mask):
    """Returns the input of `exit`, [batch, width]."""
    # Even frequencies, whose half periods divide the range of angles.
    waves = 2.0 * tf.range(1, _WAVES + 1, dtype=tf.float32)
    told = self.embedding(
      tf.concat(
        [
          tf.cos(angles[:, tf.newaxis] * waves),
          architectures.condition(values, mask),
        ],
        axis=-1,
      )
    )
    features = self.entrance(points)
    for block in self.blocks:
      features = block(features, told)
    return features


class _Block(keras.layers.Layer):
  """h + W2 silu(scale * norm(W1 h) + shift), modulated by the embedding."""

  def __init__(self, width, told, **kwargs):
    super().__init__(**kwargs)
    self.first = architectures.stack(
      (width,),
      [
        keras.layers.LayerNormalization(center=False, scale=False),
        architectures.dense(width, width),
      ],
      name="first",
    )
    self.modulation = architectures.stack(
      (told,), [architectures.dense(told, 2 * width)], name="modulation"
    )
    self.second = architectures.stack(
      (width,), [architectures.dense(width, width)], name="second"
    )
    self.built = True

  def call(self, features, told):
    scale, shift = tf.split(self.modulation(told), 2, axis=-1)
    hidden = self.first(features) * (1.0 + scale) + shift
    return features + self.second(tf.nn.silu(hidden))
