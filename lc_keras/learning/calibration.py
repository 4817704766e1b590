"""Calibration of learned critics, and their quality on held-out rows."""

import numpy as np
import tensorflow as tf
from scipy import special
from sklearn import linear_model

from lc_keras.data import latents as latents_lib
from lc_keras.evaluation import intervals
from lc_keras.learning import examples as example_sets
from lc_keras.models import value_model

# Least balanced accuracy of a trustworthy critic.
BAR = 0.85
# A search must at least reach the target's side of 0.5.
_LARGEST_MARGIN = 0.45
_RESAMPLES = 500
_BINS = 10
_BATCH_SIZE = 4096


def calibrate(
  model: value_model.ValueModel, examples: example_sets.Examples
) -> dict:
  """Calibrates a model's logits to log odds, and returns figures of them.

  Each row is read by the member that was not trained on it. A slope and a shift
  turn these logits into log odds (Platt 1999), and become those of the model.

  Args:
    model: A model that was trained on the rows.
    examples: The rows, which must not be edits that followed the model.

  Returns:
    JSON values: "rows", "on" (share of rows, by weight), and, each with
    "value" and "interval" (95%): "balanced_accuracy" (mean of the share of on
    rows read on and of off rows read off; by Wilson's intervals of both),
    "f1" and "accuracy" (by the bootstrap); and "calibration_error" (mean
    distance of a probability from the share of rows that are on, over ten
    bins), a bare number.
  """
  logits = _held_out(model, examples)
  slope, shift = platt(logits, examples.value, examples.weight)
  model.calibrate(slope, shift)
  probabilities = special.expit(slope * logits + shift)
  return figures(probabilities, examples.value, examples.weight)


def margin(
  model: value_model.ValueModel, examples: example_sets.Examples, noise: float
) -> list[float]:
  """Returns how far from 0 and 1 a model reads rows that are off, and on.

  This is the 75% quantile of either kind. With few labels, or where an
  attribute is hard to see, a model is never certain, and a search that requires
  certainty leaves the set of images.

  Args:
    model: The calibrated model.
    examples: Rows of either kind.
    noise: Noise on the latents, as a multiple of the posterior's scale.
  """
  random = np.random.default_rng(0)
  latents = examples.mean + noise * examples.scale * random.normal(
    size=examples.mean.shape
  )
  read = special.expit(
    model.predict(np.float32(latents), batch_size=_BATCH_SIZE, verbose=0)
  )
  away = np.abs(read - examples.on)
  return [
    min(float(np.quantile(away[kind], 0.75)), _LARGEST_MARGIN)
    for kind in (~examples.on, examples.on)
  ]


def figures(
  probabilities: np.ndarray, value: np.ndarray, weight: np.ndarray
) -> dict:
  """Returns figures of probabilities, see `calibrate`.

  Args:
    probabilities: [n] in [0, 1].
    value: [n] in [0, 1].
    weight: [n] above 0.
  """
  read, on = probabilities > 0.5, value > 0.5
  # The confusion matrix, from which all shares follow.
  counts = np.stack([on & read, on & ~read, ~on & read, ~on & ~read], axis=1)
  counts = counts * weight[:, np.newaxis]
  whole = _shares(counts.sum(axis=0))
  drawn = intervals.weights(len(value), _RESAMPLES) @ counts
  resampled = _shares(drawn.T)
  result = {
    "rows": len(value),
    "on": float(np.average(on, weights=weight)),
  }
  for name, share in whole.items():
    result[name] = {
      "value": float(share),
      "interval": intervals.percentile(resampled[name]),
    }
  # A rare kind has few rows, all of which may be read correctly by chance,
  # which no resample of them shows.
  result["balanced_accuracy"]["interval"] = _mean_of_shares(
    [(read[kind] == on[kind], weight[kind]) for kind in (on, ~on)]
  )
  result["calibration_error"] = _calibration_error(probabilities, value, weight)
  return result


def of_latents(
  model: value_model.ValueModel,
  latents: latents_lib.Latents,
  value: np.ndarray,
) -> dict:
  """Returns figures of a model on the posterior means of held-out rows.

  Args:
    model: The calibrated model.
    latents: A split that it was not trained on, n rows.
    value: [n] in [0, 1].
  """
  means = latents.take(slice(None)).mean
  logits = model.predict(means, batch_size=_BATCH_SIZE, verbose=0)
  return figures(special.expit(logits), value, np.ones(len(value)))


def trustworthy(known: dict) -> bool:
  """Returns whether the interval of balanced accuracy is above `BAR`."""
  return known["balanced_accuracy"]["interval"][0] >= BAR


def _held_out(model, examples):
  """Returns [n], the logit of each row by the member not trained on it."""
  logits = [
    model.by_member(tf.constant(examples.mean[i : i + _BATCH_SIZE])).numpy()
    for i in range(0, len(examples), _BATCH_SIZE)
  ]
  rows = np.arange(len(examples))
  return np.concatenate(logits)[rows, examples.fold]


def platt(logits, value, weight):
  """Fits slope and shift; a row of value v is on with weight v, else off."""
  regression = linear_model.LogisticRegression()
  labels = np.repeat([1, 0], len(value))
  weights = np.concatenate([weight * value, weight * (1.0 - value)])
  column = np.tile(logits, 2)[:, np.newaxis]
  regression.fit(column, labels, weights)
  # A critic that is wrong more often than not gets slope 0, not a negative one.
  slope = max(float(regression.coef_[0, 0]), 0.0)
  return slope, float(regression.intercept_[0])


def _shares(counts):
  """Returns shares of counts of (on read on, on read off, off read on, ...)."""
  hit, miss, alarm, right = counts
  with np.errstate(invalid="ignore", divide="ignore"):
    return {
      "balanced_accuracy": 0.5 * (hit / (hit + miss) + right / (alarm + right)),
      "f1": 2 * hit / (2 * hit + miss + alarm),
      "accuracy": (hit + right) / (hit + miss + alarm + right),
    }


def _mean_of_shares(kinds):
  """Returns the 95% interval of the mean of independent shares.

  It combines the Wilson interval of each (Zou and Donner 2008).

  Args:
    kinds: For each share, which rows are right, and the rows' weights.
  """
  middle, below, above = 0.0, 0.0, 0.0
  for right, weight in kinds:
    if not len(right):
      return [float("nan")] * 2
    share = np.average(right, weights=weight)
    count = weight.sum() ** 2 / np.square(weight).sum()
    low, high = intervals.wilson(share, count)
    middle += share / len(kinds)
    below += ((share - low) / len(kinds)) ** 2
    above += ((high - share) / len(kinds)) ** 2
  return [float(middle - np.sqrt(below)), float(middle + np.sqrt(above))]


def _calibration_error(probabilities, value, weight):
  bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
  gaps = np.bincount(bins, weight * (probabilities - value), _BINS)
  return float(np.abs(gaps).sum() / weight.sum())
