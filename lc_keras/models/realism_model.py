"""Trains a critic that tells encoded images from the prior."""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.data import latents as latent_rows
from lc_keras.models import adam
from lc_keras.models import architectures
from lc_keras.models import edits
from lc_keras.models import stored_model

# Streams of random numbers within one step, see `priors.step_seed`.
_STREAMS = 3


class RealismModel(stored_model.StoredModel):
  """D(z) as a logit, trained only to tell q(z) from p(z).

  Noise contrastive priors: Aneja, Schwing, Kautz, Vahdat (2021), section 3.
  The best such critic is D = q / (q + p), so that the logit is the logarithm
  of the density ratio r(z) = D / (1 - D) = q(z) / p(z). An actor's fakes or a
  gradient penalty would spoil that.

  Latents of a mapping are different: a search leaves them in directions where
  no draw of a normal distribution lies, and a critic trained on one kind of
  negatives does not detect the other. So their critic is trained on both
  (`moved_fraction`). It reports for each kind how often a real row scores above
  a negative, the area under the ROC curve: 0.5 is chance.

  >>> model = RealismModel(8, width=16, depth=1)
  >>> model(tf.zeros([3, 8])).shape
  TensorShape([3])
  """

  REPORTS = ("loss", "accuracy", "auc_normal", "auc_moved")

  def __init__(
    self,
    latent_size: int,
    width: int = 2048,
    depth: int = 4,
    scales: Sequence[float] | None = None,
    **kwargs,
  ):
    """Creates and builds the model; see `architectures.on_latents`."""
    super().__init__(**kwargs)
    self.trunk = architectures.on_latents(latent_size, width, depth, 1, scales)
    self.built = True

  def compile(
    self,
    optimizer: keras.optimizers.Optimizer,
    *,
    normal: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    moved: Callable[..., tf.Tensor] | None = None,
    moved_fraction: float = 0.0,
    **kwargs,
  ):
    """Sets the optimiser and the negatives.

    Args:
      optimizer: For the trunk.
      normal: Maps draws of N(0, I) to negatives, such as `Parts.starts`.
      moved: Maps real latents and a seed to negatives, see `edits.random_edit`;
        needed with a `moved_fraction`.
      moved_fraction: Weight of the moved negatives in the loss.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer, **kwargs)
    self._normal, self._moved = normal, moved
    self._fraction = moved_fraction
    if not moved_fraction:
      self._means.pop("auc_moved", None)

  def call(self, latents):
    """Returns log r(z), [batch], for latents [batch, latent_size]."""
    return tf.squeeze(self.trunk(latents), axis=-1)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "mean" and "scale" of latents."""
    step = self.optimizer.iterations
    seeds = [priors.step_seed(step, stream) for stream in range(_STREAMS)]
    rows = self._rows(batch, seeds)
    with tf.GradientTape() as tape:
      terms = self._judge(rows)
      loss = tf.nn.compute_average_loss(terms["loss"])
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report(**terms)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses the same noise every time."""
    seeds = [(0, stream) for stream in range(_STREAMS)]
    return self._report(**self._judge(self._rows(batch, seeds)))

  def _rows(self, batch, seeds):
    """Returns real latents, and negatives of each kind."""
    shape = tf.shape(batch["mean"])
    real = latent_rows.sample(batch, seeds[0])
    kinds = [self._normal(tf.random.stateless_normal(shape, seeds[1]))]
    if self._fraction:
      kinds.append(self._moved(real, seeds[2]))
    return [real, *kinds]

  def _judge(self, rows):
    """Returns the reported values, [batch] each: half real, half negative."""
    real, *fakes = (self(kind) for kind in rows)
    weights = [1.0 - self._fraction, self._fraction]
    values = losses.critic_cross_entropy(real, True)
    right = tf.cast(real > 0.0, tf.float32)
    terms = {}
    for weight, fake, name in zip(weights, fakes, ("normal", "moved")):
      values += weight * losses.critic_cross_entropy(fake, False)
      right += weight * tf.cast(fake <= 0.0, tf.float32)
      above = real[:, tf.newaxis] > fake
      above = tf.reduce_mean(tf.cast(above, tf.float32), axis=-1)
      terms[f"auc_{name}"] = above
    return {"loss": 0.5 * values, "accuracy": 0.5 * right, **terms}


def training(recipe: recipes.Realism, parts) -> trainings.Training:
  """Returns the training of the critic.

  Args:
    recipe: The settings.
    parts: `parts.Parts` with latents; moved negatives also need an attribute
      critic.
  """
  rows, critic = parts.latents["train"], parts.judges().attribute_critic
  options = {}
  fraction = recipe.moved_fraction
  if parts.mapping is not None:
    # A normal distribution of the same moments takes the place of the prior.
    options["normal"] = parts.starts
    fraction = 0.5 if fraction is None else fraction
  if fraction and not len(parts.attributes):
    raise ValueError(
      "Moved negatives need an attribute critic, and there is none: train it "
      "first, or set moved_fraction to 0."
    )
  if fraction:
    covariance = tf.constant(parts.covariance)
    options["moved"] = lambda latents, seed: edits.random_edit(
      latents, critic, covariance, seed
    )
  keras.utils.set_random_seed(recipe.seed)
  model = RealismModel(
    rows.mean.shape[1], recipe.width, recipe.depth, parts.scales
  )
  model.compile(
    adam.Adam(trainings.learning_rate(recipe)),
    moved_fraction=fraction or 0.0,
    **options,
  )
  return trainings.on_latents(model, recipe, parts)
