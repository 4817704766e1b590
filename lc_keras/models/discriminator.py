"""The discriminator of a generative adversarial network."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from lc_keras.models import architectures


class Discriminator(keras.Model):
  """D(x, y) as a logit: is the image real, and has it the attributes y?

  The projection of Miyato and Koyama, "cGANs with Projection Discriminator"
  (ICLR 2018): one number for the image, plus one for each attribute, which is
  added where y has the attribute and subtracted where it has not.
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    num_attributes: int,
    architecture: str,
    **kwargs,
  ):
    """Creates and builds the network.

    Args:
      image_shape: (height, width, channels).
      num_attributes: Size of y; with 0, D says only whether the image is real.
      architecture: A name in `architectures.NAMES`; D has the layers of its
        classifier.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    networks = architectures.get(architecture, image_shape)
    self.features = architectures.stack(
      image_shape, networks.classifier(image_shape), name="features"
    )
    size = self.features.output_shape[-1]
    self.head = architectures.stack(
      (size,), [architectures.dense(size, 1 + num_attributes)], name="head"
    )
    self.built = True

  def call(self, images, attributes):
    """Returns logits [batch]."""
    return self.judge(self.evidence(images), attributes)

  def evidence(self, images: tf.Tensor) -> tf.Tensor:
    """Returns the outputs of the network, [batch, 1 + num_attributes]."""
    return self.head(self.features(images))

  def judge(self, evidence: tf.Tensor, attributes: tf.Tensor) -> tf.Tensor:
    """Returns logits [batch].

    Args:
      evidence: [batch, 1 + num_attributes], see `evidence`.
      attributes: [batch, num_attributes] in [0, 1].
    """
    signs = 2.0 * attributes - 1.0
    return evidence[:, 0] + tf.reduce_sum(signs * evidence[:, 1:], axis=-1)
