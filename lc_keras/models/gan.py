"""The generative adversarial network without labels, to be frozen.

It has no encoder: it can sample, but not transform images.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adversarial

tfd = tfp.distributions


class GAN(adversarial.AdversarialModel):
  """A generator G(z) of images, trained against a discriminator D(x).

  An adversarial model with no attributes. It is used as `vae.VAE` is, but
  cannot encode.

  >>> import lc_keras
  >>> gan = lc_keras.GAN((8, 16, 1), latent_size=4, architecture="mlp")
  >>> tuple(gan.decode(gan.prior.sample(3, seed=0)).mean().shape)
  (3, 8, 16, 1)
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    latent_size: int,
    architecture: str,
    **kwargs,
  ):
    """Creates and builds the networks; see `AdversarialModel`."""
    super().__init__(image_shape, latent_size, 0, architecture, **kwargs)

  @property
  def prior(self) -> tfd.Distribution:
    """p(z), event shape [latent_size]."""
    return priors.standard_normal(self.latent_size)

  def decode(self, latents: tf.Tensor) -> tfd.Distribution:
    """Returns p(x|z), event shape `image_shape`; its mean is in [0, 1].

    A point mass: every draw is the mean.

    Args:
      latents: [batch, latent_size].
    """
    images = adversarial.generate(self.generator, latents, _no_labels(latents))
    return tfd.Independent(tfd.Deterministic(images), 3)

  def call(self, latents):
    """Returns the images of latents."""
    return self.decode(latents).mean()

  def _terms(self, generator, batch, seed):
    """See base class. Uses "image" only."""
    images = batch["image"]
    batch = {"image": images, "attributes": _no_labels(images)}
    return super()._terms(generator, batch, seed)


def _no_labels(rows):
  """Returns [batch, 0], the labels of rows without attributes."""
  return tf.zeros([tf.shape(rows)[0], 0])


def training(recipe: recipes.GAN, data) -> trainings.Training:
  """Returns the training of a GAN on an `arrays.Source`."""
  keras.utils.set_random_seed(recipe.seed)
  model = GAN(data.image_shape, recipe.latent_size, recipe.architecture)
  model.compile(
    *adversarial.optimizers(recipe),
    penalty_weight=recipe.penalty_weight,
    average_decay=recipe.average_decay,
  )
  return trainings.on_images(model, recipe, data, monitor=None)
