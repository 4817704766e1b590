"""The critic: is this latent vector realistic, and does it match y?"""

from collections.abc import Callable

import keras
import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import conditioned


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
    self._latent_size = latent_size
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
    entrance = self._entrance()
    told = entrance.of_request(values, mask)
    return self._logits(entrance.of_latents(latents) + told)

  def under(
    self, values: tf.Tensor, mask: tf.Tensor
  ) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function of latents alone: the request is looked at once.

    Args:
      values: [batch, num_attributes] in [0, 1].
      mask: [batch, num_attributes] in {0, 1}.
    """
    entrance = self._entrance()
    told = entrance.of_request(values, mask)
    return lambda latents: self._logits(entrance.of_latents(latents) + told)

  def compare(
    self,
    real: tf.Tensor,
    fake: tf.Tensor,
    mix: tf.Tensor,
    own: tf.Tensor,
    wanted: tf.Tensor,
    wrong: tf.Tensor,
    mask: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Judges all that an update of the critic needs, in one go.

    Args:
      real: [batch, latent_size].
      fake: [batch, latent_size].
      mix: [batch, 1] in [0, 1], of a point between the two: the share of real.
      own: [batch, num_attributes], the labels of real.
      wanted: Those of fake, and of the point between.
      wrong: Wrong ones of real.
      mask: [batch, num_attributes] in {0, 1}, of all labels.

    Returns:
      Logits of real, of fake and of real with wrong labels, [batch] each, and
      the gradient of the logit by the latents at the point between, [batch,
      latent_size].
    """
    entrance = self._entrance()
    points = entrance.of_latents(tf.concat([real, fake], axis=0))
    of_real, of_fake = tf.split(points, 2)
    labels = tf.concat([own, wanted, wrong], axis=0)
    told = entrance.of_request(labels, tf.tile(mask, [3, 1]))
    logits = self._logits(tf.concat([of_real, of_fake, of_real], 0) + told)
    between = mix * of_real + (1.0 - mix) * of_fake + tf.split(told, 3)[1]
    slopes = conditioned.slopes(self.trunk, entrance, between)
    return *tf.split(logits, 3), slopes

  def _entrance(self):
    return conditioned.Entrance(self.embedding, self.trunk, self._latent_size)

  def _logits(self, first):
    return tf.squeeze(conditioned.finished(self.trunk, first), axis=-1)
