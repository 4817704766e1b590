"""The conditional variational autoencoder: trained anew for its labels.

What one would do without latent constraints, and what they are compared with.
"""

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


class ConditionalVAE(keras.Model):
  """p(x|z, y) p(z) with an amortised posterior q(z|x, y).

  Sohn, Lee and Yan, "Learning Structured Output Representation using Deep
  Conditional Generative Models" (NeurIPS 2015), with the prior p(z) = N(0, I)
  for every y, and the networks and the likelihood of `vae.VAE`.

  All attributes are always given; it cannot leave one open.
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    latent_size: int,
    num_attributes: int,
    architecture: str,
    observation_scale: float = 0.1,
    beta: float = 1.0,
    **kwargs,
  ):
    """Creates and builds the model.

    Args:
      image_shape: (height, width, channels).
      latent_size: Size of z.
      num_attributes: Size of y.
      architecture: A name in `architectures.NAMES`.
      observation_scale: sigma_x, in units of a pixel range of [0, 1].
      beta: Weight of the rate; 1 is the evidence lower bound.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.image_shape = tuple(image_shape)
    self.latent_size = latent_size
    self.arguments = {
      "image_shape": self.image_shape,
      "latent_size": latent_size,
      "num_attributes": num_attributes,
      "architecture": architecture,
      "observation_scale": observation_scale,
      "beta": beta,
    }
    self._observation_scale = observation_scale
    self._beta = beta
    networks = architectures.get(architecture, self.image_shape)
    self.encoder = architectures.stack(
      self.image_shape,
      networks.encoder(self.image_shape, 2 * latent_size),
      name="encoder",
    )
    # Added to the encoder's output, which is to concatenate y with the input
    # of its last layer. As further channels of the image, y would double the
    # work of a first layer that begins with a space-to-depth.
    self.attribute_encoder = architectures.stack(
      (num_attributes,),
      [architectures.dense(num_attributes, 2 * latent_size)],
      name="attribute_encoder",
    )
    inputs = latent_size + num_attributes
    self.decoder = architectures.stack(
      (inputs,), networks.decoder(inputs, self.image_shape), name="decoder"
    )
    names = ("loss", "distortion", "rate", "squared_error")
    self._means = {name: keras.metrics.Mean(name) for name in names}
    self.built = True

  @property
  def metrics(self):
    """What a step returns: nats per image, and squared error per pixel."""
    return list(self._means.values())

  @property
  def prior(self) -> tfd.Distribution:
    """p(z), event shape [latent_size]."""
    return priors.standard_normal(self.latent_size)

  def encode(
    self, images: tf.Tensor, attributes: tf.Tensor
  ) -> tfd.Distribution:
    """Returns q(z|x, y), event shape [latent_size].

    Args:
      images: [batch, *image_shape] in [0, 1].
      attributes: [batch, num_attributes] in [0, 1], what the images show.
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
      attributes: [batch, num_attributes] in [0, 1], what is asked for.
    """
    inputs = tf.concat([latents, attributes], axis=-1)
    return vae.likelihood(self.decoder(inputs), self._observation_scale)

  def call(self, images, attributes):
    """Returns the reconstruction from the posterior's mean."""
    latents = self.encode(images, attributes).mean()
    return self.decode(latents, attributes).mean()

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class.

    Args:
      batch: "image" [batch, *image_shape] in [0, 1] and "attributes" [batch,
        num_attributes].
    """
    seed = priors.step_seed(self.optimizer.iterations)
    with tf.GradientTape() as tape:
      terms = self._terms(batch, seed)
      loss = tf.nn.compute_average_loss(terms["loss"])
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._update_metrics(terms)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. The same noise every time, so that epochs compare."""
    return self._update_metrics(self._terms(batch, seed=(0, 0)))

  def _terms(self, batch, seed):
    images, attributes = batch["image"], batch["attributes"]
    posterior = self.encode(images, attributes)
    likelihood = self.decode(posterior.sample(seed=seed), attributes)
    return vae.elbo_terms(images, posterior, likelihood, self.prior, self._beta)

  def _update_metrics(self, terms):
    for name, mean in self._means.items():
      mean.update_state(terms[name])
    return {name: mean.result() for name, mean in self._means.items()}


def training(recipe: recipes.VAE, data) -> trainings.Training:
  """Returns the training of a conditional VAE on images and labels.

  Args:
    recipe: The settings.
    data: `arrays.Source`.
  """
  keras.utils.set_random_seed(recipe.seed)
  model = ConditionalVAE(
    data.image_shape,
    recipe.latent_size,
    len(data.attributes),
    recipe.architecture,
    recipe.observation_scale,
    recipe.beta,
  )
  optimizer = adam.Adam(trainings.learning_rate(recipe))
  optimizer.build(model.trainable_variables)
  model.compile(optimizer=optimizer, jit_compile=False)
  return trainings.on_images(model, recipe, data)
