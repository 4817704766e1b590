"""Coordinates of latents whose distribution is known by draws only."""

import dataclasses

import numpy as np
import tensorflow as tf

from lc_keras import files

# Largest number of controlled axes. Along the others draws hardly differ, and
# critics that weigh all equally fail: of 512 axes of a face generator, 128 are
# best.
MOST_AXES = 128
# Slopes of leaky ReLUs, 1 for none. Before a leaky ReLU, draws just below and
# above zero, within _AROUND deviations, are equally frequent, up to a factor of
# exp(_NEAR). Needs _FEWEST draws on each side.
_SLOPES = (1.0, 0.01, 0.1, 0.2, 0.3)
_NEAR = 0.15
_AROUND = 0.1
_FEWEST = 1000
# Axes with less than this share of the largest deviation are rounding errors.
_SMALLEST = 1e-4


@dataclasses.dataclass(frozen=True)
class Coordinates:
  """Whitened coordinates: latents in them have mean 0 and covariance I.

  A normal distribution of the same mean and covariance is then N(0, I), which
  takes the place of a prior. The axes are the principal ones, the largest
  first. If w is the output of a leaky ReLU, that is inverted first, since its
  input is nearly normal.

  >>> import numpy as np
  >>> from lc_keras.generators import coordinates
  >>> w = np.float32(np.random.default_rng(0).normal(5.0, 3.0, [2000, 4]))
  >>> found = coordinates.Coordinates.fit(w, most_axes=3)
  >>> found.axes, found.size
  (3, 4)
  >>> latents = found.to_latents(w).numpy()
  >>> float(latents.std().round(2)), float(abs(latents.mean()).round(2))
  (1.0, 0.0)
  >>> bool(np.allclose(found.to_own(latents), w, atol=1e-3))
  True

  Attributes:
    mean: float32 [own_size], the mean of w.
    center: float32 [own_size], the mean of w before its leaky ReLU.
    basis: float32 [own_size, size], the axes, one a column.
    deviations: float32 [size], standard deviations of draws along the axes.
    slope: Slope of the leaky ReLU below zero; 1 without one.
    axes: Number of controlled axes, the first ones. The rest of a latent stays
      as it is.
  """

  mean: np.ndarray
  center: np.ndarray
  basis: np.ndarray
  deviations: np.ndarray
  slope: float
  axes: int

  @classmethod
  def fit(cls, rows: np.ndarray, most_axes: int = MOST_AXES) -> "Coordinates":
    """Estimates coordinates from draws.

    Args:
      rows: [n, own_size], draws.
      most_axes: Largest number of controlled axes.

    Raises:
      ValueError: All draws are the same.
    """
    rows = rows.astype(np.float64)
    slope, mean = _slope(rows), rows.mean(axis=0)
    rows = np.where(rows < 0.0, rows / slope, rows)
    center = rows.mean(axis=0)
    deviations, basis = _principal(rows - center)
    kept = deviations > _SMALLEST * deviations.max(initial=0.0)
    if not kept.any():
      raise ValueError("The mapping gives the same latent for all draws.")
    return cls(
      mean.astype(np.float32),
      center.astype(np.float32),
      basis[:, kept].astype(np.float32),
      deviations[kept].astype(np.float32),
      slope,
      min(most_axes, int(kept.sum())),
    )

  @classmethod
  def read(cls, path: str) -> "Coordinates":
    """Reads what `write` wrote."""
    with np.load(path, allow_pickle=False) as found:
      arrays = {name: found[name] for name in found.files}
    return cls(
      **arrays | {"slope": float(arrays["slope"]), "axes": int(arrays["axes"])}
    )

  def write(self, path: str) -> None:
    """Writes a file (.npz), whole or not at all."""
    with files.replacing(path) as aside:
      with open(aside, "wb") as file:
        np.savez(file, **vars(self))

  @property
  def size(self) -> int:
    """Size of our latents."""
    return len(self.deviations)

  def to_latents(self, own: tf.Tensor) -> tf.Tensor:
    """Returns our latents [batch, size] of w [batch, own_size].

    Components of w along no axis, which no mapping's output has, are lost.
    """
    own = tf.where(own < 0.0, own / self.slope, own)
    return tf.matmul(own - self.center, self.basis) / self.deviations

  def to_own(self, latents: tf.Tensor) -> tf.Tensor:
    """Returns w [batch, own_size] of our latents [batch, size]."""
    points = tf.matmul(latents * self.deviations, self.basis, transpose_b=True)
    points += self.center
    return tf.where(points < 0.0, self.slope * points, points)


def _principal(rows):
  """Returns deviations along the principal axes, falling, and these axes."""
  count, size = rows.shape
  if count > size:
    variances, axes = np.linalg.eigh(rows.T @ rows / (count - 1))
  else:
    # Fewer rows than dimensions span no more axes than there are rows.
    variances, shares = np.linalg.eigh(rows @ rows.T / (count - 1))
    axes = rows.T @ shares
    axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-30)
  deviations = np.sqrt(np.maximum(variances, 0.0))
  return deviations[::-1], axes[:, ::-1]


def _slope(rows):
  """Returns the slope of the leaky ReLU whose outputs rows are, or 1.

  Before it, a smooth density is the same on both sides of zero.
  """
  width = _AROUND * rows.std(axis=0)
  above = ((rows > 0.0) & (rows < width)).sum()
  apart = {1.0: np.inf}
  for slope in _SLOPES:
    below = ((rows < 0.0) & (rows > -slope * width)).sum()
    if min(below, above) >= _FEWEST:
      apart[slope] = abs(np.log(below / above))
  best = min(apart, key=apart.get)
  return best if apart[best] < _NEAR else 1.0
