"""How much images differ that were made under one condition.

A system that draws the same face for every request can be read perfectly and
look real. Numpy in, plain dictionaries out.
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
  """Compares the spread of made images with that of real people.

  Args:
    made: For each condition [n, d], features of images that were made under
      it, as `by_labels` sorts them.
    real: The same of held-out images. Compared is under the conditions that
      both have at least two rows of.
    rows: At most so many rows of a condition are compared, drawn at random.
      Time grows with its square.
    resamples: Of the bootstrap; 0 leaves the intervals out.
    seed: Of the draws.

  Returns:
    "distance": Mean L2 distance between the features of two images that were
      made under the same condition. Conditions count by their made rows.
    "real_distance": The same of held-out images.
    "ratio": The first by the second: 1 is as diverse as real people.
    "intervals": 95% bootstrap intervals [low, high] of "distance" and "ratio";
      conditions are resampled, with all their rows.
    "conditions": How many were compared.

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
  """Sorts rows by all their labels.

  Args:
    features: [n, d].
    labels: [n, num_attributes] in {0, 1}.

  Returns:
    Label vectors, as tuples of int, to the features of the rows that have them.
  """
  labels = np.asarray(labels).astype(int)
  combinations, group = np.unique(labels, axis=0, return_inverse=True)
  return {
    tuple(combination.tolist()): features[group == index]
    for index, combination in enumerate(combinations)
  }


def _mean_distance(features, rows, generator):
  """Returns the mean L2 distance of pairs, of at most so many rows."""
  if len(features) > rows:
    features = features[generator.choice(len(features), rows, replace=False)]
  return distance.pdist(features).mean()
