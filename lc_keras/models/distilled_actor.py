"""An actor that does in one or a few strides what a flow does in many steps."""

import math

import keras
import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import flow_matching
from lc_keras.models import velocity
from lc_keras.models import whitening as whitenings


class DistilledActor(keras.layers.Layer):
  """G(z, y), the paper's gated move, computed by a flow's network.

  z' = (1 - gate) * z + gate * dz, in whitened coordinates. The network starts
  with its teacher's weights, as in distillation by Salimans and Ho (2022,
  https://arxiv.org/abs/2202.00512): at first, dz is where the flow ends after
  `strides` equal steps along the circle; after one, this is its velocity at the
  noise, the expected latent. The gate closes on axes that hold only the
  posterior's noise.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int,
    depth: int,
    whitening: whitenings.Whitening,
    strides: int = 1,
    **kwargs,
  ):
    """Creates and builds the actor.

    It has the sizes and the whitening of a flow, and evaluates its network
    `strides` times.
    """
    super().__init__(**kwargs)
    self._whitening, self._strides = whitening, strides
    self.network = velocity.Velocity(
      latent_size, num_attributes, width, depth, name="network"
    )
    self.gate = architectures.stack(
      (width,),
      [
        keras.layers.LayerNormalization(),
        keras.layers.Dense(latent_size, "sigmoid", kernel_initializer="zeros"),
      ],
      name="gate",
    )
    self.built = True

  def start_as(self, flow: flow_matching.FlowMatching) -> None:
    """Copies the weights of a flow, except its whitening."""
    self.network.set_weights(flow.velocity.get_weights())

  def call(self, latents, values, mask):
    """Moves the latents; see `Actor.call`."""
    start, signal = self._whitening(latents), self._whitening.signal
    points, stride = start, flow_matching.LATENT_ANGLE / self._strides
    for number in range(self._strides):
      angles = tf.fill(tf.shape(points)[:1], number * stride)
      features = self.network.features(signal * points, angles, values, mask)
      heading = self.network.exit(features)
      points = math.cos(stride) * points + math.sin(stride) * heading
    gate = signal * self.gate(features)
    return self._whitening.undo((1.0 - gate) * start + gate * points)
