"""Encoded images: the posteriors of a data set, and their moments.

Critics, flow and actor train on z = mean + scale * eps with fresh eps, so that
they need only mean, scale and attributes of every image (Engel et al. 2018,
section 3). For a generative model that cannot encode, draws of its prior take
the place of the posterior. `latent_cache` keeps latents in files,
`latent_batches` makes batches of them.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras.generators import generator as generators

# Names of the columns.
COLUMNS = ("mean", "scale", "attributes")

# Rows held in memory at a time during a pass over all of them.
_PIECE = 8192


@dataclasses.dataclass(frozen=True)
class Latents:
  """The posterior of one split, or draws of the prior.

  Columns are arrays; those of a cache are memory-mapped files, from which only
  the rows in use are read.

  Attributes:
    mean: float32 [n, latent_size].
    scale: float32 [n, latent_size], standard deviations.
    attributes: float32 [n, num_attributes] in [0, 1], NaN where a label is not
      known; [n, 0] if none is.

  >>> import numpy as np
  >>> from lc_keras.data import latents
  >>> rows = latents.Latents(np.eye(3), np.ones([3, 3]), np.zeros([3, 2]))
  >>> rows.take(slice(1, 3)).mean
  array([[0., 1., 0.],
         [0., 0., 1.]])
  """

  mean: np.ndarray
  scale: np.ndarray
  attributes: np.ndarray

  def __len__(self) -> int:
    return len(self.mean)

  def take(self, rows: np.ndarray | slice) -> Self:
    """Returns some rows, in memory."""
    columns = vars(self).values()
    return Latents(*(np.ascontiguousarray(value[rows]) for value in columns))

  def labelled(self) -> Self:
    """Returns the rows with at least one known label."""
    known = ~np.isnan(self.attributes).all(axis=1)
    return self if known.all() else self.take(known)

  def pieces(self) -> Iterator[Self]:
    """Yields all rows in order, some thousands at a time, in memory."""
    for start in range(0, len(self), _PIECE):
      yield self.take(slice(start, start + _PIECE))


@dataclasses.dataclass(frozen=True)
class Moments:
  """Moments of the posteriors of a split.

  Attributes:
    center: float64 [latent_size], the mean of the means.
    covariance: float64 [latent_size, latent_size], of the means.
    noise: float64 [latent_size], the mean variance of the posteriors.
  """

  center: np.ndarray
  covariance: np.ndarray
  noise: np.ndarray

  def principal_axes(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns the principal axes of posterior draws, and their variances.

    Unlike `covariance`, this includes the posterior's own noise.

    Returns:
      Variances, float64 [latent_size] in rising order, and the axes, float64
      [latent_size, latent_size], one a column.
    """
    return np.linalg.eigh(self.covariance + np.diag(self.noise))


