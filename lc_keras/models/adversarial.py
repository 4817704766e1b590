"""The base of generative adversarial networks, with labels and without."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adam
from lc_keras.models import architectures
from lc_keras.models import discriminator
from lc_keras.models import moving_average
from lc_keras.models import stored_model

# The penalty is taken at every eighth image of a step. This costs as much as
# all images in every eighth step (Karras et al. 2020), and needs no branch.
_PENALTY_STRIDE = 8


class AdversarialModel(stored_model.StoredModel):
  """A generator G(z, y) of images, trained with a discriminator D(x, y).

  Goodfellow et al. 2014 with the non-saturating loss and, for convergence, the
  zero-centred penalty of Mescheder et al. 2018, with which both networks may be
  updated at once. Without attributes, y is of size 0: G(z) and D(x).

  Attributes:
    generator: The moving average of the trained generator, used after training.
    trained_generator: The generator that the optimiser updates.
    discriminator: D(x, y).
  """

  REPORTS = ("discriminator_loss", "generator_loss", "penalty")

  def __init__(
    self,
    image_shape: Sequence[int],
    latent_size: int,
    num_attributes: int,
    architecture: str,
    **kwargs,
  ):
    """Creates and builds the networks.

    Args:
      image_shape: (height, width, channels).
      latent_size: Size of z.
      num_attributes: Size of y; may be 0.
      architecture: A name in `architectures.NAMES`. The discriminator has the
        layers of its classifier.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.image_shape = tuple(image_shape)
    self.latent_size = latent_size
    networks = architectures.get(architecture, self.image_shape)
    inputs = latent_size + num_attributes

    def generator(name):
      layers = networks.generator(inputs, self.image_shape)
      return architectures.stack((inputs,), layers, name)

    self.generator, self.trained_generator = moving_average.pair(
      generator, "generator"
    )
    self.discriminator = discriminator.Discriminator(
      self.image_shape, num_attributes, architecture, name="discriminator"
    )
    self.built = True

  def compile(
    self,
    generator_optimizer: keras.optimizers.Optimizer,
    discriminator_optimizer: keras.optimizers.Optimizer,
    *,
    penalty_weight: float = 1.0,
    average_decay: float = 0.999,
    **kwargs,
  ):
    """Sets the losses, and builds both optimisers before `fit` needs them.

    Args:
      generator_optimizer: For the generator.
      discriminator_optimizer: For the discriminator.
      penalty_weight: Weight of the zero-centred penalty, gamma.
      average_decay: Decay of the moving average of the generator's weights, per
        update.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(
      generator_optimizer,
      variables=self.trained_generator.trainable_variables,
      **kwargs,
    )
    self.discriminator_optimizer = discriminator_optimizer
    discriminator_optimizer.build(self.discriminator.trainable_variables)
    self._penalty_weight = penalty_weight
    self._average_decay = average_decay

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Updates both networks, from the same images.

    Args:
      batch: "image" [batch, *image_shape] in [0, 1] and "attributes" [batch,
        num_attributes].
    """
    seed = priors.step_seed(self.optimizer.iterations)
    with tf.GradientTape(persistent=True) as tape:
      terms = self._terms(self.trained_generator, batch, seed)
      discriminator_loss = tf.nn.compute_average_loss(
        terms["discriminator_loss"]
      ) + self._penalty_weight * tf.nn.compute_average_loss(terms["penalty"])
      generator_loss = tf.nn.compute_average_loss(terms["generator_loss"])
    for loss, network, optimizer in (
      (
        discriminator_loss,
        self.discriminator,
        self.discriminator_optimizer,
      ),
      (generator_loss, self.trained_generator, self.optimizer),
    ):
      variables = network.trainable_variables
      optimizer.apply(tape.gradient(loss, variables), variables)
    moving_average.update(
      self.generator,
      self.trained_generator,
      self.optimizer.iterations,
      self._average_decay,
    )
    return self._report(**terms)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses the average generator and the same noise every time.

    Neither loss measures the quality of images: each depends on the opponent.
    """
    return self._report(**self._terms(self.generator, batch, seed=(0, 0)))

  def _terms(self, generator, batch, seed):
    """Returns the losses, one per row, and the penalties of some rows."""
    images, attributes = batch["image"], batch["attributes"]
    # An unknown label is 0.5, half on and half off.
    attributes = tf.where(tf.math.is_nan(attributes), 0.5, attributes)
    latents = tf.random.stateless_normal(
      [tf.shape(images)[0], self.latent_size], seed
    )
    fakes = generate(generator, latents, attributes)
    evidence = self.discriminator.evidence(images)
    fake_logits = self.discriminator(fakes, attributes)
    return {
      "discriminator_loss": self._discriminator_loss(
        evidence, fake_logits, attributes
      ),
      "generator_loss": losses.critic_cross_entropy(fake_logits, True),
      "penalty": losses.zero_centred_penalty(
        lambda x: self.discriminator(x, attributes[::_PENALTY_STRIDE]),
        images[::_PENALTY_STRIDE],
      ),
    }

  def _discriminator_loss(self, evidence, fake_logits, attributes):
    """Returns [batch], in nats.

    Args:
      evidence: [batch, 1 + num_attributes], of real images.
      fake_logits: [batch], of generated images.
      attributes: [batch, num_attributes], of both.
    """
    return losses.critic_cross_entropy(
      self.discriminator.judge(evidence, attributes), True
    ) + losses.critic_cross_entropy(fake_logits, False)


def generate(
  generator: keras.Model, latents: tf.Tensor, attributes: tf.Tensor
) -> tf.Tensor:
  """Returns images [batch, height, width, channels] in [0, 1].

  Args:
    generator: Maps z and y, concatenated, to logits of pixels.
    latents: [batch, latent_size], draws of the prior N(0, I).
    attributes: [batch, num_attributes] in [0, 1], the targets.
  """
  return tf.sigmoid(generator(tf.concat([latents, attributes], axis=-1)))


def optimizers(
  recipe: recipes.GAN,
) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
  """Returns the optimisers of the generator and of the discriminator."""
  # No momentum, since the opponent changes between updates.
  return tuple(
    adam.Adam(trainings.learning_rate(recipe), beta_1=0.0, beta_2=0.99)
    for _ in range(2)
  )
