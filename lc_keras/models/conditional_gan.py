"""The conditional GAN (generative adversarial network), trained from scratch.

The usual alternative to latent constraints, and a baseline for them.
"""

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.models import adversarial


class ConditionalGAN(adversarial.AdversarialModel):
  """A generator G(z, y) of images and a discriminator D(x, y).

  An adversarial model with the projection discriminator, which is also shown
  real images with the wrong labels.

  All attributes are always given; it cannot leave one open, and it has no
  encoder: it makes new images and changes none.

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> model = lc_keras.ConditionalGAN((8, 16, 1), 4, 2, "mlp")
  >>> tuple(model.generate(tf.zeros([3, 4]), tf.ones([3, 2])).shape)
  (3, 8, 16, 1)
  """

  def compile(
    self,
    generator_optimizer: keras.optimizers.Optimizer,
    discriminator_optimizer: keras.optimizers.Optimizer,
    *,
    mismatch_weight: float = 1.0,
    **kwargs,
  ):
    """See base class.

    Args:
      generator_optimizer: For the generator.
      discriminator_optimizer: For the discriminator.
      mismatch_weight: Weight, in the discriminator's loss, of real images with
        another image's labels (Reed et al. 2016): they teach it early to use
        labels, at no cost, since the image's evidence is computed anyway.
      **kwargs: For the base class: penalty_weight, average_decay and so on.
    """
    super().compile(generator_optimizer, discriminator_optimizer, **kwargs)
    self._mismatch_weight = mismatch_weight

  def generate(self, latents: tf.Tensor, attributes: tf.Tensor) -> tf.Tensor:
    """Returns images [batch, *image_shape] in [0, 1].

    Args:
      latents: [batch, latent_size], draws of the prior N(0, I).
      attributes: [batch, num_attributes] in [0, 1], the targets.
    """
    return adversarial.generate(self.generator, latents, attributes)

  def call(self, latents, attributes):
    """See `generate`."""
    return self.generate(latents, attributes)

  def _discriminator_loss(self, evidence, fake_logits, attributes):
    """See base class."""
    loss = super()._discriminator_loss(evidence, fake_logits, attributes)
    others = tf.roll(attributes, 1, axis=0)
    # An image with equal labels by chance is no negative.
    is_wrong = tf.cast(tf.reduce_any(others != attributes, axis=-1), tf.float32)
    wrong_logits = self.discriminator.judge(evidence, others)
    return (
      loss
      + self._mismatch_weight
      * is_wrong
      * losses.critic_cross_entropy(wrong_logits, False)
    )


def training(recipe: recipes.ConditionalGAN, data) -> trainings.Training:
  """Returns the training of a conditional GAN on an `arrays.Source`."""
  keras.utils.set_random_seed(recipe.seed)
  model = ConditionalGAN(
    data.image_shape,
    recipe.latent_size,
    len(data.attributes),
    recipe.architecture,
  )
  model.compile(
    *adversarial.optimizers(recipe),
    penalty_weight=recipe.penalty_weight,
    mismatch_weight=recipe.mismatch_weight,
    average_decay=recipe.average_decay,
  )
  return trainings.on_images(model, recipe, data, monitor=None)
