"""Scores of attributes: for each, and as weighted and macro averages.

Accuracy alone misleads where attributes are rare ("no" is always right for 97%
of heads when 3% are bald), so precision, recall and F1 are given, too, and
`majority_scores` is the baseline. Numpy in, plain dictionaries out.
"""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from lc_keras.evaluation import intervals


def attribute_scores(
  probabilities: np.ndarray,
  labels: np.ndarray,
  names: Sequence[str],
  threshold: float = 0.5,
  focus: np.ndarray | None = None,
  resamples: int = intervals.RESAMPLES,
  seed: int = 0,
) -> dict:
  """Scores a classifier's readings against labels.

  >>> read = [[0.9, 0.2], [0.7, 0.6]]
  >>> scores = attribute_scores(read, np.eye(2), ["Male", "Young"])
  >>> scores["attributes"]["Male"]["precision"], scores["accuracy"]
  (0.5, 0.75)

  Args:
    probabilities: [n, num_attributes] in [0, 1], the classifier's.
    labels: [n, num_attributes] in {0, 1}; NaN is unknown and not scored.
    names: The attributes, in the order of the columns.
    threshold: A probability above it reads as "on".
    focus: None; or [n] whole numbers, for a split whose rows were each drawn
      for one attribute, so that it is on in half of its rows however rare it
      is: the column that a row was drawn for, the only one it is scored in.
      Rows with other numbers are left out.
    resamples: Resamples of the bootstrap; 0 leaves the intervals out.
    seed: Seed of the resamples.

  Returns:
    "accuracy" over all cells; "weighted_precision", "weighted_recall" and
    "weighted_f1", averages over attributes by their number of positive rows;
    "macro_precision", "macro_recall" and "macro_f1", plain averages;
    "intervals", which maps these seven to their 95% bootstrap intervals [low,
    high], rows resampled; "count", n, or the rows with a focus; and
    "attributes", which maps each name to its "accuracy", "precision", "recall",
    "f1", "support" (positive rows) and "positive_rate" (the share of rows that
    read as "on"); an attribute without scored rows maps to None and is in no
    average. A ratio with an empty denominator (nothing reads as "on", or no
    positive row) is 0.

  Raises:
    ValueError: Shapes, ranges or the number of names are wrong, n is 0, or no
      row has a focus among the columns.
  """
  probabilities, labels = _checked(probabilities, labels, names)
  read, wanted = probabilities > threshold, labels > 0.5
  scored = ~np.isnan(labels)
  if focus is not None:
    focus = np.asarray(focus)
    if focus.shape != labels.shape[:1]:
      raise ValueError(
        f"focus must have one column number for each of the {len(labels)} "
        f"rows, got shape {list(focus.shape)}."
      )
    scored &= focus[:, np.newaxis] == np.arange(len(names))
    if not scored.any():
      raise ValueError(
        f"No row has a focus from 0 to {len(names) - 1}, so there is nothing "
        f"to score; found {sorted(set(focus.tolist()))[:10]}."
      )
  weights = None if scored.all() else scored.sum(axis=0)
  if focus is None and not scored.any():
    raise ValueError("No label is known: there is nothing to score.")
  attributes = {
    name: _attribute(read[rows, k], wanted[rows, k]) if rows.any() else None
    for k, (name, rows) in enumerate(zip(names, scored.T))
  }
  count = len(labels) if focus is None else int(scored.sum())
  result = _averages(attributes, count, weights)
  if resamples:
    result["intervals"] = _intervals(read, wanted, scored, resamples, seed)
  return result


