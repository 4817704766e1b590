"""Trains a critic that tells encoded images from the prior."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adam
from lc_keras.models import architectures
from lc_keras.models import stored_model


class RealismModel(stored_model.StoredModel):
  """D(z) as a logit, trained on q(z) against p(z) and on nothing else.

  Noise contrastive priors: Aneja, Schwing, Kautz, Vahdat (2021), section 3.
  The best such critic is D = q / (q + p), so that the logit is the logarithm
  of the density ratio r(z) = D / (1 - D) = q(z) / p(z). An actor's fakes or a
  gradient penalty would spoil that.

  >>> model = RealismModel(8, width=16, depth=1)
  >>> model(tf.zeros([3, 8])).shape
  TensorShape([3])
  """

  REPORTS = ("loss", "accuracy")

  def __init__(
    self, latent_size: int, width: int = 2048, depth: int = 4, **kwargs
  ):
    """Creates and builds the model; see `Actor` for the arguments."""
    super().__init__(**kwargs)
    self.trunk = architectures.stack(
      (latent_size,),
      architectures.trunk(latent_size, width, depth, 1),
      name="trunk",
    )
    self.built = True

  def call(self, latents):
    """Returns log r(z), [batch], for latents [batch, latent_size]."""
    return tf.squeeze(self.trunk(latents), axis=-1)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "mean" and "scale" of latents."""
    step = self.optimizer.iterations
    seeds = [priors.step_seed(step, stream) for stream in (0, 1)]
    with tf.GradientTape() as tape:
      values, right = self._judge(batch, seeds)
      loss = tf.nn.compute_average_loss(values)
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report(loss=values, accuracy=right)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. With the same noise every time."""
    values, right = self._judge(batch, seeds=[(0, 0), (0, 1)])
    return self._report(loss=values, accuracy=right)

  def _judge(self, batch, seeds):
    """Returns losses and which logits are right, both [batch], half each."""
    shape = tf.shape(batch["mean"])
    noise = tf.random.stateless_normal(shape, seeds[0])
    real = self(batch["mean"] + batch["scale"] * noise)
    fake = self(tf.random.stateless_normal(shape, seeds[1]))
    values = 0.5 * (
      losses.critic_cross_entropy(real, True)
      + losses.critic_cross_entropy(fake, False)
    )
    right = tf.stack([real > 0.0, fake <= 0.0])
    return values, tf.reduce_mean(tf.cast(right, tf.float32), axis=0)


def training(recipe: recipes.Realism, parts) -> trainings.Training:
  """Returns the training of the critic on the latents of `parts.Parts`."""
  rows = parts.latents["train"]
  keras.utils.set_random_seed(recipe.seed)
  model = RealismModel(rows.mean.shape[1], recipe.width, recipe.depth)
  model.compile(adam.Adam(trainings.learning_rate(recipe)))
  return trainings.on_latents(model, recipe, parts)
