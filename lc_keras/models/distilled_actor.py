"""An actor that does in one step what a flow does in many."""

import keras
import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import flow_matching
from lc_keras.models import velocity
from lc_keras.models import whitening as whitenings


class DistilledActor(keras.layers.Layer):
  """G(z, y), the published gated move, made by a flow's network.

  z' = (1 - gate) * z + gate * dz, in whitened coordinates. A distilled network
  starts as its teacher (Salimans and Ho, 2022,
  https://arxiv.org/abs/2202.00512): dz is at first the flow's velocity at the
  noise, the expected latent. The gate shuts on axes that hold nothing but the
  posterior's noise.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int,
    depth: int,
    whitening: whitenings.Whitening,
    **kwargs,
  ):
    """Creates and builds the actor.

    Args:
      latent_size: Size of z.
      num_attributes: Size of y.
      width: The flow's.
      depth: The flow's.
      whitening: The flow's.
      **kwargs: For `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self._whitening = whitening
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
    """Takes over the weights of a flow, but for its whitening."""
    self.network.set_weights(flow.velocity.get_weights())

  def call(self, latents, values, mask):
    """Moves the latents; see `Actor.call`."""
    points, signal = self._whitening(latents), self._whitening.signal
    features = self.network.features(
      signal * points, tf.zeros_like(points[:, 0]), values, mask
    )
    gate = signal * self.gate(features)
    target = self.network.exit(features)
    return self._whitening.undo((1.0 - gate) * points + gate * target)
