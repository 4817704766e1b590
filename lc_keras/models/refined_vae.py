"""A frozen variational autoencoder, with a network that refines its images."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adam
from lc_keras.models import architectures
from lc_keras.models import vae

tfd = tfp.distributions


class RefinedVAE(vae.VAE):
  """A frozen VAE, with a small trainable network behind its decoder.

  The decoder has separate weights for each pixel of a square, and leaves grain
  in areas of one colour. The network is convolutional and learns, by the
  absolute error, to restore an image from a decoded draw of its q(z|x). Encoder
  and latents do not change, so that models learned on them stay valid. At
  first, the network returns the VAE's own images.

  >>> model = RefinedVAE((8, 16, 1), 8, "mlp", width=4)
  >>> model.decode(model.prior.sample(3)).mean().shape
  TensorShape([3, 8, 16, 1])
  """

  REPORTS = ("loss", "squared_error")

  def __init__(
    self,
    image_shape: Sequence[int],
    latent_size: int,
    architecture: str,
    observation_scale: float = 0.1,
    beta: float = 1.0,
    width: int = 32,
    depth: int = 3,
    **kwargs,
  ):
    """Creates and builds the networks.

    Args:
      image_shape: (height, width, channels).
      latent_size: Size of z.
      architecture: Architecture of the VAE.
      observation_scale: sigma_x of the VAE.
      beta: Weight of the rate in the VAE, see there.
      width: Channels of the refiner's hidden layers.
      depth: Number of these layers.
      **kwargs: For `keras.Model`.
    """
    super().__init__(
      image_shape, latent_size, architecture, observation_scale, beta, **kwargs
    )
    self.encoder.trainable = self.decoder.trainable = False
    self.refiner = architectures.stack(
      self.image_shape,
      [
        *[
          keras.layers.Conv2D(width, 3, padding="same", activation="relu")
          for _ in range(depth)
        ],
        keras.layers.Conv2D(
          self.image_shape[-1], 3, padding="same", kernel_initializer="zeros"
        ),
      ],
      name="refiner",
    )

  @classmethod
  def from_vae(cls, model: vae.VAE, **options) -> "RefinedVAE":
    """Returns a refined VAE of a trained VAE, its refiner untrained.

    Args:
      model: The VAE; its weights are copied.
      **options: `width` and `depth` of the refiner.
    """
    refined = cls(**model.arguments, **options)
    for name in ("encoder", "decoder"):
      getattr(refined, name).set_weights(getattr(model, name).get_weights())
    return refined

  def decode(self, latents: tf.Tensor) -> tfd.Distribution:
    """See base class."""
    mean = tf.clip_by_value(self._refined(latents), 0.0, 1.0)
    return tfd.Independent(tfd.Normal(mean, self._observation_scale), 3)

  def _refined(self, latents):
    """Returns images not clipped to [0, 1], which would stop gradients."""
    made = super().decode(latents).mean()
    return made + self.refiner(made)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "image"."""
    seed = priors.step_seed(self.optimizer.iterations)
    with tf.GradientTape() as tape:
      errors = self._errors(batch["image"], seed)
      loss = tf.nn.compute_average_loss(errors["loss"])
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report(**errors)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class."""
    return self._report(**self._errors(batch["image"], seed=(0, 0)))

  def _errors(self, images, seed):
    made = self._refined(self.encode(images).sample(seed=seed))
    axes = [1, 2, 3]
    return {
      "loss": tf.reduce_mean(tf.abs(made - images), axes),
      "squared_error": tf.reduce_mean(tf.square(made - images), axes),
    }


def training(
  recipe: recipes.Refiner, model: vae.VAE, data
) -> trainings.Training:
  """Returns the training of a refined VAE.

  Args:
    recipe: The settings.
    model: The VAE, trained.
    data: `arrays.Source` of its images.
  """
  keras.utils.set_random_seed(recipe.seed)
  refined = RefinedVAE.from_vae(model, width=recipe.width, depth=recipe.depth)
  refined.compile(adam.Adam(trainings.learning_rate(recipe)))
  return trainings.on_images(refined, recipe, data)
