"""A rule: a function of images, whose values become targets of a constraint."""

import math
from collections.abc import Callable

import numpy as np

from lc_keras.constraints import functions

# Tolerance for the rounding of values.
_ROUNDING = 1e-5


class Rule:
  """A function of images, checked, whose values become targets in [0, 1].

  A threshold turns values into targets (1 from there up), or a range does (1
  inside). Without either, values must be probabilities or degrees.

  >>> import numpy as np
  >>> import lc_keras
  >>> bright = lc_keras.Rule(lambda x: x.mean(axis=(1, 2, 3)), threshold=0.5)
  >>> images = np.stack([np.zeros([2, 2, 3]), np.ones([2, 2, 3])])
  >>> bright(images)
  array([0., 1.], dtype=float32)

  Attributes:
    name: "module:function", or another name of the rule.
    threshold: A number or None.
    target_range: (low, high) or None.
    notes: The scorer's notes about the first images; None before.
  """

  def __init__(
    self,
    rule: str | Callable | functions.Scorer,
    threshold: float | None = None,
    target_range: tuple[float, float] | str | None = None,
    batch_size: int = 256,
    are_images: bool = True,
  ):
    """Creates the rule.

    Args:
      rule: A function or "module:function", see `functions.Function`; or
        another `functions.Scorer`, see `learning.rules`.
      threshold: Values from here up become 1, those below 0.
      target_range: (low, high) or "low,high"; values from low to high, both
        included, become 1, others 0.
      batch_size: Most images in a call of the function.
      are_images: Whether its inputs are images; else they are other arrays [n,
        ...], of any shape and range.

    Raises:
      ValueError: The rule cannot be loaded or is not a function of one
        argument, both a threshold and a range are given, or one of the numbers
        is invalid.
    """
    if not isinstance(rule, functions.Scorer):
      rule = functions.Function(rule)
    self._scorer, self.name = rule, rule.name
    if threshold is not None and target_range is not None:
      raise ValueError(
        f"The rule {self.name} has a threshold, {threshold}, and a range, "
        f"{target_range}: give one of the two."
      )
    self.threshold = self.target_range = None
    if threshold is not None:
      self.threshold = _finite(threshold, "threshold")
    if target_range is not None:
      self.target_range = _range(target_range)
    if batch_size < 1:
      raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    self._batch_size, self._are_images = batch_size, are_images
    self._all_binary = True
    self.notes = None

  def __str__(self) -> str:
    if self.threshold is not None:
      return f"{self.name} >= {self.threshold:g}"
    if self.target_range is not None:
      low, high = self.target_range
      return f"{self.name} in [{low:g}, {high:g}]"
    return self.name

  @property
  def identity(self) -> dict:
    """JSON values that identify the rule in a manifest.

    "rule", its name; "threshold", a number or None; "range", [low, high] or
    None; and those of its scorer, such as "source_sha256", the checksum of the
    file that defines a function, when this object was created; None for a
    function without a file (built in, or typed in).
    """
    return {
      "threshold": self.threshold,
      "range": self.target_range and list(self.target_range),
      **self._scorer.identity,
    }

  @property
  def binary(self) -> bool:
    """Whether all targets returned so far are 0 or 1."""
    return self._all_binary

  def __call__(self, images: np.ndarray) -> np.ndarray:
    """Returns the targets of images, float32 [n] in [0, 1].

    Args:
      images: Floats [n, height, width, channels] in [0, 1], n at least 1.

    Raises:
      ValueError: As `values` and `targets`.
    """
    return self.targets(self.values(images))

  def values(self, images: np.ndarray) -> np.ndarray:
    """Returns the function's values of images, finite float32 [n].

    Args:
      images: Floats [n, height, width, channels] in [0, 1], n at least 1.

    Raises:
      ValueError: The images are invalid; or the function raised an error, wrote
        into its input, or returned another shape or non-finite numbers. The
        message says what, where, and what to do.
    """
    images = np.asarray(images)
    if images.dtype.kind != "f":
      raise ValueError(
        f"Rules look at images of floats in [0, 1], got {images.dtype}. "
        "Divide whole numbers from 0 to 255 by 255."
      )
    if not images.size or (self._are_images and images.ndim != 4):
      raise ValueError(
        "Rules look at images [n, height, width, channels], n at least 1, got "
        f"shape {list(images.shape)}."
      )
    batches = range(0, len(images), self._batch_size)
    return np.concatenate(
      [
        self._batch(images[start : start + self._batch_size])
        for start in batches
      ]
    )

  def targets(self, values: np.ndarray) -> np.ndarray:
    """Returns the targets of values, float32 [n] in [0, 1].

    Args:
      values: float32 [n], the result of `values`. A threshold or a range is
        compared with them as float32, so that 0.7 reaches 0.7.

    Raises:
      ValueError: There is neither threshold nor range, and a value lies
        outside of [0, 1] by more than rounding.
    """
    values = np.asarray(values, np.float32)
    if self.threshold is not None:
      return (values >= np.float32(self.threshold)).astype(np.float32)
    if self.target_range is not None:
      low, high = np.float32(self.target_range)
      return ((values >= low) & (values <= high)).astype(np.float32)
    outside = np.abs(values - 0.5) > 0.5 + _ROUNDING
    if outside.any():
      row = int(outside.argmax())
      raise ValueError(
        f"The rule {self.name} gives row {row} the value {values[row]:.7g}. "
        "Without a threshold or a range, values are taken as probabilities "
        f"and must lie in [0, 1]. {_spread(values)} Give a threshold (values "
        "from there up become 1) or a target range (values inside become 1), "
        f"for example the threshold {np.median(values):.4g}; or scale the "
        "values to [0, 1] in the rule."
      )
    targets = np.clip(values, 0.0, 1.0)
    self._all_binary &= bool(np.isin(targets, (0.0, 1.0)).all())
    return targets

  def check(self, images: np.ndarray, rare: bool = False) -> np.ndarray:
    """Checks the rule on a few images before anything is learned from it.

    Besides the checks of every call: the same images give the same values
    again, a value does not depend on the other images of a batch, nor on their
    number, and targets differ between images. The function is called with each
    image four times.

    Args:
      images: Floats [n, height, width, channels] in [0, 1], n at least 2;
        256 are a good number.
      rare: Skips the check that targets differ; the caller must draw more
        images and call `check_varies` with all values.

    Returns:
      float32 [n], the values of the images.

    Raises:
      ValueError: A check fails. The message says which, with an example, and
        what to do.
    """
    values = self.values(images)
    if len(values) < 2:
      raise ValueError(
        f"The rule {self.name} is to be checked on one image: give at least 2, "
        "better 256."
      )
    self.targets(values)
    images = np.asarray(images)
    self._check_same(values, self.values(images))
    self._check_independent(values, images)
    if not rare:
      self.check_varies(values)
    return values

  def check_varies(self, values: np.ndarray) -> None:
    """Checks that targets differ: a constant cannot be learned.

    Args:
      values: float32 [n], the result of `values`.

    Raises:
      ValueError: All targets are the same. The message gives the quantiles of
        the values where another threshold or range would help.
    """
    values = np.asarray(values, np.float32)
    targets = self.targets(values)
    if np.ptp(targets) > _ROUNDING:
      return
    message = (
      f"The rule {self} gives {targets[0]:.6g} to each of {len(targets)} "
      "images, and what is the same for every image cannot be learned. "
    )
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
      raise ValueError(
        f"{message}The function itself gives {values[0]:.6g} every time, so "
        "that no threshold and no range helps. Look whether it expects pixels "
        "from 0 to 255 (they are in [0, 1]) or rounds, or try more images if "
        "what it looks for is rare."
      )
    raise ValueError(
      f"{message}{_spread(values)} Choose {self._better_choice(values)}, or "
      "try more images if what it looks for is rare."
    )

  def _better_choice(self, values):
    if self.threshold is not None:
      return (
        f"a threshold above {values.min():.6g} and not above {values.max():.6g}"
      )
    return "a target range that some of these values lie in and others do not"

  def _batch(self, images):
    """Returns the values of a batch."""
    low, high = images.min(), images.max()
    bounds = (0.0, 1.0) if self._are_images else (-np.inf, np.inf)
    # Written so that NaN does not pass.
    if not (low >= bounds[0] - _ROUNDING and high <= bounds[1] + _ROUNDING):
      raise ValueError(
        f"Rules look at images in [0, 1], got values from {low:.6g} to "
        f"{high:.6g}. Scale what the generator decodes, for example by "
        "(x + 1) / 2 where it decodes to [-1, 1]."
      )
    # A copy: the caller's array must not become read-only.
    batch = np.clip(images, *bounds).astype(np.float32)
    batch.flags.writeable = False
    if self.notes is None:
      self.notes = self._scorer.look(batch)
    return self._scorer(batch)

  def _check_same(self, values, again):
    row = self._differs(values, again)
    if row is not None:
      raise ValueError(
        f"The rule {self.name} gives row {row} the value {values[row]:.7g}, "
        f"then {again[row]:.7g} for the same images. A rule must depend on the "
        "images alone: take out what is random, or seed it in the rule, and "
        "what it remembers from call to call."
      )

  def _check_independent(self, values, images):
    """Checks that values are the same in another order and in other batches."""
    count = len(images)
    shuffled = np.random.default_rng(0).permutation(count)
    moved = np.empty_like(values)
    moved[shuffled] = self.values(images[shuffled])
    # Low and high values in separate batches: values relative to the mean, the
    # median or the maximum of a batch change most. And one image alone: the
    # last batch of a data set may be as small.
    ranked = np.argsort(values, kind="stable")
    pieces = np.empty_like(values)
    for rows in (ranked[:1], ranked[1 : count // 2], ranked[count // 2 :]):
      if len(rows):
        pieces[rows] = self.values(images[rows])
    for other, how in (
      (moved, "the same images come in another order"),
      (pieces, "the same images come in smaller batches"),
    ):
      row = self._differs(values, other)
      if row is not None:
        raise ValueError(
          f"The rule {self.name} gives row {row} the value "
          f"{values[row]:.7g}, but {other[row]:.7g} when {how}. The value of "
          "an image must not depend on the others: no means, ranks or maxima "
          "over the first axis."
        )

  def _differs(self, values, other):
    """Returns the row that differs most, None if by rounding only."""
    difference = np.abs(values - other)
    if difference.max() <= self._scorer.rounding * np.abs(values).max():
      return None
    return int(difference.argmax())


def _finite(value, name):
  try:
    number = float(value)
  except (TypeError, ValueError) as error:
    raise ValueError(f"The {name} must be a number, got {value!r}.") from error
  if not math.isfinite(number):
    raise ValueError(f"The {name} must be a finite number, got {value!r}.")
  return number


def _range(target_range):
  if isinstance(target_range, str):
    target_range = target_range.split(",")
  try:
    low, high = map(float, target_range)
  except (TypeError, ValueError) as error:
    raise ValueError(
      f"The target range must be two numbers, (low, high), got "
      f"{target_range!r}."
    ) from error
  low, high = (_finite(edge, "target range") for edge in (low, high))
  if low > high:
    raise ValueError(
      f"The target range must be (low, high), got ({low:g}, {high:g}): did you "
      f"mean ({high:g}, {low:g})?"
    )
  return low, high


def _spread(values):
  """Returns a sentence with the quantiles of values."""
  low, some, middle, most, high = np.quantile(values, [0, 0.05, 0.5, 0.95, 1])
  return (
    f"The values of these images: {low:.4g} at the least, {some:.4g} (5%), "
    f"{middle:.4g} (median), {most:.4g} (95%), {high:.4g} at the most."
  )
