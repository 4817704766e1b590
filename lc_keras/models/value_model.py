"""Trains the critic of one learned constraint on known values."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras.data import latents as latent_rows
from lc_keras.models import architectures
from lc_keras.models import stored_model


class ValueModel(stored_model.StoredModel):
  """D_c(z): one calibrated logit, the mean of several members.

  Engel et al. 2018, section 6: a value critic on z, for values of any source.
  With few labels a single network is overconfident, so there are several
  members, each trained without the rows of one fold. Their logits of these
  held-out rows serve for calibration (Platt 1999) and are reported. The mean of
  networks trained on different rows (Breiman 1996, "Bagging predictors") is no
  worse than one network trained on all.

  Attributes:
    members: The networks.
    calibration: (slope, shift) of the logit.
  """

  REPORTS = ("loss",)

  def __init__(
    self,
    latent_size: int,
    width: int = 256,
    depth: int = 2,
    folds: int = 5,
    scales: Sequence[float] | None = None,
    **kwargs,
  ):
    """Creates and builds the networks.

    Args:
      latent_size: Size of z.
      width: Units of every hidden layer.
      depth: Number of hidden layers.
      folds: Number of members, at least 2, see `recipes.Constraint`.
      scales: See `architectures.on_latents`.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.members = [
      architectures.on_latents(
        latent_size, width, depth, 1, scales, name=f"member_{number}"
      )
      for number in range(folds)
    ]
    self.calibration = self.add_weight(
      shape=(2,),
      initializer=keras.initializers.Constant([1.0, 0.0]),
      trainable=False,
      name="calibration",
    )
    self.built = True

  def compile(
    self,
    optimizer: keras.optimizers.Optimizer,
    *,
    noise_scale: float = 1.0,
    **kwargs,
  ):
    """Sets the loss, and builds the optimiser before `fit` needs it.

    Args:
      optimizer: For the members.
      noise_scale: Trains on z = mean + noise_scale * scale * eps, see
        `AttributeModel`.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer, **kwargs)
    self._noise_scale = noise_scale

  def call(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns the calibrated logit [batch] of latents [batch, latent_size]."""
    slope, shift = self.calibration[0], self.calibration[1]
    return slope * tf.reduce_mean(self.by_member(latents), axis=-1) + shift

  def by_member(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns the logit of each member, not calibrated, [batch, folds]."""
    return tf.concat([member(latents) for member in self.members], axis=-1)

  def calibrate(self, slope: float, shift: float) -> None:
    """Makes the logit slope * mean of the members + shift."""
    self.calibration.assign([slope, shift])

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class.

    Args:
      batch: "mean" and "scale" [batch, latent_size], "value" [batch] in [0, 1],
        "weight" [batch] from 0 up, and "fold" int [batch], the member that must
        not see the row.
    """
    seed = priors.step_seed(self.optimizer.iterations)
    latents = latent_rows.sample(batch, seed, self._noise_scale)
    folds = len(self.members)
    seen = 1.0 - tf.one_hot(batch["fold"], folds)
    targets = tf.repeat(batch["value"][:, tf.newaxis], folds, axis=-1)
    with tf.GradientTape() as tape:
      values = batch["weight"] * losses.attribute_cross_entropy(
        self.by_member(latents), targets, seen
      )
      loss = tf.nn.compute_average_loss(values)
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return self._report(loss=values)
