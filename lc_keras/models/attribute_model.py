"""Trains the attribute critic on cached latents.

Beyond the paper: an actor or a search that follows a critic finds latents that
the critic reads as requested and that decode to something else. So the critic
also learns from edits that follow its own gradient (`edit_weight`): each is
decoded and encoded again, which brings it back among the latents that the
critic was trained on, and the critic's reading there is the edit's label. This
needs no labels and no classifier; where the generator cannot encode, a
classifier reads the edits.
"""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.data import latents as latent_rows
from lc_keras.generators import decoding
from lc_keras.generators import generator as generators
from lc_keras.models import adam
from lc_keras.models import attribute_critic
from lc_keras.models import edits as critic_edits
from lc_keras.models import stored_model
from lc_keras.models import switching


class AttributeModel(stored_model.StoredModel):
  """Supervised training of D_attr(z) on z ~ q(z|x).

  Engel et al. 2018, section 5: fresh noise every step, so that the critic
  reads latents as the decoder gets them, not the encoder's exact mean.

  >>> model = AttributeModel(8, 2, width=16, depth=1)
  >>> model(tf.zeros([3, 8])).shape
  TensorShape([3, 2])

  Attributes:
    critic: The `AttributeCritic`.
  """

  REPORTS = ("loss", "accuracy")

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    noise_scale: float = 1.0,
    members: int = 1,
    scales: Sequence[float] | None = None,
    dropout: float = 0.0,
    **kwargs,
  ):
    """Creates and builds the model.

    Args:
      latent_size: Size of z.
      num_attributes: Number of logits.
      width: Units of every hidden layer.
      depth: Number of hidden layers.
      noise_scale: Trains on z = mean + noise_scale * scale * eps. 1 is the
        published recipe. An actor or a search that follows the critic finds
        latents that it misreads; with more noise there are fewer.
      members: Number of networks, trained independently, whose mean is the
        critic. Latents that mislead one of them do not mislead all.
      scales: See `architectures.on_latents`.
      dropout: See there.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self._noise_scale = noise_scale
    self.critic = attribute_critic.AttributeCritic(
      latent_size,
      num_attributes,
      width,
      depth,
      members,
      scales,
      dropout,
      name="critic",
    )
    self.built = True

  def compile(
    self,
    optimizer: keras.optimizers.Optimizer,
    *,
    reread: Callable[[tf.Tensor], tf.Tensor] | None = None,
    read: Callable[[tf.Tensor], tf.Tensor] | None = None,
    covariance: tf.Tensor | None = None,
    excludes: tf.Tensor | None = None,
    edit_weight: float = 0.0,
    **kwargs,
  ):
    """Sets the loss, and builds the optimiser before `fit` needs it.

    Args:
      optimizer: For the critic.
      reread: Maps latents to the posterior means of the decoded images. This or
        `read`, `covariance` and `excludes` are needed for edits only.
      read: Maps latents to logits [batch, num_attributes] of the decoded
        images.
      covariance: [latent_size, latent_size], see `latents.covariance`: edits
        move where encoded images differ.
      excludes: [num_attributes, num_attributes], see `Attributes.excludes`.
      edit_weight: Weight of the cross-entropy of edits; 0 is the published
        recipe.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer, **kwargs)
    self._read = read or (lambda latents: self.critic(reread(latents)))
    self._edit_weight = edit_weight
    if edit_weight:
      self._covariance = tf.constant(covariance, tf.float32)
      self._excludes = tf.constant(excludes, tf.float32)

  def call(self, latents):
    """Returns logits, [batch, num_attributes]."""
    return self.critic(latents)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "mean", "scale", "attributes" and "focus"."""
    step = self.optimizer.iterations
    seeds = [priors.step_seed(step, stream) for stream in range(3)]
    latents = latent_rows.sample(batch, seeds[0], self._noise_scale)
    if self._edit_weight:
      edits, labels = self._edits(batch, seeds)
    with tf.GradientTape() as tape:
      logits, values = self._errors(latents, batch["attributes"])
      loss = tf.nn.compute_average_loss(values)
      if self._edit_weight:
        loss += self._edit_weight * tf.nn.compute_average_loss(
          self._errors(edits, labels)[1]
        )
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report_readings(values, logits, batch["attributes"])

  def _errors(self, latents, labels):
    """Returns logits, and the cross-entropy of rows, a mean over members.

    A label counts the same whether the others of its row are known or not.
    """
    logits = self.critic.by_member(latents, training=True)
    known = tf.cast(~tf.math.is_nan(labels), tf.float32)
    labels = tf.repeat(labels[:, tf.newaxis], logits.shape[1], axis=1)
    values = losses.attribute_cross_entropy(logits, labels)
    values = tf.reduce_mean(values, axis=1) * tf.reduce_mean(known, axis=1)
    return tf.reduce_mean(logits, axis=1), values

  def _edits(self, batch, seeds):
    """Returns edits of every second row, with noise, and their labels."""
    rows = {name: value[::2] for name, value in batch.items()}
    latents = latent_rows.sample(rows, seeds[0])
    own = latent_rows.completed(rows["attributes"], self.critic(latents))
    targets, _ = switching.switch(own, rows["focus"], self._excludes)
    latents = critic_edits.descend(
      latents,
      lambda z: losses.attribute_cross_entropy(self.critic(z), targets),
      self._covariance,
      seeds[1],
    )
    labels = tf.sigmoid(self._read(latents))
    noise = tf.random.stateless_normal(tf.shape(latents), seeds[2])
    noisy = latents + self._noise_scale * rows["scale"] * noise
    return noisy, tf.stop_gradient(labels)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Plain posterior noise, the same every time."""
    logits = self.critic(latent_rows.sample(batch, (0, 0)))
    values = losses.attribute_cross_entropy(logits, batch["attributes"])
    return self._report_readings(values, logits, batch["attributes"])


def training(
  recipe: recipes.Attributes,
  parts,
  classifier: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> trainings.Training:
  """Returns the training of an attribute critic on the latents of parts.

  Args:
    recipe: The settings.
    parts: `parts.Parts` with latents and labels; with edits, also the
      generator.
    classifier: Maps images to logits, to label edits if the generator cannot
      encode; by default the model "classifier".
  """
  rows = parts.latents["train"]
  # Read before the seed is set: it may load the generator, and initial weights
  # depend on the seed alone.
  scales = parts.scales
  keras.utils.set_random_seed(recipe.seed)
  model = AttributeModel(
    rows.mean.shape[1],
    len(parts.labels),
    recipe.width,
    recipe.depth,
    recipe.noise_scale,
    recipe.members,
    scales,
    recipe.dropout,
  )
  model.compile(
    adam.Adam(trainings.learning_rate(recipe)),
    **(_reader(parts, classifier) if recipe.edit_weight else {}),
    covariance=latent_rows.covariance(rows),
    excludes=parts.labels.excludes,
    edit_weight=recipe.edit_weight,
  )
  return trainings.on_latents(model, recipe, parts, labelled=True)


def _reader(parts, classifier):
  """Returns the option of `compile` by which edits are labelled."""
  generator = parts.generator
  if generators.can_encode(generator):

    def encode(images):
      return generator.encode(images).mean()

    return {"reread": decoding.reader(generator, encode)}
  # A generator without an encoder has latents that a classifier has labelled.
  classifier = classifier or parts.models["classifier"]
  return {"read": decoding.reader(generator, classifier)}
