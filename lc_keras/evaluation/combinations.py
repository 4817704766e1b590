"""Combinations of attributes that training never saw."""

import numpy as np


def unseen(
  train_labels: np.ndarray, attributes, count: int, seed: int = 0
) -> np.ndarray | None:
  """Draws labels whose combination does not occur in the training labels.

  A combination is one request away from one that does occur, so that it is
  rare but no nonsense, and holds nothing that rules out another part of it; nor
  does it lack all of what exclude each other, where no training label does.

  Args:
    train_labels: [m, num_attributes] in {0, 1}.
    attributes: An `attributes.Attributes`.
    count: Rows to draw. Combinations come up again only where there are fewer.
    seed: Of the draw.

  Returns:
    float32 [count, num_attributes] in {0, 1}; None if training has seen all.
  """
  seen = np.unique(np.asarray(train_labels, np.float32), axis=0)
  reached = np.concatenate(
    [
      attributes.request(seen, name, on)[0]
      for name in attributes.names
      for on in (True, False)
    ]
  )
  # Contradictions in the training labels are not handed on.
  legal = ~np.any((reached @ attributes.excludes) * reached, axis=1)
  for group in attributes.exclusive:
    columns = [attributes.index(name) for name in group]
    if seen[:, columns].any(axis=1).all():
      # Everything is one of them: a garment of no kind is nonsense.
      legal &= reached[:, columns].any(axis=1)
  candidates = np.unique(reached[legal], axis=0)
  known = set(map(tuple, seen))
  new = np.array([tuple(row) not in known for row in candidates], bool)
  if not new.any():
    return None
  order = np.random.default_rng(seed).permutation(np.flatnonzero(new))
  return candidates[np.resize(order, count)]
