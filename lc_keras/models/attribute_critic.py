"""The attribute critic: which attributes will the decoded image have?"""

import keras

from lc_keras.models import architectures


class AttributeCritic(keras.layers.Layer):
  """D_attr(z): one logit per attribute, from z alone.

  Engel et al. 2018, section 5. Trained by `AttributeModel`.
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
    self.trunk = architectures.stack(
      (latent_size,),
      architectures.trunk(latent_size, width, depth, num_attributes),
      name="trunk",
    )
    self.built = True

  def call(self, latents):
    """Returns logits, [batch, num_attributes]."""
    return self.trunk(latents)
