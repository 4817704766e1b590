"""The conditional variational autoencoder, trained from scratch with labels.

The usual alternative to latent constraints, and a baseline for them.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adam
from lc_keras.models import vae

tfd = tfp.distributions


class ConditionalVAE(vae.AutoEncoder):
  """p(x|z, y) p(z) with an amortised posterior q(z|x, y).

  Sohn, Lee and Yan, "Learning Structured Output Representation using Deep
  Conditional Generative Models" (NeurIPS 2015), with the prior p(z) = N(0, I)
  for every y, and the networks and the likelihood of `vae.VAE`.

  All attributes are always given; it cannot leave one open.

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> model = lc_keras.ConditionalVAE((8, 16, 1), 4, 2, "mlp")
  >>> tuple(model.decode(tf.zeros([3, 4]), tf.ones([3, 2])).mean().shape)
  (3, 8, 16, 1)
  """

  INPUTS = ("image", "attributes")

  def encode(
    self, images: tf.Tensor, attributes: tf.Tensor
  ) -> tfd.Distribution:
    """Returns q(z|x, y), event shape [latent_size].

    Args:
      images: [batch, *image_shape] in [0, 1].
      attributes: [batch, num_attributes] in [0, 1], of the images.
    """
    return vae.posterior(
      self.encoder(images) + self.attribute_encoder(attributes)
    )

  def decode(
    self, latents: tf.Tensor, attributes: tf.Tensor
  ) -> tfd.Distribution:
    """Returns p(x|z, y), event shape `image_shape`; its mean is in [0, 1].

    Args:
      latents: [batch, latent_size]; draws of the prior to sample, of the
        posterior to transform.
      attributes: [batch, num_attributes] in [0, 1], of the images to make.
    """
    inputs = tf.concat([latents, attributes], axis=-1)
    return vae.likelihood(self.decoder(inputs), self._observation_scale)


def training(recipe: recipes.VAE, data) -> trainings.Training:
  """Returns the training of a conditional VAE on an `arrays.Source`."""
  keras.utils.set_random_seed(recipe.seed)
  with trainings.precision(recipe):
    model = ConditionalVAE(
      data.image_shape,
      recipe.latent_size,
      len(data.attributes),
      recipe.architecture,
      recipe.observation_scale,
      recipe.beta,
    )
  model.compile(adam.Adam(trainings.learning_rate(recipe)))
  return trainings.on_images(model, recipe, data)
