"""Fidelity: compares made with real images, as sets of feature vectors.

Numpy in, plain dictionaries out. Figures for features of different networks, or
for different numbers of rows, cannot be compared: callers name the network
beside the figures.
"""

import numpy as np
import sklearn.metrics
import sklearn.neighbors
from scipy import linalg
from sklearn.metrics import pairwise

from lc_keras.evaluation import intervals

# A row's sphere reaches to this neighbour, as in Kynkaanniemi et al. 2019.
_NEIGHBOURS = 3


def fidelity(
  real: np.ndarray,
  made: np.ndarray,
  rows: int = 5000,
  resamples: int = intervals.RESAMPLES,
  seed: int = 0,
) -> dict:
  """Compares made images with real ones.

  All intervals take the real images as fixed, since systems are compared with
  the same ones.

  Args:
    real: [m, d], features of real images.
    made: [n, d], features of made images. Other real images give the floor,
      which a perfect system reaches. Reconstructions of the images in `real`
      can lie below it, since they show the same people: reconstruct others.
    rows: Most rows of each to compare, drawn at random. Time and memory grow
      with its square.
    resamples: Resamples of the bootstrap; 0 leaves all intervals out.
    seed: Seed of the draws.

  Returns:
    "fid": Frechet distance of the two normal distributions of the same moments
      (Heusel et al. 2017), in squared units of the features. It is biased: the
      fewer rows, the larger.
    "kid": Squared maximum mean discrepancy under the kernel (x.y / d + 1)^3,
      unbiased, so that it may be negative (Binkowski et al. 2018).
    "precision": Share of made rows that are nearer to some real row than its
      third real neighbour is (Kynkaanniemi et al. 2019); "recall": the same
      with made and real rows exchanged.
    "intervals": 95% intervals [low, high] of the four: of the FID from its
      standard error, see `frechet_distance`, around its expectation for this
      number of rows; of the KID by the bootstrap; Wilson's of the shares, with
      fixed spheres.
    "real_count" and "made_count": Numbers of rows that were compared.

  Raises:
    ValueError: The shapes disagree, there are fewer than 4 rows of either, or
      a feature is not finite.
  """
  real, made = _checked(real, made)
  generator = np.random.default_rng(seed)
  real, made = (
    features[np.sort(generator.permutation(len(features))[:rows])]
    for features in (real, made)
  )
  distance, error = frechet_distance(real, made)
  discrepancy, resampled = kernel_distance(real, made, resamples, seed)
  precise, recalled = within(real, made), within(made, real)
  result = {
    "fid": distance,
    "kid": discrepancy,
    "precision": float(precise.mean()),
    "recall": float(recalled.mean()),
    "real_count": len(real),
    "made_count": len(made),
  }
  if resamples:
    result["intervals"] = {
      "fid": intervals.normal(distance, error),
      "kid": intervals.percentile(resampled),
      "precision": intervals.share(precise),
      "recall": intervals.share(recalled),
    }
  return result


def frechet_distance(real: np.ndarray, made: np.ndarray) -> tuple[float, float]:
  """Returns the squared Frechet distance, and its standard error.

  With A and B, the centred rows divided by the root of their number less one,
  the covariances are A^T A and B^T B, and the distance is
  |mu - nu|^2 + |A|^2 + |B|^2 - 2 |A B^T|_*. The nuclear norm equals the
  trace of the root of the covariances' product; its matrix is of rows by rows,
  however many features there are.

  The standard error, over draws of made rows, is that of the sum of the rows'
  influences (the delta method). A bootstrap would be biased: a resample repeats
  rows, which adds to the distance about as much as halving the number of rows.

  Args:
    real: [m, d].
    made: [n, d].
  """
  real, made = np.asarray(real, np.float64), np.asarray(made, np.float64)
  shift = made.mean(axis=0) - real.mean(axis=0)
  real, made = (
    (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1) for rows in (real, made)
  )
  # With fewer features than rows, the triangular factor is smaller.
  (triangle,) = linalg.qr(real, mode="r", check_finite=False)
  factor, other = linalg.qr(made, mode="economic", check_finite=False)
  _, roots, right = linalg.svd(
    triangle[: real.shape[1]] @ other.T, full_matrices=False
  )
  # The gradient of the norm for B^T B is A^T U diag(1 / (2 roots)) U^T A, and
  # U^T A b is diag(roots) times the right vectors' entries for the row b.
  overlaps = np.square(factor @ right.T) @ roots
  squares = np.square(made).sum(axis=1)
  root = np.sqrt(len(made) - 1)
  influences = 2 * root * made @ shift + root**2 * (squares - overlaps)
  distance = (
    shift @ shift + np.square(real).sum() + squares.sum() - 2 * roots.sum()
  )
  return float(distance), float(influences.std() / np.sqrt(len(made)))


