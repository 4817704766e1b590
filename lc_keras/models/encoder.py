"""An encoder for a generator that has none: a first guess, and a search."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import batched
from lc_keras.models import stored_model

tfd = tfp.distributions

MODEL = "encoder"  # Its name among the models of `parts.Parts`.
# Largest side of the images that the guess sees, in pixels.
_SEEN = 32
# Ridge penalty, relative to the total variance of the regression's inputs.
_RIDGE = 0.3
# Bound of the guess, within which the generator's own draws lie.
_FARTHEST = 3.0
# Weights of the search's loss, for pixels in [-1, 1]: of all pixels, of means
# over squares, _SQUARES a side, and of the mean square of latents.
_PIXELS, _BLURRED, _PRIOR = 10.0, 10.0, 0.05
_SQUARES = 32
_RATE = 0.1
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
# Memory of a gradient through a decoder, in multiples of the decoder's.
_HELD = 32
# Scale of q(z|x), so small that a draw is the mean.
_SCALE = 1e-5

Tensors = Sequence[tf.Tensor]


class Encoder(stored_model.StoredModel):
  """Maps images to latents: a linear guess, then a search by gradients.

  The guess is a ridge regression on small images, fitted in closed form to a
  generator's own draws. The search starts from it and, by Adam, reduces the
  difference between the decoded image and the given one.

  >>> import numpy as np
  >>> import lc_keras
  >>> def decode(z):
  ...   return tf.reshape(tf.sigmoid(tf.tile(z, [1, 16])), [-1, 8, 8, 1])
  >>> generator = lc_keras.Generator(decode, latent_size=4)
  >>> latents = generator.draw(range(200)).numpy()
  >>> sums = Sums((8, 8, 1), 4)
  >>> sums.add(generator.map(latents), latents)
  >>> model = sums.solved(steps=40)
  >>> found = model.posterior(generator, generator.map(latents[:3])).mean()
  >>> bool(np.abs(found - latents[:3]).max() < 0.2)
  True

  Attributes:
    steps: Steps of the search; 0 returns the guess.
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    latent_size: int,
    axes: int | None = None,
    steps: int = 0,
    **kwargs,
  ):
    """Creates an untrained encoder, whose guess is zero.

    Args:
      image_shape: (height, width, channels).
      latent_size: Size of z.
      axes: Number of first axes that are guessed, the others 0; None is all.
      steps: Steps of the search.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.steps = steps
    self._image_shape = tuple(image_shape)
    self._beyond = latent_size - (axes or latent_size)
    seen = math.prod(_seen(image_shape))
    shape = (seen, axes or latent_size)
    self.matrix = self.add_weight(shape, "zeros", name="matrix")
    self.bias = self.add_weight(shape[1:], "zeros", name="bias")
    self.built = True

  def call(self, images: tf.Tensor) -> tf.Tensor:
    """Returns the guess, [batch, latent_size].

    Args:
      images: [batch, height, width, channels] in [0, 1]; of any height and
        width, which are scaled down.
    """
    inputs = guess_inputs(images, self._image_shape)
    found = tf.matmul(inputs, self.matrix) + self.bias
    found = tf.clip_by_value(found, -_FARTHEST, _FARTHEST)
    return tf.pad(found, [[0, 0], [0, self._beyond]])

  def posterior(self, generator, images: tf.Tensor) -> tfd.Distribution:
    """Returns q(z|x), event shape [latent_size]; in effect a point mass.

    Args:
      generator: The `Generator` that it was learned for.
      images: [batch, *image_shape] in [0, 1].
    """

    def few(images):
      if not self.steps:
        return self(images)
      return search(
        lambda latents: generator.decode(latents).mean(),
        [self(images)],
        images,
        self.steps,
        [_RATE],
        lambda _, latents: _PRIOR * tf.reduce_mean(latents**2, axis=1),
      )[0]

    found = batched.map_batches(
      few,
      tf.ensure_shape(images, [None, *self._image_shape]),
      max(1, batched.rows_at_once(self._image_shape) // _HELD),
    )
    return tfd.MultivariateNormalDiag(
      loc=found, scale_diag=tf.fill(tf.shape(found), _SCALE)
    )


class Sums:
  """Accumulates the sums of the guess's regression, over pieces of images."""

  def __init__(self, image_shape: Sequence[int], latent_size: int, axes=None):
    """Creates empty sums; see `Encoder` for the arguments."""
    self._arguments = (tuple(image_shape), latent_size, axes)
    self._squares = self._products = self._count = 0.0

  def add(self, images: np.ndarray, latents: np.ndarray) -> None:
    """Adds images [n, height, width, channels] and their latents."""
    image_shape, _, axes = self._arguments
    seen = guess_inputs(tf.constant(images), image_shape).numpy()
    seen = np.pad(np.float64(seen), [(0, 0), (0, 1)], constant_values=1.0)
    self._squares += seen.T @ seen
    self._products += seen.T @ latents[:, :axes]
    self._count += len(seen)

  def solved(self, steps: int) -> Encoder:
    """Returns the encoder.

    Args:
      steps: See `Encoder`.
    """
    means = self._squares[-1:] / self._count
    # Centres the sums; the last column, of ones, is dropped.
    squares = self._squares - self._count * means.T @ means
    products = self._products - means.T * self._products[-1:]
    squares, products = squares[:-1, :-1], products[:-1]
    penalty = _RIDGE * max(np.trace(squares) / self._count, 1e-12)
    matrix = np.linalg.solve(squares + penalty * np.eye(len(squares)), products)
    made = Encoder(*self._arguments, steps)
    made.matrix.assign(matrix)
    made.bias.assign(self._products[-1] / self._count - means[0, :-1] @ matrix)
    return made


