"""Combinations of attributes that do not occur in training."""

import numpy as np


def unseen(
  train_labels: np.ndarray, attributes, count: int, seed: int = 0
) -> np.ndarray | None:
  """Draws labels whose combination does not occur in the training labels.

  A combination is one request away from one that does occur, so that it is rare
  but plausible. It has no two attributes that exclude each other, and one of
  every exclusive group of which each training row has one.

  Args:
    train_labels: [m, num_attributes] in {0, 1}.
    attributes: An `attributes.Attributes`.
    count: Rows to draw. Combinations repeat only if there are fewer.
    seed: Seed of the draw.

  Returns:
    float32 [count, num_attributes] in {0, 1}; None if all occur in training.
  """
  seen = np.unique(np.asarray(train_labels, np.float32), axis=0)
  reached = np.concatenate(
    [
      attributes.request(seen, name, on)[0]
      for name in attributes.names
      for on in (True, False)
    ]
  )
  # Drops contradictions that come from the training labels.
  legal = ~np.any((reached @ attributes.excludes) * reached, axis=1)
  for group in attributes.exclusive:
    columns = [attributes.index(name) for name in group]
    if seen[:, columns].any(axis=1).all():
      # Every row is one of them: a garment of no kind is not plausible.
      legal &= reached[:, columns].any(axis=1)
  candidates = np.unique(reached[legal], axis=0)
  known = set(map(tuple, seen))
  new = np.array([tuple(row) not in known for row in candidates], bool)
  if not new.any():
    return None
  order = np.random.default_rng(seed).permutation(np.flatnonzero(new))
  return candidates[np.resize(order, count)]
