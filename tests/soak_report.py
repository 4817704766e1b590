"""Whether a server grows, as a number, a sentence and a picture."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import figure
from matplotlib.backends import backend_agg
from PIL import Image
from scipy import stats

# Loads before which buffers, threads and caches are still being filled.
_WARM_UP = 0.25
_BLUE, _RED = "#0072B2", "#D55E00"


@dataclasses.dataclass(frozen=True)
class Trend:
  """How a quantity goes with the number of loads, after the warm-up.

  Attributes:
    loads: How many there were.
    first: Median over the first third of them.
    last: Median over the last third.
    per_load: Slope, by Theil and Sen: two versions that are there at once for
      a moment do not matter.
    line: Loads and values at both ends of the fitted line.
  """

  loads: int
  first: float
  last: float
  per_load: float
  line: tuple[Sequence[float], Sequence[float]]

  @property
  def growth(self) -> float:
    """What 200 loads add: the smaller of the slope's and the medians'.

    What grows for good shows in both; one alone is a matter of when memory was
    looked at.
    """
    between = (self.last - self.first) / max(1.0, self.loads * 2.0 / 3.0)
    return 200.0 * min(self.per_load, between)


def trend(samples: Sequence[Mapping[str, float]], name: str) -> Trend:
  """Returns the trend of a quantity.

  Args:
    samples: In the order of time, each with "loads" and the quantity.
    name: Of the quantity.
  """
  loads = np.array([sample["loads"] for sample in samples], float)
  values = np.array([sample[name] for sample in samples], float)
  warm = loads >= loads[0] + _WARM_UP * (loads[-1] - loads[0])
  loads, values = loads[warm], values[warm]
  # A straight line needs two places.
  if loads[0] == loads[-1]:
    slope, base = 0.0, float(np.median(values))
  else:
    with np.errstate(invalid="ignore"):  # Of an interval that is not used.
      slope, base = stats.theilslopes(values, loads)[:2]
  third = (loads[-1] - loads[0]) / 3.0
  ends = np.array([loads[0], loads[-1]])
  return Trend(
    int(loads[-1] - loads[0]),
    float(np.median(values[loads <= loads[0] + third])),
    float(np.median(values[loads >= loads[-1] - third])),
    float(slope),
    (ends.tolist(), (base + slope * ends).tolist()),
  )


def sentence(name: str, unit: str, found: Trend) -> str:
  """Says it."""
  return (
    f"{name}: {found.first:.1f} -> {found.last:.1f}{unit} (medians of the "
    f"first and the last third of {found.loads} loads after the warm-up), "
    f"slope {1e3 * found.per_load:+.2f}{unit} per 1000 loads"
  )


def picture(samples: Sequence[Mapping[str, float]]) -> Image.Image:
  """Draws memory, threads and open files over the loads."""
  chart = figure.Figure(figsize=(11, 7), dpi=100, layout="constrained")
  panels = {
    "memory": "memory (MB)",
    "threads": "threads",
    "files": "open files",
  }
  loads = [sample["loads"] for sample in samples]
  for axis, (name, label) in zip(
    chart.subplots(3, 1, sharex=True, height_ratios=(3, 1, 1)), panels.items()
  ):
    found = trend(samples, name)
    axis.plot(loads, [s[name] for s in samples], ".", color=_BLUE, markersize=3)
    axis.plot(*found.line, "-", color=_RED)
    axis.axvspan(loads[0], found.line[0][0], color="grey", alpha=0.15)
    axis.set(ylabel=label)
    axis.grid(alpha=0.3)
  axis.set(xlabel="versions loaded (grey: warm-up; red: the fitted line)")
  canvas = backend_agg.FigureCanvasAgg(chart)
  canvas.draw()
  return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
