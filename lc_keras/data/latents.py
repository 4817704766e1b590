"""Encoded images: the posterior of a data set, and how it is spread.

Everything after the generative model trains on z = mean + scale * eps with
fresh eps, so that mean, scale and attributes of every image are all that is
needed (Engel et al. 2018, section 3). A generative model that cannot encode has
no posterior: draws of its prior take their place. `latent_cache` keeps them,
`latent_batches` brings them to who trains.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

import numpy as np
import tensorflow as tf

from lc_keras.data import shards

# Rows looked at together where all have to be.
_PIECE = 8192

Array = np.ndarray | shards.Column


@dataclasses.dataclass(frozen=True)
class Latents:
  """The posterior of one split, or draws of the prior.

  Columns are arrays, or, of a cache, shards in files that are indexed like
  arrays; `numpy.asarray` reads such a column as a whole.

  Attributes:
    mean: float32 [n, latent_size].
    scale: float32 [n, latent_size], standard deviations.
    attributes: float32 [n, num_attributes] in {0, 1}; [n, 0] if nobody knows.
  """

  mean: Array
  scale: Array
  attributes: Array

  def __len__(self) -> int:
    return len(self.mean)

  def take(self, rows: np.ndarray | slice) -> Self:
    """Returns some rows, as arrays."""
    columns = vars(self).items()
    return Latents(**{name: value[rows] for name, value in columns})

  def pieces(self) -> Iterator[Self]:
    """Yields all rows in order, as many at a time as can be held."""
    for start in range(0, len(self), _PIECE):
      yield self.take(slice(start, start + _PIECE))


@dataclasses.dataclass(frozen=True)
class Moments:
  """How the rows of a split are spread.

  Attributes:
    center: float64 [latent_size], the mean of the means.
    covariance: float64 [latent_size, latent_size], of the means.
    noise: float64 [latent_size], the posterior's variance on average.
  """

  center: np.ndarray
  covariance: np.ndarray
  noise: np.ndarray

  def principal_axes(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns along which axes draws of the posterior vary, and how much.

    Unlike `covariance`, this counts the posterior's own noise.

    Returns:
      Variances, float64 [latent_size] in rising order, and the axes, float64
      [latent_size, latent_size], one a column.
    """
    return np.linalg.eigh(self.covariance + np.diag(self.noise))


def join(pieces: Iterable[Latents]) -> Latents:
  """Returns all rows of some pieces, as arrays."""
  columns = [dataclasses.astuple(piece) for piece in pieces]
  return Latents(*map(np.concatenate, zip(*columns)))


def encode(
  generator, dataset: Iterable[Mapping[str, tf.Tensor]]
) -> Iterator[Latents]:
  """Encodes every image of a data set, in order; yields a piece per batch.

  Args:
    generator: A model with `encode(images)`.
    dataset: Batches of "image" and "attributes".
  """
  function = tf.function(
    lambda images: _mean_and_scale(generator.encode(images)), autograph=False
  )
  for batch in dataset:
    mean, scale = function(batch["image"])
    yield Latents(mean.numpy(), scale.numpy(), batch["attributes"].numpy())


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
  """Draws from the prior, for a model that cannot encode.

  Args:
    generator: A model with `decode(latents)` and `latent_size`.
    rows: How many.
    scale: Standard deviation of each row in each dimension. Such a model has no
      posterior; what is meant is how far one can move without it being seen.
    seed: Of the draws.
    read: Images to labels [batch, num_attributes] in {0, 1}; None gives no
      attributes, and then nothing is decoded.
    batch_size: Images decoded at once.
    progress: Wraps the batches, to show how far it is.
  """
  mean = tf.random.stateless_normal([rows, generator.latent_size], seed)
  attributes = np.zeros([rows, 0], np.float32)
  if read is not None:
    function = tf.function(
      lambda latents: read(generator.decode(latents).mean()), autograph=False
    )
    starts = progress(range(0, rows, batch_size))
    labels = [function(mean[start : start + batch_size]) for start in starts]
    attributes = np.concatenate(labels)
  return Latents(
    mean.numpy(), np.full(mean.shape, scale, np.float32), attributes
  )


def moments(latents: Latents) -> Moments:
  """Returns how the rows of a split are spread, in two passes over it."""
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


def covariance(latents: Latents) -> np.ndarray:
  """Returns how the means vary together, float32 [latent_size, latent_size].

  Few directions hold nearly all of the variance; in the others encoded images
  do not differ, and nothing trained on them knows what a move there means.
  """
  return moments(latents).covariance.astype(np.float32)


def _mean_and_scale(posterior):
  return posterior.mean(), posterior.stddev()
