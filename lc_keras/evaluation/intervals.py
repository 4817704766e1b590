"""Confidence intervals: of shares, and of anything by the bootstrap.

A resample of n rows is a vector of n weights that says how often each row was
drawn (Efron 1979), so that 1,000 resampled sums over rows are one product of
matrices, and statistics of the same rows share their resamples.
"""

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 1000


def weights(
  count: int, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
  """Draws bootstrap resamples of rows.

  Args:
    count: Number of rows, n.
    resamples: Number of resamples, of n rows each.
    seed: Seed of the draws.

  Returns:
    float64 [resamples, n]: how often each row was drawn; every resample sums
    to n.
  """
  generator = np.random.default_rng(seed)
  drawn = np.zeros([resamples, count])
  for resample in drawn:
    rows = generator.integers(count, size=count)
    resample[:] = np.bincount(rows, minlength=count)
  return drawn


def percentile(resampled: np.ndarray) -> list[float]:
  """Returns the 95% percentile interval [low, high] of resampled values.

  Args:
    resampled: [resamples], a statistic of each; NaN where a resample has no
      row that it could be computed from.
  """
  tail = (1 - LEVEL) / 2
  return np.nanquantile(resampled, [tail, 1 - tail]).tolist()


def normal(value: float, error: float) -> list[float]:
  """Returns the 95% interval [low, high] of a value of known standard error."""
  reach = stats.norm.ppf((1 + LEVEL) / 2) * error
  return [float(value - reach), float(value + reach)]


def share(indicators: np.ndarray) -> list[float]:
  """Returns the 95% interval [low, high] of a share of independent rows.

  It is Wilson's (1927). Unlike a bootstrap interval, it has a width if no row
  or every row is True: what did not occur in 64 rows may still occur.

  Args:
    indicators: [n] booleans, n at least 1; the share is their mean.
  """
  indicators = np.asarray(indicators, bool)
  return wilson(indicators.mean(), len(indicators))


def wilson(share_of_rows: float, count: float) -> list[float]:
  """Returns the interval of a share of `count` rows, see `share`.

  Args:
    share_of_rows: In [0, 1].
    count: Number of rows, above 0; if weighted, the effective number (Kish
      1965): the squared sum of the weights divided by the sum of their squares.
  """
  reach = stats.norm.ppf((1 + LEVEL) / 2) ** 2 / count
  middle = share_of_rows + reach / 2
  spread = np.sqrt(reach * (share_of_rows * (1 - share_of_rows) + reach / 4))
  return [
    float((middle - spread) / (1 + reach)),
    float((middle + spread) / (1 + reach)),
  ]


def means(values: np.ndarray, resampled_weights: np.ndarray) -> np.ndarray:
  """Returns the mean of every resample.

  Args:
    values: [n].
    resampled_weights: [resamples, n], the result of `weights`, or its columns
      for the rows that have values.

  Returns:
    [resamples]; NaN where none of the rows was drawn.
  """
  totals = resampled_weights.sum(axis=1)
  totals[totals == 0] = np.nan
  return resampled_weights @ np.asarray(values, np.float64) / totals
