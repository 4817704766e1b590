"""The actor: moves a latent vector to where the constraints hold."""

import tensorflow as tf

from lc_keras.models import conditioned


class Actor(conditioned.ConditionedTrunk):
  """G(z, y), a gated move: z' = (1 - gate) * z + gate * dz.

  Engel et al. 2018, section 3 and appendix. With the gate closed the actor is
  the identity: the person stays the same. y may leave attributes open: the
  network is given a mask beside the values.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    masked: bool = True,
    **kwargs,
  ):
    """Creates and builds the actor.

    Args:
      latent_size: Size of z.
      num_attributes: Size of y.
      width: Units of every hidden layer.
      depth: Number of hidden layers.
      masked: Whether the network is given the mask. The published one is given
        the values only, 0.5 for open attributes.
      **kwargs: For `keras.layers.Layer`.
    """
    super().__init__(
      latent_size,
      num_attributes,
      width,
      depth,
      2 * latent_size,
      masked,
      **kwargs,
    )

  def call(self, latents, values, mask):
    """Moves the latents.

    Args:
      latents: [batch, latent_size].
      values: [batch, num_attributes] in [0, 1], the targets.
      mask: [batch, num_attributes] in {0, 1}, 0 leaves an attribute open.

    Returns:
      [batch, latent_size].
    """
    outputs = self._outputs(latents, values, mask)
    target, raw_gate = tf.split(outputs, 2, axis=-1)
    gate = tf.sigmoid(raw_gate)
    return (1.0 - gate) * latents + gate * target
