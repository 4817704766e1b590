"""The critic: is this latent vector realistic, and does it match y?"""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.models import conditioned


class Critic(conditioned.ConditionedTrunk):
  """D(z, y) as a logit; sigmoid of it is the value in [0, 1].

  Engel et al. 2018, section 3 and appendix: the actor's trunk with one output.
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
    """Creates and builds the critic; see `Actor` for the arguments."""
    super().__init__(
      latent_size, num_attributes, width, depth, 1, masked, **kwargs
    )

  def call(self, latents, values, mask):
    """Judges the latents.

    Args:
      latents: [batch, latent_size].
      values: [batch, num_attributes] in [0, 1], the targets.
      mask: [batch, num_attributes] in {0, 1}, 0 leaves an attribute open.

    Returns:
      Logits, [batch].
    """
    return tf.squeeze(self._outputs(latents, values, mask), axis=-1)

  def under(
    self, values: tf.Tensor, mask: tf.Tensor
  ) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the critic of fixed requests, a function of latents alone.

    Args:
      values: [batch, num_attributes] in [0, 1].
      mask: [batch, num_attributes] in {0, 1}.
    """
    entrance = self.entrance()
    told = entrance.of_request(values, mask)
    return lambda latents: self._logits(entrance.of_latents(latents) + told)

  def compare(
    self,
    real: tf.Tensor,
    fake: tf.Tensor,
    mix: tf.Tensor,
    own: tf.Tensor,
    fake_labels: tf.Tensor,
    wrong: tf.Tensor,
    mask: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Computes all outputs that an update of the critic needs, in one pass.

    Args:
      real: [batch, latent_size].
      fake: [batch, latent_size].
      mix: [batch, 1] in [0, 1], the share of real in the interpolated point.
      own: [batch, num_attributes], the labels of real.
      fake_labels: The labels of fake, and of the interpolated point.
      wrong: Wrong labels for real.
      mask: [batch, num_attributes] in {0, 1}, of all labels.

    Returns:
      Logits of real, of fake and of real with wrong labels, [batch] each, and
      the gradient of the logit by the latents at the interpolated point,
      [batch, latent_size].
    """
    entrance = self.entrance()
    points = entrance.of_latents(tf.concat([real, fake], axis=0))
    of_real, of_fake = tf.split(points, 2)
    labels = tf.concat([own, fake_labels, wrong], axis=0)
    told = entrance.of_request(labels, tf.tile(mask, [3, 1]))
    logits = self._logits(tf.concat([of_real, of_fake, of_real], 0) + told)
    between = mix * of_real + (1.0 - mix) * of_fake + tf.split(told, 3)[1]
    slopes = conditioned.slopes(self.trunk, entrance, between)
    return *tf.split(logits, 3), slopes

  def _logits(self, first):
    return tf.squeeze(self._finished(first), axis=-1)
