"""Trains an actor for one learned constraint: one step instead of a search."""

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from lc_keras import priors
from lc_keras.data import latents as latent_rows
from lc_keras.models import actor
from lc_keras.models import stored_model
from lc_keras.models import whitening

# Maps start and moved latents [batch, latent_size], targets and seeds [batch]
# to the loss of the move, [batch].
Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# Share of training rows whose target is the value that is read at the start.
_UNCHANGED_SHARE = 0.25


class ValueActor(stored_model.StoredModel):
  """G_c(z, v): moves a latent vector to where a constraint has the value v.

  Engel et al. 2018, sections 3 and 6: the published gated move, for a value
  critic. It works in whitened coordinates, and scales its move along each axis
  by the share of variance that is not the posterior's noise.
  """

  REPORTS = ("loss",)

  def __init__(
    self, latent_size: int, width: int = 512, depth: int = 2, **kwargs
  ):
    """Creates and builds the network; see `Actor` for the arguments."""
    super().__init__(**kwargs)
    self.whitening = whitening.Whitening(latent_size, name="whitening")
    self.actor = actor.Actor(latent_size, 1, width, depth, name="actor")
    self.built = True

  def compile(
    self,
    optimizer: keras.optimizers.Optimizer,
    *,
    loss_of_move: Loss,
    read_value: Callable[[tf.Tensor], tf.Tensor],
    continuous: bool = False,
    **kwargs,
  ):
    """Sets the loss, and builds the optimiser before `fit` needs it.

    Args:
      optimizer: For the actor.
      loss_of_move: The loss of a move, such as an `Objective`.
      read_value: Maps latents to the constraint's logits, [batch].
      continuous: Whether targets are any values in [0, 1], not 0 and 1 alone.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer, **kwargs)
    # Wrapped in functions, or Keras would track layers as parts of this model.
    self._loss_of_move = lambda *arguments: loss_of_move(*arguments)
    self._read_value = lambda latents: read_value(latents)
    self._continuous = continuous

  def call(self, latents: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Returns moved latents, [batch, latent_size].

    Args:
      latents: [batch, latent_size].
      value: [batch] in [0, 1], the target.
    """
    points = self.whitening(latents)
    column = value[:, tf.newaxis]
    moved = self.actor(points, column, tf.ones_like(column))
    signal = self.whitening.signal
    return self.whitening.undo(points + signal * (moved - points))

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class.

    Args:
      batch: "mean" and "scale" [batch, latent_size].
    """
    step = self.optimizer.iterations
    seeds = [priors.step_seed(step, stream) for stream in range(3)]
    start = latent_rows.sample(batch, seeds[0])
    value = self._targets(start, seeds[1])
    rows = tf.random.stateless_uniform(
      tf.shape(value), seeds[2], None, None, tf.int64
    )
    with tf.GradientTape() as tape:
      values = self._loss_of_move(start, self(start, value), value, rows)
      loss = tf.nn.compute_average_loss(values)
    variables = self.actor.trainable_variables
    self.optimizer.apply(tape.gradient(loss, variables), variables)
    return self._report(loss=values)

  def _targets(self, start, seed):
    """Returns targets, [batch]: mostly the opposite of the reading."""
    uniform = tf.random.stateless_uniform(tf.shape(start)[:1], seed)
    if self._continuous:
      return uniform
    is_on = self._read_value(start) > 0.0
    return tf.cast(is_on == (uniform < _UNCHANGED_SHARE), tf.float32)
