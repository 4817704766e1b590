"""An actor that gives a search's answers in one step."""

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from lc_keras import priors
from lc_keras.data import latents as latent_rows
from lc_keras.models import actor
from lc_keras.models import stored_model
from lc_keras.models import switching
from lc_keras.models import whitening

# Maps start and moved latents [batch, latent_size], values and mask [batch,
# num_attributes] and seeds [batch] to the loss of the move, [batch].
Loss = Callable[
  [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor
]
# Maps latents to an attribute critic's logits, [batch, num_attributes].
Read = Callable[[tf.Tensor], tf.Tensor]

# Share of training requests for several attributes; the others switch one.
_SEVERAL_SHARE = 0.25
_STREAMS = 6


class SearchActor(stored_model.StoredModel):
  """G(z, y), the published gated move, trained to minimise a search's loss.

  Other than `ActorCritic`, it needs neither labels nor a critic of its own: it
  learns from the frozen critics that the search reads. y names only what is to
  change; attributes that it leaves open are kept.

  It works in whitened coordinates. Axes that hold only the posterior's noise
  are neither read nor moved.

  >>> model = SearchActor(8, 2, width=16, depth=1)
  >>> asked = tf.ones([3, 2])
  >>> model(tf.zeros([3, 8]), asked, asked).shape
  TensorShape([3, 8])
  """

  REPORTS = ("loss",)

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 512,
    depth: int = 3,
    **kwargs,
  ):
    """Creates and builds the network; see `Actor` for the arguments.

    The whitening of a new model is the identity, see `Whitening.adapt`.
    """
    super().__init__(**kwargs)
    self.whitening = whitening.Whitening(latent_size, name="whitening")
    self.actor = actor.Actor(
      latent_size, num_attributes, width, depth, name="actor"
    )
    self.built = True

  def compile(
    self,
    optimizer: keras.optimizers.Optimizer,
    *,
    loss_of_move: Loss,
    read_attributes: Read,
    excludes: tf.Tensor,
    **kwargs,
  ):
    """Sets the loss, and builds the optimiser before `fit` needs it.

    Args:
      optimizer: For the actor.
      loss_of_move: The loss of a move, such as an `Objective`.
      read_attributes: The frozen attribute critic.
      excludes: [num_attributes, num_attributes], see `Attributes.excludes`.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer, **kwargs)
    # Wrapped in functions, or Keras would track layers as parts of this model.
    self._loss_of_move = lambda *arguments: loss_of_move(*arguments)
    self._read_attributes = lambda latents: read_attributes(latents)
    self._excludes = tf.constant(excludes, tf.float32)

  def call(self, latents, values, mask):
    """Returns moved latents, [batch, latent_size]; see `Actor.call`."""
    signal = self.whitening.signal
    points = self.whitening(latents)
    seen = signal * points
    moved = self.actor(seen, values, mask)
    return self.whitening.undo(points + signal * (moved - seen))

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "mean", "scale" and "focus" of latents."""
    step = self.optimizer.iterations
    seeds = [priors.step_seed(step, stream) for stream in range(_STREAMS)]
    with tf.GradientTape() as tape:
      values = self._errors(batch, seeds)
      loss = tf.nn.compute_average_loss(values)
    variables = self.actor.trainable_variables
    self.optimizer.apply(tape.gradient(loss, variables), variables)
    return self._report(loss=values)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses the same noise every time."""
    seeds = [(0, stream) for stream in range(_STREAMS)]
    return self._report(loss=self._errors(batch, seeds))

  def _errors(self, batch, seeds):
    """Returns the losses of random requests, [batch]."""
    start = latent_rows.sample(batch, seeds[0])
    values, mask = self._requests(start, batch["focus"], seeds[1:])
    rows = tf.random.stateless_uniform(
      tf.shape(values)[:1], seeds[4], None, None, tf.int64
    )
    return self._loss_of_move(
      start, self(start, values, mask), values, mask, rows
    )

  def _requests(self, start, focus, seeds):
    """Returns values and mask: an attribute switched, or some of another row.

    Several attributes, of which many hold already, are what a sample asks for;
    rows for which all hold teach the actor to stay.
    """
    read = tf.cast(self._read_attributes(start) > 0.0, tf.float32)
    switched, about = switching.switch(read, focus, self._excludes)
    several = tf.random.stateless_uniform(tf.shape(read)[:1], seeds[0])
    several = (several < _SEVERAL_SHARE)[:, tf.newaxis]
    values = tf.where(several, tf.roll(read, 1, axis=0), switched)
    some = switching.random_mask(tf.zeros_like(about), 1.0, seeds[1])
    return values, tf.where(several, some, about)
