"""Trains the attribute critic on cached latents."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras.models import attribute_critic


class AttributeModel(keras.Model):
  """Supervised training of D_attr(z) on z ~ q(z|x).

  Engel et al. 2018, section 5: fresh noise every step, so that the critic
  reads what the decoder will show and not the encoder's exact mean.

  Attributes:
    critic: The `AttributeCritic`.
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    noise_scale: float = 1.0,
    **kwargs,
  ):
    """Creates and builds the model; see `Actor` for the other arguments.

    Args:
      latent_size: Size of z.
      num_attributes: Number of logits.
      width: Units of every hidden layer.
      depth: Number of hidden layers.
      noise_scale: Trains on z = mean + noise_scale * scale * eps. 1 is the
        published recipe. An actor or a search that follows the critic finds
        latents that it misreads; with more noise there are far fewer.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self._noise_scale = noise_scale
    self.arguments = {
      "latent_size": latent_size,
      "num_attributes": num_attributes,
      "width": width,
      "depth": depth,
    }
    self.critic = attribute_critic.AttributeCritic(
      **self.arguments, name="critic"
    )
    self.arguments["noise_scale"] = noise_scale
    self._loss_metric = keras.metrics.Mean("loss")
    self._accuracy_metric = keras.metrics.Mean("accuracy")
    self.built = True

  @property
  def metrics(self):
    """What a step returns: nats per attribute, share of attributes right."""
    return [self._loss_metric, self._accuracy_metric]

  def call(self, latents):
    """Returns logits, [batch, num_attributes]."""
    return self.critic(latents)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "mean", "scale" and "attributes" of latents."""
    seed = priors.step_seed(self.optimizer.iterations)
    with tf.GradientTape() as tape:
      logits = self.critic(_sample(batch, seed, self._noise_scale))
      values = losses.attribute_cross_entropy(logits, batch["attributes"])
      loss = tf.nn.compute_average_loss(values)
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._update_metrics(values, logits, batch["attributes"])

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Plain posterior noise, the same every time."""
    logits = self.critic(_sample(batch, seed=(0, 0)))
    values = losses.attribute_cross_entropy(logits, batch["attributes"])
    return self._update_metrics(values, logits, batch["attributes"])

  def _update_metrics(self, values, logits, attributes):
    self._loss_metric.update_state(values)
    self._accuracy_metric.update_state((logits > 0.0) == (attributes > 0.5))
    return {metric.name: metric.result() for metric in self.metrics}


def _sample(batch, seed, noise_scale=1.0):
  noise = tf.random.stateless_normal(tf.shape(batch["mean"]), seed)
  return batch["mean"] + noise_scale * batch["scale"] * noise
