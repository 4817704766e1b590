"""The examples that a constraint is learned from: latents and their values."""

import dataclasses

import numpy as np
import tensorflow as tf

from lc_keras.data import streams


@dataclasses.dataclass(frozen=True)
class Examples:
  """Rows of a posterior, with values.

  Attributes:
    mean: float32 [n, latent_size].
    scale: float32 [n, latent_size], standard deviations of the posterior.
    value: float32 [n] in [0, 1].
    weight: float32 [n] above 0, how many rows of the population it stands for.
    fold: int64 [n], the member of a `ValueModel` that must not see the row.
  """

  mean: np.ndarray
  scale: np.ndarray
  value: np.ndarray
  weight: np.ndarray
  fold: np.ndarray

  @classmethod
  def of(
    cls,
    mean: np.ndarray,
    scale: np.ndarray,
    value: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    folds: int,
    seed: int = 0,
  ) -> "Examples":
    """Returns examples with stratified folds.

    Args:
      mean: [n, latent_size].
      scale: [n, latent_size], or of a shape that broadcasts to it.
      value: [n] in [0, 1].
      weight: [n]; 1 if not given.
      folds: Number of folds.
      seed: Seed of the folds.
    """
    value = np.asarray(value, np.float32)
    random = np.random.default_rng(seed)
    order = random.permutation(len(value))
    order = order[np.argsort(value[order] > 0.5, kind="stable")]
    fold = np.empty(len(value), np.int64)
    fold[order] = np.arange(len(value)) % folds
    return cls(
      np.asarray(mean, np.float32),
      np.broadcast_to(np.float32(scale), np.shape(mean)),
      value,
      np.ones_like(value) if weight is None else np.float32(weight),
      fold,
    )

  def __len__(self) -> int:
    return len(self.value)

  @property
  def on(self) -> np.ndarray:
    """bool [n], whether values are nearer to 1 than to 0."""
    return self.value > 0.5

  def take(self, rows: np.ndarray) -> "Examples":
    """Returns some rows, by index or by a mask."""
    return Examples(
      **{key: array[rows] for key, array in dataclasses.asdict(self).items()}
    )

  def and_(self, others: "Examples") -> "Examples":
    """Returns these examples followed by others."""
    added = dataclasses.asdict(others)
    return Examples(
      **{
        key: np.concatenate([array, added[key]])
        for key, array in dataclasses.asdict(self).items()
      }
    )

  def batches(self, batch_size: int, seed: int = 0) -> tf.data.Dataset:
    """Returns endless random batches, each with half of its rows on.

    Rare values are thus seen often enough; the model must be calibrated
    afterwards, see `calibration`. Batch i depends on i and the seed alone.

    Args:
      batch_size: Rows per batch.
      seed: Seed of the draws.

    Raises:
      ValueError: All values are on, or all are off.
    """
    lists = [np.flatnonzero(~self.on), np.flatnonzero(self.on)]
    if not all(map(len, lists)):
      raise ValueError(
        f"All {len(self)} values are {'above' if len(lists[1]) else 'at most'} "
        "0.5: a critic needs rows of both kinds."
      )
    arrays = {
      key: tf.constant(array) for key, array in dataclasses.asdict(self).items()
    }
    off, on = map(tf.constant, lists)

    def draw(step):
      uniform = tf.random.stateless_uniform(
        [batch_size], tf.stack([tf.cast(seed, tf.int64), step])
      )
      half = batch_size // 2
      rows = tf.concat(
        [_picked(off, uniform[:half]), _picked(on, uniform[half:])], axis=0
      )
      return {key: tf.gather(array, rows) for key, array in arrays.items()}

    steps = tf.data.Dataset.counter()
    drawn = steps.map(draw, num_parallel_calls=1, deterministic=True)
    return drawn.prefetch(4).apply(streams.untuned)


def _picked(rows, uniform):
  place = tf.cast(uniform * tf.cast(tf.size(rows), tf.float32), tf.int32)
  return tf.gather(rows, tf.minimum(place, tf.size(rows) - 1))
