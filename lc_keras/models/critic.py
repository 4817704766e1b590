"""The critic: is this latent vector realistic, and does it match y?"""

import keras
import tensorflow as tf

from lc_keras.models import architectures


class Critic(keras.layers.Layer):
  """D(z, y) as a logit; sigmoid of it is the value in [0, 1].

  Engel et al. 2018, section 3 and appendix: the actor's trunk with one output.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    **kwargs,
  ):
    """Creates and builds the critic; see `Actor` for the arguments."""
    super().__init__(**kwargs)
    self.embedding = architectures.stack(
      (2 * num_attributes,),
      [architectures.dense(2 * num_attributes, width)],
      name="embedding",
    )
    self.trunk = architectures.stack(
      (latent_size + width,),
      architectures.trunk(latent_size + width, width, depth, 1),
      name="trunk",
    )
    self.built = True

  def call(self, latents, values, mask):
    """Judges the latents.

    Args:
      latents: [batch, latent_size].
      values: [batch, num_attributes] in [0, 1], what they should have.
      mask: [batch, num_attributes] in {0, 1}, 0 where anything will do.

    Returns:
      Logits, [batch].
    """
    condition = self.embedding(architectures.condition(values, mask))
    features = tf.concat([latents, condition], axis=-1)
    return tf.squeeze(self.trunk(features), axis=-1)
