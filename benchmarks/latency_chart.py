"""A chart of how long calls take: of the most, and of the slowest few."""

from collections.abc import Mapping

import numpy as np
from matplotlib import figure
from PIL import Image

from lc_keras import plotting

_LINES = ("-", "--", ":")
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9)


def draw(
  panels: Mapping[str, Mapping[tuple[str, str], np.ndarray]],
) -> Image.Image:
  """Draws latencies by percentile.

  Args:
    panels: By title, latencies in seconds by what was asked (which has a
      colour) and how (which has a line; "" for no way in particular).
  """
  chart = figure.Figure(figsize=(13, 4.5), dpi=100, layout="constrained")
  axes = chart.subplots(1, len(panels), squeeze=False)[0]
  for axis, (title, latencies) in zip(axes, panels.items()):
    styles = dict(
      zip(dict.fromkeys(key[0] for key in latencies), plotting.styles())
    )
    lines = dict(zip(dict.fromkeys(key[1] for key in latencies), _LINES))
    for (what, how), values in latencies.items():
      # As far as the calls go: of 100, nobody knows the slowest in a thousand.
      percents = [p for p in _TICKS if len(values) * (1 - p / 100) >= 1]
      axis.plot(
        _places(percents),
        1e3 * np.percentile(values, percents),
        label=", ".join(filter(None, (what, how))),
        **styles[what] | {"linestyle": lines[how]},
      )
    axis.set(
      title=title,
      xlabel="percent of calls that take no longer",
      ylabel="milliseconds",
      yscale="log",
      xticks=_places(_TICKS),
      xticklabels=[f"{percent:g}" for percent in _TICKS],
      xlim=_places([0.0, 99.95]) + [-0.1, 0.0],
    )
    for kind in (
      axis.yaxis.set_major_formatter,
      axis.yaxis.set_minor_formatter,
    ):
      kind("{x:g}")
    axis.tick_params(axis="y", which="minor", labelsize=6)
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)
  return plotting.drawn(chart)


def _places(percents):
  """Returns where percents stand: every further nine is as far again."""
  return -np.log10(1.0 - np.array(percents) / 100.0)