def kernel_distance(
  real: np.ndarray, made: np.ndarray, resamples: int = 0, seed: int = 0
) -> tuple[float, np.ndarray]:
  """Returns the unbiased squared discrepancy, and that of resamples.

  Args:
    real: [m, d].
    made: [n, d].
    resamples: Number of resamples of the made rows, r. A row that is drawn
      twice forms no pair with itself: such pairs would add to the discrepancy.
    seed: Seed of the draws.

  Returns:
    The discrepancy, and [r].
  """
  real, made = np.asarray(real, np.float64), np.asarray(made, np.float64)
  own = pairwise.polynomial_kernel(real)
  constant = (own.sum() - np.trace(own)) / (len(real) * (len(real) - 1))
  kernel = pairwise.polynomial_kernel(made)
  np.fill_diagonal(kernel, 0)
  across = pairwise.polynomial_kernel(made, real).mean(axis=1)

  def discrepancy(weights):
    total = weights.sum(axis=1)
    pairs = np.square(total) - np.square(weights).sum(axis=1)
    # NaN for a resample of one row alone, which has no pairs.
    with np.errstate(invalid="ignore"):
      inside = np.sum(weights @ kernel * weights, axis=1) / pairs
    return constant + inside - 2 * (weights @ across) / total

  (value,) = discrepancy(np.ones([1, len(made)]))
  return float(value), discrepancy(
    intervals.weights(len(made), resamples, seed)
  )


def within(support: np.ndarray, features: np.ndarray) -> np.ndarray:
  """Returns which rows lie in spheres of others (Kynkaanniemi et al. 2019).

  Args:
    support: [m, d], each the centre of a sphere that reaches to its third
      neighbour.
    features: [n, d].

  Returns:
    Booleans [n]: whether the row is in some sphere.
  """
  index = sklearn.neighbors.NearestNeighbors(
    n_neighbors=_NEIGHBOURS, algorithm="brute"
  )
  # Without an argument, a row does not count as its own neighbour.
  distances, _ = index.fit(support).kneighbors()
  radii = distances[:, -1]
  chunks = sklearn.metrics.pairwise_distances_chunked(
    features, support, reduce_func=lambda chunk, _: (chunk <= radii).any(axis=1)
  )
  return np.concatenate(list(chunks))


def _checked(real, made):
  """Returns both as arrays, or raises ValueError."""
  real, made = np.asarray(real), np.asarray(made)
  for name, features in (("real", real), ("made", made)):
    if features.ndim != 2 or len(features) < _NEIGHBOURS + 1:
      raise ValueError(
        f"{name} features must have shape [n, d] with n at least "
        f"{_NEIGHBOURS + 1}, got {list(features.shape)}."
      )
    if not np.isfinite(features).all():
      raise ValueError(f"{name} features must be finite.")
  if real.shape[1] != made.shape[1]:
    raise ValueError(
      "Features must be of one network, got "
      f"{real.shape[1]} and {made.shape[1]} of them."
    )
  return real, made
