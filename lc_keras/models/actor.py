"""The actor: moves a latent vector to where the constraints hold."""

import keras
import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import conditioned


class Actor(keras.layers.Layer):
  """G(z, y), a gated move: z' = (1 - gate) * z + gate * dz.

  Engel et al. 2018, section 3 and appendix. With the gate closed the actor is
  the identity, which is what preserves identity. y may leave attributes open:
  beside its values the network is told which of them count.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    **kwargs,
  ):
    """Creates and builds the actor.

    Args:
      latent_size: Size of z.
      num_attributes: Size of y.
      width: Units of every hidden layer.
      depth: Number of hidden layers.
      **kwargs: For `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.embedding = architectures.stack(
      (2 * num_attributes,),
      [architectures.dense(2 * num_attributes, width)],
      name="embedding",
    )
    self.trunk = architectures.stack(
      (latent_size + width,),
      architectures.trunk(latent_size + width, width, depth, 2 * latent_size),
      name="trunk",
    )
    self.built = True

  def call(self, latents, values, mask):
    """Moves the latents.

    Args:
      latents: [batch, latent_size].
      values: [batch, num_attributes] in [0, 1], what is wanted.
      mask: [batch, num_attributes] in {0, 1}, 0 where anything will do.

    Returns:
      [batch, latent_size].
    """
    entrance = conditioned.Entrance(
      self.embedding, self.trunk, latents.shape[-1]
    )
    first = entrance.of_latents(latents) + entrance.of_request(values, mask)
    outputs = conditioned.finished(self.trunk, first)
    target, raw_gate = tf.split(outputs, 2, axis=-1)
    gate = tf.sigmoid(raw_gate)
    return (1.0 - gate) * latents + gate * target
