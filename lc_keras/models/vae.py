"""The variational autoencoder: the generative model that is later frozen."""

import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import losses
from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adam
from lc_keras.models import architectures
from lc_keras.models import stored_model

tfd = tfp.distributions

# A posterior of scale zero has an infinite rate.
_SMALLEST_SCALE = 1e-5


def posterior(codes: tf.Tensor) -> tfd.Distribution:
  """Returns q(z|x), event shape [latent_size].

  Args:
    codes: [batch, 2 * latent_size], an encoder's output.
  """
  mean, raw_scale = tf.split(tf.cast(codes, tf.float32), 2, axis=-1)
  # The second half becomes the SCALE, not the log-variance.
  scale = tf.nn.softplus(raw_scale) + _SMALLEST_SCALE
  return tfd.MultivariateNormalDiag(loc=mean, scale_diag=scale)


def likelihood(logits: tf.Tensor, observation_scale: float) -> tfd.Distribution:
  """Returns p(x|z), event shape [height, width, channels].

  Args:
    logits: [batch, height, width, channels], a decoder's output.
    observation_scale: sigma_x, in units of a pixel range of [0, 1].
  """
  mean = tf.sigmoid(tf.cast(logits, tf.float32))
  return tfd.Independent(tfd.Normal(mean, observation_scale), 3)


def elbo_terms(
  images: tf.Tensor,
  approximation: tfd.Distribution,
  reconstruction: tfd.Distribution,
  prior: tfd.Distribution,
  beta: float,
) -> dict[str, tf.Tensor]:
  """Returns the terms of the negative evidence lower bound, and the error.

  Args:
    images: [batch, height, width, channels] in [0, 1].
    approximation: q(z|x).
    reconstruction: p(x|z) at a draw of q(z|x).
    prior: p(z).
    beta: Weight of the rate; 1 is the evidence lower bound.

  Returns:
    "loss", "distortion" and "rate" [batch] in nats, and "squared_error"
    [batch], averaged over pixels and channels.
  """
  # Equals `reconstruction.log_prob(images)`, in two passes over the pixels
  # instead of six, most of which the tape would keep.
  pixels = math.prod(images.shape[1:])
  scale = reconstruction.distribution.scale
  squared_error = tf.reduce_mean(
    tf.math.squared_difference(reconstruction.mean(), images), axis=[1, 2, 3]
  )
  log_likelihood = -pixels * (
    0.5 * squared_error / tf.square(scale)
    + tf.math.log(scale)
    + 0.5 * math.log(2.0 * math.pi)
  )
  rate = tfd.kl_divergence(approximation, prior)
  return {
    "loss": losses.negative_elbo(log_likelihood, rate, beta),
    "distortion": -log_likelihood,
    "rate": rate,
    "squared_error": squared_error,
  }


class AutoEncoder(stored_model.StoredModel):
  """Base class of variational autoencoders, with attributes or without.

  A subclass has `encode(images, ...)` and `decode(latents, ...)`, which also
  take the other `INPUTS` of a batch.
  """

  INPUTS = ("image",)
  REPORTS = ("loss", "distortion", "rate", "squared_error")

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
    """Creates and builds the networks.

    Args:
      image_shape: (height, width, channels).
      latent_size: Size of z.
      num_attributes: Size of y; may be 0.
      architecture: A name in `architectures.NAMES`.
      observation_scale: sigma_x, in units of a pixel range of [0, 1].
      beta: Weight of the rate; 1 is the evidence lower bound.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.image_shape = tuple(image_shape)
    self.latent_size = latent_size
    self._observation_scale = observation_scale
    self._beta = beta
    networks = architectures.get(architecture, self.image_shape)
    # One linear layer to 2 * latent_size: the mean and the raw scale.
    self.encoder = architectures.stack(
      self.image_shape,
      networks.encoder(self.image_shape, 2 * latent_size),
      name="encoder",
    )
    if num_attributes:
      # Added to the encoder's output, which equals appending y to the input of
      # its last layer. As extra channels of the image, y would double the work
      # of a first layer that is a space-to-depth.
      self.attribute_encoder = architectures.stack(
        (num_attributes,),
        [architectures.dense(num_attributes, 2 * latent_size)],
        name="attribute_encoder",
      )
    inputs = latent_size + num_attributes
    self.decoder = architectures.stack(
      (inputs,), networks.decoder(inputs, self.image_shape), name="decoder"
    )
    self.built = True

  @property
  def prior(self) -> tfd.Distribution:
    """p(z), event shape [latent_size]."""
    return priors.standard_normal(self.latent_size)

  def call(self, images, *labels):
    """Returns the reconstruction from the posterior's mean."""
    latents = self.encode(images, *labels).mean()
    return self.decode(latents, *labels).mean()

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class.

    Args:
      batch: "image" [batch, *image_shape] in [0, 1] and the other `INPUTS`.
    """
    seed = priors.step_seed(self.optimizer.iterations)
    with tf.GradientTape() as tape:
      terms = self._terms(batch, seed)
      loss = tf.nn.compute_average_loss(terms["loss"])
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report(**terms)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. The noise is fixed, so that epochs are comparable."""
    return self._report(**self._terms(batch, seed=(0, 0)))

  def _terms(self, batch, seed):
    images, *labels = (batch[name] for name in self.INPUTS)
    # An unknown label is 0.5, half on and half off.
    labels = [tf.where(tf.math.is_nan(one), 0.5, one) for one in labels]
    approximation = self.encode(images, *labels)
    reconstruction = self.decode(approximation.sample(seed=seed), *labels)
    return elbo_terms(
      images, approximation, reconstruction, self.prior, self._beta
    )


class VAE(AutoEncoder):
  """p(x|z) p(z) with an amortised posterior q(z|x).

  Kingma and Welling, "Auto-Encoding Variational Bayes",
  https://arxiv.org/abs/1312.6114, with the likelihood
  Normal(sigmoid(logits), observation_scale). A small observation_scale puts
  the weight on reconstruction: images are sharp, but the prior has holes,
  which the realism constraint repairs.

  >>> model = VAE((28, 28, 1), 8, "mlp")
  >>> model.decode(model.prior.sample(3)).mean().shape
  TensorShape([3, 28, 28, 1])
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    latent_size: int,
    architecture: str,
    observation_scale: float = 0.1,
    beta: float = 1.0,
    **kwargs,
  ):
    """Creates and builds the networks; see `AutoEncoder`."""
    super().__init__(
      image_shape,
      latent_size,
      0,
      architecture,
      observation_scale,
      beta,
      **kwargs,
    )

  def encode(self, images: tf.Tensor) -> tfd.Distribution:
    """Returns q(z|x), event shape [latent_size].

    Args:
      images: [batch, *image_shape] in [0, 1].
    """
    return posterior(self.encoder(images))

  def decode(self, latents: tf.Tensor) -> tfd.Distribution:
    """Returns p(x|z), event shape `image_shape`; its mean is in [0, 1].

    Args:
      latents: [batch, latent_size].
    """
    return likelihood(self.decoder(latents), self._observation_scale)


def training(recipe: recipes.VAE, data) -> trainings.Training:
  """Returns the training of a VAE on an `arrays.Source`."""
  keras.utils.set_random_seed(recipe.seed)
  with trainings.precision(recipe):
    model = VAE(
      data.image_shape,
      recipe.latent_size,
      recipe.architecture,
      recipe.observation_scale,
      recipe.beta,
    )
  model.compile(adam.Adam(trainings.learning_rate(recipe)))
  return trainings.on_images(model, recipe, data)
