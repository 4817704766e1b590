"""The attribute critic, which predicts the attributes of a decoded image."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import layers


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
    members: int = 1,
    scales: Sequence[float] | None = None,
    dropout: float = 0.0,
    **kwargs,
  ):
    """Creates and builds the critic; see `AttributeModel`."""
    super().__init__(**kwargs)
    networks = [
      architectures.on_latents(
        latent_size, width, depth, num_attributes, scales, dropout
      )
      for _ in range(members)
    ]
    self.trunk = networks[0] if members == 1 else layers.Mean(networks)
    self.built = True

  def call(self, latents):
    """Returns logits, [batch, num_attributes]."""
    return self.trunk(latents)

  def by_member(self, latents: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Returns the logits of each network, [batch, members, num_attributes]."""
    if isinstance(self.trunk, layers.Mean):
      return self.trunk.by_member(latents, training)
    return self.trunk(latents, training=training)[:, tf.newaxis]