def majority_scores(
  train_labels: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> dict:
  """Scores the answer that is right most often, whatever the image.

  Args:
    train_labels: [m, num_attributes] in {0, 1}: their majority is the answer.
    labels: [n, num_attributes] in {0, 1}, scored against.
    names: The attributes, in the order of the columns.

  Returns:
    As `attribute_scores`.
  """
  train_labels, labels = np.asarray(train_labels), np.asarray(labels)
  if train_labels.ndim != 2 or not len(train_labels):
    raise ValueError(
      "train_labels must have shape [m, num_attributes] with at least one row, "
      f"got {list(train_labels.shape)}."
    )
  known = ~np.isnan(train_labels)
  rates = np.where(known, train_labels, 0.0).sum(axis=0, dtype=np.float64)
  rates /= np.maximum(known.sum(axis=0), 1)
  return attribute_scores(np.tile(rates, [len(labels), 1]), labels, names)


def _attribute(read, wanted):
  """Scores one attribute: booleans read and wanted, [n] each."""
  # labels=[True] rather than average="binary": also right where all rows agree.
  precision, recall, f1, support = metrics.precision_recall_fscore_support(
    wanted, read, labels=[True], zero_division=0
  )
  return {
    "accuracy": float(np.mean(read == wanted)),
    "precision": float(precision[0]),
    "recall": float(recall[0]),
    "f1": float(f1[0]),
    "support": int(support[0]),
    "positive_rate": float(np.mean(read)),
  }


def _averages(attributes, count, weights):
  """Averages scores of attributes; `weights` are their numbers of cells."""
  scored = [scores for scores in attributes.values() if scores]
  weights = None if weights is None else weights[weights > 0]
  accuracies = [scores["accuracy"] for scores in scored]
  result = {
    "count": count,
    "accuracy": float(np.average(accuracies, weights=weights)),
  }
  support = np.array([scores["support"] for scores in scored])
  for score in ("precision", "recall", "f1"):
    values = np.array([scores[score] for scores in scored])
    # Without a positive row anywhere the weighted average is 0, like its terms.
    weighted = values @ support / max(support.sum(), 1)
    result[f"weighted_{score}"] = float(weighted)
    result[f"macro_{score}"] = float(values.mean())
  return result | {"attributes": attributes}


def _intervals(read, wanted, scored, resamples, seed):
  """Returns the intervals of all averages: booleans [n, num_attributes] each.

  Scores depend on sums over rows, and the sums of all resamples are matrix
  products, computed at once.
  """
  columns = scored.any(axis=0)
  read, wanted, scored = (
    array[:, columns] for array in (read & scored, wanted & scored, scored)
  )
  weights = intervals.weights(len(scored), resamples, seed)
  hits, reads, support, right, cells = (
    weights @ array
    for array in (
      read & wanted,
      read,
      wanted,
      (read == wanted) & scored,
      scored,
    )
  )
  result = {
    "accuracy": right.sum(axis=1) / np.maximum(cells.sum(axis=1), 1),
  }
  for score, part, whole in (
    ("precision", hits, reads),
    ("recall", hits, support),
    ("f1", 2 * hits, reads + support),
  ):
    values = part / np.maximum(whole, 1)
    total = np.maximum(support.sum(axis=1), 1)
    result[f"weighted_{score}"] = np.sum(values * support, axis=1) / total
    result[f"macro_{score}"] = values.mean(axis=1)
  return {
    name: intervals.percentile(resampled) for name, resampled in result.items()
  }


def _checked(probabilities, labels, names):
  """Returns both as arrays, or raises ValueError."""
  probabilities, labels = np.asarray(probabilities), np.asarray(labels, float)
  if labels.ndim != 2 or not len(labels) or labels.shape[1] != len(names):
    raise ValueError(
      "labels must have shape [n, num_attributes] with at least one row and a "
      f"column for each of {len(names)} names, got {list(labels.shape)}."
    )
  if probabilities.shape != labels.shape:
    raise ValueError(
      "probabilities must have the shape of labels, "
      f"{list(labels.shape)}, got {list(probabilities.shape)}."
    )
  wrong = np.argwhere(~(np.isin(labels, (0, 1)) | np.isnan(labels)))
  if len(wrong):
    row, column = wrong[0]
    raise ValueError(
      f"labels must be 0 or 1, and {names[column]} of row {row} is "
      f"{labels[row, column]:g}; round degrees to 0 or 1 first."
    )
  if not ((probabilities >= 0) & (probabilities <= 1)).all():
    raise ValueError(
      "probabilities must lie in [0, 1] and be finite; if these are logits, "
      "take their sigmoid first."
    )
  return probabilities, labels
