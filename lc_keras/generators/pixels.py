"""Detects the pixel range of a model from its images of a few draws."""

from collections.abc import Sequence

import numpy as np

# Kind of values that are not pixels.
ANY = "any"
# Ranges of pixels that are in use: of a sigmoid, of a tanh, and bytes.
_UNIT, _SYMMETRIC, _BYTES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)
# Shares of the width of the pixel range: the tolerance for rounding, and the
# least that images use.
_TOLERANCE = 0.01
_LEAST_USED = 0.02
# Share of pixels that may lie outside the range, as those of a network without
# an activation at its end do.
_MOST_OUTSIDE = 0.05


def settle(
  pixels: np.ndarray,
  far: np.ndarray | None,
  pixel_range: Sequence[float] | None,
  kind: str,
) -> tuple[list[float], list[str]]:
  """Returns the values of black and white, and sentences about pixels.

  Args:
    pixels: The model's images of draws of the prior, of its own type.
    far: Its images of latents far outside the prior, where a sigmoid or a tanh
      stays within its bounds and other outputs exceed them; or None.
    pixel_range: The user's range, or None.
    kind: One of `conventions.PIXELS`; or ANY, for outputs that are not images.

  Raises:
    ValueError: The pixels fit neither the user's range nor one in use; the
      message describes them.
  """
  lowest, highest = float(pixels.min()), float(pixels.max())
  seen = f"pixels from {lowest:.4g} to {highest:.4g}"
  if np.ptp(pixels, axis=0).max() <= 1e-6 * (highest - lowest):
    raise ValueError(
      f"The model makes the same image of all latent vectors, {seen}: is this "
      "the right function, and is it trained?"
    )
  if kind == ANY:
    seen = f"values from {lowest:.4g} to {highest:.4g}"
    return list(_UNIT), [f"In {len(pixels)} draws of the prior it made {seen}."]
  found = _found(pixels, far)
  if kind == "logits":
    if found == _UNIT:
      raise ValueError(
        f"The model makes {seen}, which are values in [0, 1] and not logits: "
        "leave --pixels=logits out."
      )
    return list(pixel_range or _UNIT), [f"It makes logits, {seen}."]
  if pixel_range is None and found is None:
    raise ValueError(
      f"The model makes {seen}, which fit no usual range of pixels. "
      f"{_hint(pixels, far)}"
    )
  low, high = found if pixel_range is None else map(float, pixel_range)
  outside, used = _measure(pixels, (low, high))
  narrower = found not in (None, (low, high))
  if outside > _MOST_OUTSIDE or (used < _LEAST_USED and narrower):
    raise ValueError(
      f"The model makes {seen}, which does not fit --pixel_range={low:g},"
      f"{high:g}: {outside:.0%} of them lie outside, and they use "
      f"{max(used, 0.0):.1%} of it. {_hint(pixels, far)}"
    )
  notes = [f"In {len(pixels)} draws of the prior it made {seen}."]
  if pixel_range is None and found != _UNIT:
    notes.append(f"Taken for black and white: {low:g} and {high:g}.")
  if outside:
    notes.append(f"{outside:.2%} of pixels lie outside the range: clipped.")
  if used < _LEAST_USED:
    notes.append("They use little of the range: is the model trained?")
  return [low, high], notes


def _found(pixels, far):
  """Returns the range in use that pixels fit; None if there is none."""
  if pixels.dtype.kind in "iu":
    return _BYTES
  for bounds in (_UNIT, _SYMMETRIC, _BYTES):
    outside, used = _measure(pixels, bounds)
    if outside > _MOST_OUTSIDE or (bounds == _BYTES and used < _LEAST_USED):
      continue
    # Values that lie between -1 and 1 by chance may be logits.
    if bounds != _SYMMETRIC or (
      far is not None and not _measure(far, bounds)[0]
    ):
      return bounds
  return None


def _measure(pixels, bounds):
  """Returns the share of pixels outside of bounds, and of the bounds in use."""
  low, high = bounds
  margin = _TOLERANCE * (high - low)
  outside = ((pixels < low - margin) | (pixels > high + margin)).mean()
  used = min(pixels.max(), high) - max(pixels.min(), low)
  return float(outside), float(used) / (high - low)


def _hint(pixels, far):
  """Returns a sentence that suggests options for pixels."""
  found = _found(pixels, far)
  if found:
    return "They fit --pixel_range={:g},{:g}.".format(*found)
  if pixels.min() < 0.0 < pixels.max():
    hint = "These look like logits: --pixels=logits takes their sigmoid."
    if not _measure(pixels, _SYMMETRIC)[0]:
      hint += " (If black is -1 and white is 1: --pixel_range=-1,1.)"
    return hint
  return "Give the model's values for black and white, --pixel_range=LOW,HIGH."
