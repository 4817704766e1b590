"""Trains a conditional flow from noise to the latents of a data set.

Flow matching (Lipman, Chen, Ben-Hamu, Nickel, Le, 2023,
https://arxiv.org/abs/2210.02747) along circles rather than straight lines
(Albergo and Vanden-Eijnden, 2023, https://arxiv.org/abs/2209.15571): at the
angle a in [0, pi / 2], between noise e and a latent z,

  x = cos(a) e + sin(a) z        dx/da = cos(a) z - sin(a) e

and the network learns the expected dx/da, given x, a and a request.

Latents are whitened. Where the posterior fills the prior badly, most of the
difference is in the covariance (of 256 dimensions of studio faces, each with a
deviation near 1, the principal ones differ by a factor of 1,000 in variance),
which needs no network: a flow of velocity zero already gives the best normal
distribution, and along circles it is the best flow for every direction that
holds only the posterior's noise. The network learns the rest.
"""

import math
from collections.abc import Mapping

import keras
import tensorflow as tf

from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.data import latents as latent_rows
from lc_keras.models import adam
from lc_keras.models import moving_average
from lc_keras.models import stored_model
from lc_keras.models import velocity
from lc_keras.models import whitening

# The angle of latents; noise lies at 0.
LATENT_ANGLE = math.pi / 2


class FlowMatching(stored_model.StoredModel):
  """A velocity field from N(0, I) to q(z | y), for any part of y.

  >>> from lc_keras.samplers import flow
  >>> model = FlowMatching(8, 2, width=16, depth=1)
  >>> asked = tf.ones([3, 2])
  >>> flow.transport(model, tf.zeros([3, 8]), asked, asked).shape
  TensorShape([3, 8])

  Attributes:
    velocity: The moving average of the trained network, used after training; on
      whitened latents.
    trained_velocity: The network that the optimiser updates.
    whitening: Must be adapted before training.
  """

  REPORTS = ("loss",)

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    **kwargs,
  ):
    """Creates and builds the networks; see `Velocity` for the arguments.

    The whitening of a new model is the identity, see `Whitening.adapt`.
    """
    super().__init__(**kwargs)
    self.velocity, self.trained_velocity = moving_average.pair(
      lambda name: velocity.Velocity(
        latent_size, num_attributes, width, depth, name=name
      ),
      "velocity",
    )
    self.whitening = whitening.Whitening(latent_size, name="whitening")
    self.built = True

  def compile(
    self,
    optimizer: keras.optimizers.Optimizer,
    *,
    average_decay: float = 0.999,
    **kwargs,
  ):
    """Sets the optimiser, and builds it before `fit` needs it.

    Args:
      optimizer: For the velocity.
      average_decay: Decay of the moving average of its weights, per update.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer, **kwargs)
    self._average_decay = average_decay

  def call(self, points, angles, values, mask):
    """Returns the velocity of whitened latents, see `Velocity.call`."""
    return self.velocity(self.whitening.signal * points, angles, values, mask)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses "mean", "scale" and "attributes" of latents."""
    step = self.optimizer.iterations
    seeds = [priors.step_seed(step, stream) for stream in range(4)]
    with tf.GradientTape() as tape:
      values = self._errors(self.trained_velocity, batch, seeds)
      loss = tf.nn.compute_average_loss(values)
    variables = self.trained_velocity.trainable_variables
    self.optimizer.apply(tape.gradient(loss, variables), variables)
    moving_average.update(
      self.velocity,
      self.trained_velocity,
      self.optimizer.iterations,
      self._average_decay,
    )
    return self._report(loss=values)

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses the average, and the same noise every time."""
    seeds = [(0, stream) for stream in range(4)]
    return self._report(loss=self._errors(self.velocity, batch, seeds))

  def _errors(self, network, rows, seeds):
    """Returns the squared error of a velocity, [batch]."""
    noise = tf.random.stateless_normal(tf.shape(rows["mean"]), seeds[0])
    points = self.whitening(latent_rows.sample(rows, seeds[1]))
    count = tf.shape(noise)[0]
    angles = LATENT_ANGLE * tf.random.stateless_uniform([count], seeds[2])
    cosine, sine = tf.cos(angles)[:, tf.newaxis], tf.sin(angles)[:, tf.newaxis]
    between = cosine * noise + sine * points
    # Unknown labels are never requested.
    known = ~tf.math.is_nan(rows["attributes"])
    labels = tf.where(known, rows["attributes"], 0.0)
    mask = _random_mask(labels, seeds[3]) * tf.cast(known, tf.float32)
    signal = self.whitening.signal
    heading = network(signal * between, angles, labels, mask)
    # Weighted by signal, since the posterior's noise cannot be predicted.
    error = signal * (heading - (cosine * points - sine * noise))
    error = tf.reduce_mean(tf.square(error), axis=-1)
    return error / tf.reduce_mean(tf.square(signal))


def training(recipe: recipes.Flow, parts) -> trainings.Training:
  """Returns the training of a flow on the latents of `parts.Parts`."""
  rows = parts.latents["train"]
  keras.utils.set_random_seed(recipe.seed)
  model = FlowMatching(
    rows.mean.shape[1], len(parts.labels), recipe.width, recipe.depth
  )
  model.whitening.adapt(rows)
  model.compile(
    adam.Adam(trainings.learning_rate(recipe)),
    average_decay=recipe.average_decay,
  )
  return trainings.on_latents(model, recipe, parts)


def _random_mask(attributes, seed):
  """Returns the masks of random requests, [batch, num_attributes] in {0, 1}.

  One row in seven requests no attribute, one requests all; in the others, each
  attribute is requested with a probability that is drawn per row.
  """
  shape = tf.shape(attributes)
  uniform = tf.random.stateless_uniform([shape[0], shape[1] + 1], seed)
  probability = 1.4 * uniform[:, :1] - 0.2
  return tf.cast(uniform[:, 1:] < probability, tf.float32)