def completed(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns labels, unknown ones replaced by a critic's predictions.

  Args:
    labels: [batch, num_attributes] in [0, 1], NaN where not known.
    logits: [batch, num_attributes], the critic's.

  >>> import tensorflow as tf
  >>> from lc_keras.data import latents
  >>> labels = tf.constant([[1.0, float("nan")]])
  >>> latents.completed(labels, tf.constant([[-2.0, 3.0]])).numpy()
  array([[1., 1.]], dtype=float32)
  """
  read = tf.cast(logits > 0.0, labels.dtype)
  return tf.where(tf.math.is_nan(labels), read, labels)


def sample(
  rows: Mapping[str, tf.Tensor], seed: tf.Tensor, noise_scale: float = 1.0
) -> tf.Tensor:
  """Returns z = mean + noise_scale * scale * eps, [batch, latent_size].

  Args:
    rows: "mean" and "scale" [batch, latent_size].
    seed: int32 [2], seed of eps.
    noise_scale: Factor of the noise.
  """
  noise = tf.random.stateless_normal(tf.shape(rows["mean"]), seed)
  return rows["mean"] + noise_scale * rows["scale"] * noise


def join(pieces: Iterable[Latents]) -> Latents:
  """Returns all rows of some pieces, in memory."""
  columns = list(zip(*(vars(piece).values() for piece in pieces)))
  if not columns:
    raise ValueError("There are no images to encode.")
  return Latents(*map(np.concatenate, columns))


def encoder(generator) -> Callable[[Mapping[str, tf.Tensor]], Latents]:
  """Returns a function that encodes a batch of "image" and "attributes".

  It is compiled once.

  Args:
    generator: A model with `encode(images)`.
  """

  def encode_images(images):
    posterior = generator.encode(images)
    return posterior.mean(), posterior.stddev()

  compiled = tf.function(encode_images, autograph=False)

  def encode_batch(batch):
    mean, scale = compiled(batch["image"])
    return Latents(mean.numpy(), scale.numpy(), batch["attributes"].numpy())

  return encode_batch


def draw(
  generator,
  rows: int,
  scale: float,
  seed: tuple[int, int],
  *,
  read: Callable[[tf.Tensor], tf.Tensor] | None = None,
  batch_size: int = 256,
  progress: Callable[[Iterable], Iterable] = iter,
) -> Latents:
  """Draws from the prior, or a mapping, for a model that cannot encode.

  Args:
    generator: A model with `decode(latents)` and `latent_size`.
    rows: Number of draws.
    scale: Standard deviation that every row gets in every dimension, for lack
      of a posterior: how far a latent can move without a visible change.
    seed: Seed of the draws.
    read: Images -> labels [batch, num_attributes] in {0, 1}; None gives no
      attributes, and decodes nothing.
    batch_size: Images decoded at once; fewer if they are large.
    progress: Wraps the batches, to show progress.
  """
  mean = draw_means(generator, rows, seed)
  attributes = np.zeros([rows, 0], np.float32)
  if read is not None:
    function = tf.function(
      lambda latents: read(generator.decode(latents).mean()), autograph=False
    )
    batch_size = batched.rows_at_once(generator.image_shape, batch_size)
    starts = progress(range(0, rows, batch_size))
    labels = [function(mean[start : start + batch_size]) for start in starts]
    attributes = np.concatenate(labels)
  return from_draws(generator, mean, scale, attributes)


def from_draws(
  generator, mean: np.ndarray, scale: float, attributes: np.ndarray
) -> Latents:
  """Returns draws as posteriors, in the place of encoded images.

  With a mapping, only its first axes are known, see `mapping.Draws.known`.

  Args:
    generator: A model with `decode(latents)`.
    mean: [n, latent_size], see `Generator.draw`.
    scale: See `draw`.
    attributes: [n, num_attributes], see `Latents`.
  """
  mean, scales = np.asarray(mean, np.float32), np.float32(scale)
  mapping = getattr(generator, "mapping", None)
  if mapping is not None:
    known = mapping.known
    mean, scales = mean * known, np.where(known, scales, np.float32(1.0))
  scales = np.broadcast_to(scales, mean.shape)
  return Latents(mean, scales, np.asarray(attributes, np.float32))


def draw_means(generator, rows, seed):
  """Returns draws of a generator's latents, float32 [rows, latent_size].

  Args:
    generator: See `draw`.
    rows: Number of draws.
    seed: Two small integers from 0 up.
  """
  if getattr(generator, "mapping", None) is None:
    shape = [rows, generator.latent_size]
    return tf.random.stateless_normal(shape, seed).numpy()
  first, split = seed
  # Far above the small seeds that users give to `Generator.draw`.
  seeds = np.arange(rows) + (((first + 1) * 16 + split) << 32)
  return generators.draw_rows(generator, seeds)


def moments(latents: Latents) -> Moments:
  """Returns the moments of a split, in two passes over its rows."""
  count = len(latents)
  total, noise = 0.0, 0.0
  for piece in latents.pieces():
    total += piece.mean.sum(axis=0, dtype=np.float64)
    noise += np.square(piece.scale, dtype=np.float64).sum(axis=0)
  center, products = total / count, 0.0
  for piece in latents.pieces():
    around = piece.mean - center
    products += around.T @ around
  return Moments(center, products / (count - 1), noise / count)


def mean_scale(latents: Latents) -> np.ndarray:
  """Returns sigma_bar, the mean of the scales, float64 [latent_size]."""
  return np.sum(
    [piece.scale.sum(axis=0, dtype=np.float64) for piece in latents.pieces()],
    axis=0,
  ) / len(latents)


def covariance(latents: Latents) -> np.ndarray:
  """Returns the covariance of the means, float32 [latent_size, latent_size].

  Few directions hold nearly all of the variance. Along the others encoded
  images do not differ, so that models trained on them learn nothing there.
  """
  return moments(latents).covariance.astype(np.float32)
