"""What a benchmark writes down: ratios of neighbours, and of which machine."""

import os
from collections.abc import Sequence

import numpy as np
import psutil

from trainers import provenance


def comparison(
  name: str, unit: str, ours: Sequence[float], peer: Sequence[float]
) -> dict:
  """Returns how two things compare that were measured in turn.

  Args:
    name: What is compared.
    unit: Of the values.
    ours: A value per round.
    peer: The same of what we compare with.
  """
  ratios = np.array(ours, float) / np.array(peer, float)
  return {
    "name": name,
    "unit": unit,
    "ours": float(np.median(ours)),
    "peer": float(np.median(peer)),
    "ratio": spread(ratios),
  }


def alone(name: str, unit: str, ours: Sequence[float]) -> dict:
  """Returns what was measured where there is nothing to compare it with.

  Args:
    name: What it is.
    unit: Of the values.
    ours: A value per round.
  """
  return {
    "name": name,
    "unit": unit,
    "ours": float(np.median(ours)),
    "peer": None,
    "ratio": None,
    "rates": {"ours": [float(value) for value in ours]},
  }


def spread(values: Sequence[float]) -> dict:
  """Returns the middle and the ends of values."""
  return {
    "median": float(np.median(values)),
    "min": float(np.min(values)),
    "max": float(np.max(values)),
  }


def target(name: str, wanted: str, measured: float, is_met: bool) -> dict:
  """Returns what was to be reached, and whether it was."""
  return {
    "name": name,
    "wanted": wanted,
    "measured": float(measured),
    "met": bool(is_met),
  }


def machine() -> dict:
  """Returns what it is, and how much of it others use; takes two seconds."""
  busy = psutil.cpu_percent(2.0) / 100.0 * (os.cpu_count() or 1)
  return {
    "processor": provenance.processor(),
    "cores": os.cpu_count(),
    "cores_busy_before": round(busy, 2),
    "load_average": [round(value, 2) for value in os.getloadavg()],
  }