def guess_inputs(images: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
  """Returns the inputs of the guess, small images in [-1, 1], [batch, seen].

  Args:
    images: [batch, height, width, channels] in [0, 1].
    image_shape: (height, width, channels) of the generator's images.
  """
  shape = _seen(image_shape)
  small = tf.image.resize(images, shape[:2], "area")
  return tf.reshape(2.0 * small - 1.0, [-1, math.prod(shape)])


def _seen(image_shape):
  height, width, channels = image_shape
  return min(height, _SEEN), min(width, _SEEN), channels


def search(
  render: Callable[..., tf.Tensor],
  start: Tensors,
  images: tf.Tensor,
  steps: int,
  rates: Sequence[float],
  more: Callable[..., tf.Tensor],
  span: tuple[float, float] = (0.0, 1.0),
) -> list[tf.Tensor]:
  """Moves tensors by Adam until they render to given images.

  No row depends on another one. It runs in a graph, and can be exported.

  Args:
    render: Maps the tensors to images [n, height, width, channels] in [0, 1].
    start: Tensors [n, ...].
    images: The given images.
    steps: Number of steps.
    rates: Initial learning rates of Adam, one for each tensor.
    more: Maps rendered images and the tensors to more terms of the loss, [n].
    span: Start and end, in [0, 1], on the half cosine by which rates fall.

  Returns:
    The tensors, moved.
  """
  count = len(start)
  side = max(1, images.shape[1] // _SQUARES)

  def step(number, moved, first, second):
    with tf.GradientTape() as tape:
      tape.watch(moved)
      made = render(*moved)
      error = 2.0 * (made - images)
      blurred = tf.nn.avg_pool2d(error, side, side, "SAME")
      loss = (
        _PIXELS * tf.reduce_mean(tf.square(error), axis=[1, 2, 3])
        + _BLURRED * tf.reduce_mean(tf.square(blurred), axis=[1, 2, 3])
        + more(made, *moved)
      )
    slopes = tape.gradient(loss, moved, unconnected_gradients="zero")
    done = tf.cast(number, tf.float32)
    place = span[0] + (span[1] - span[0]) * done / steps
    share = 0.5 * (1.0 + tf.cos(math.pi * place))
    first = [_BETA_1 * m + (1.0 - _BETA_1) * g for m, g in zip(first, slopes)]
    second = [
      _BETA_2 * v + (1.0 - _BETA_2) * g**2 for v, g in zip(second, slopes)
    ]
    unbiased = 1.0 - _BETA_1 ** (done + 1.0), 1.0 - _BETA_2 ** (done + 1.0)
    moved = [
      x - share * rate * m / unbiased[0] / (tf.sqrt(v / unbiased[1]) + _EPSILON)
      for x, rate, m, v in zip(moved, rates, first, second)
    ]
    return number + 1, moved, first, second

  zeros = [tf.zeros_like(one) for one in start]
  shapes = [one.shape for one in start]
  _, moved, _, _ = tf.while_loop(
    lambda number, *_: number < steps,
    step,
    (0, list(start), zeros, list(zeros)),
    shape_invariants=(tf.TensorShape([]), shapes, shapes, shapes),
    parallel_iterations=1,
  )
  return [tf.ensure_shape(moved[i], shapes[i]) for i in range(count)]
