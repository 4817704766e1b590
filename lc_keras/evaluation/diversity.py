"""Diversity of images that were made under one condition.

A system that makes the same face for every request can have perfect scores and
fidelity. Numpy in, plain dictionaries out.
"""

from collections.abc import Hashable, Mapping

import numpy as np
from scipy.spatial import distance

from lc_keras.evaluation import intervals


def diversity(
  made: Mapping[Hashable, np.ndarray],
  real: Mapping[Hashable, np.ndarray],
  rows: int = 500,
  resamples: int = intervals.RESAMPLES,
  seed: int = 0,
) -> dict:
  """Compares the spread of made images with that of real images.

  Args:
    made: For each condition [n, d], features of images that were made under
      it, see `by_labels`.
    real: The same for held-out images. Conditions count if both have at least
      two rows.
    rows: Most rows of a condition to compare, drawn at random. Time grows with
      its square.
    resamples: Resamples of the bootstrap; 0 leaves the intervals out.
    seed: Seed of the draws.

  Returns:
    "distance": Mean L2 distance between the features of two images that were
      made under the same condition; conditions are weighted by made rows.
    "real_distance": The same for held-out images.
    "ratio": The first divided by the second: 1 is as diverse as real images.
    "intervals": 95% bootstrap intervals [low, high] of "distance" and "ratio";
      conditions are resampled, with all their rows.
    "conditions": Number of conditions that were compared.

  Raises:
    ValueError: No condition has two rows of both.
  """
  shared = [
    key
    for key in made
    if key in real and min(len(made[key]), len(real[key])) > 1
  ]
  if not shared:
    raise ValueError(
      "Diversity needs a condition with two made and two real rows; there are "
      f"{len(made)} conditions of made and {len(real)} of real rows."
    )
  generator = np.random.default_rng(seed)
  counts = np.array([len(made[key]) for key in shared])
  totals, real_totals = (
    counts * [_mean_distance(sets[key], rows, generator) for key in shared]
    for sets in (made, real)
  )
  result = {
    "distance": float(totals.sum() / counts.sum()),
    "real_distance": float(real_totals.sum() / counts.sum()),
    "ratio": float(totals.sum() / real_totals.sum()),
    "conditions": len(shared),
  }
  if resamples:
    weights = intervals.weights(len(shared), resamples, seed)
    drawn = weights @ totals
    result["intervals"] = {
      "distance": intervals.percentile(drawn / (weights @ counts)),
      "ratio": intervals.percentile(drawn / (weights @ real_totals)),
    }
  return result


def by_labels(
  features: np.ndarray, labels: np.ndarray
) -> dict[tuple, np.ndarray]:
  """Groups rows by their labels.

  Args:
    features: [n, d].
    labels: [n, num_attributes] in {0, 1}.

  Returns:
    By label vector, a tuple of int, the features of the rows that have it.
  """
  labels = np.asarray(labels).astype(int)
  combinations, group = np.unique(labels, axis=0, return_inverse=True)
  return {
    tuple(combination.tolist()): features[group == index]
    for index, combination in enumerate(combinations)
  }


def _mean_distance(features, rows, generator):
  """Returns the mean L2 distance of pairs, of at most `rows` rows."""
  if len(features) > rows:
    features = features[generator.choice(len(features), rows, replace=False)]
  return distance.pdist(features).mean()
