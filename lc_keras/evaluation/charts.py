"""Charts that compare systems: what a dial trades, and what edits leave.

Results in, `PIL.Image` out. Systems differ in colour and in mark.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib import figure
from matplotlib.backends import backend_agg
from PIL import Image

# The Okabe-Ito palette: told apart by the colour-blind too.
_COLOURS = (
  "#0072B2",
  "#D55E00",
  "#009E73",
  "#CC79A7",
  "#E69F00",
  "#56B4E9",
  "#000000",
)
_MARKS = "osD^vPX"


def dials(curves: Mapping[str, Mapping]) -> Image.Image:
  """Draws what is obeyed against what is lost, over the settings of a dial.

  Args:
    curves: By title of a system: "dial", its name, and "points", each with its
      "setting", "read", "others_changed" and "feature_ratio", see
      `Protocol.curve`.
  """
  chart = figure.Figure(figsize=(13, 4.5), dpi=100, layout="constrained")
  for axis, (lost, label) in zip(
    chart.subplots(1, 2),
    (
      ("others_changed", "edits that change another attribute"),
      ("feature_ratio", "feature distance / that of two images"),
    ),
  ):
    for style, (title, curve) in zip(styles(), curves.items()):
      points = curve["points"]
      x, y = _column(points, lost), _column(points, "read")
      axis.plot(x, y, label=f"{title} ({curve['dial']})", **style)
      for point, *place in zip(points, x, y):
        axis.annotate(
          f"{point['setting']:g}",
          place,
          xytext=(3, 3),
          textcoords="offset points",
          fontsize=7,
        )
    axis.set(xlabel=label, ylabel="asked value read", ylim=(-0.02, 1.05))
    axis.grid(alpha=0.3)
  chart.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
  return drawn(chart)


def sequences(states: Mapping[str, Sequence[Mapping]]) -> Image.Image:
  """Draws what edits one after another leave, and what is left of them.

  Args:
    states: By title of a system, see `Protocol.sequence`.
  """
  chart = figure.Figure(figsize=(13, 4.5), dpi=100, layout="constrained")
  for axis, (name, label) in zip(
    chart.subplots(1, 2),
    (
      ("others_changed", "images in which an untouched attribute changed"),
      ("feature_distance", "feature distance to the first state"),
    ),
  ):
    for style, (title, rows) in zip(styles(), states.items()):
      axis.plot(_column(rows, name), label=title, **style)
    edits = max(row["taken_back"] for rows in states.values() for row in rows)
    axis.axvline(edits, color="grey", linestyle=":")
    axis.set(xlabel=f"edits (from {edits} on: taken back)", ylabel=label)
    axis.grid(alpha=0.3)
  chart.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
  return drawn(chart)


def label_curve(points: Sequence[Mapping]) -> Image.Image:
  """Draws what constraints are worth, and what they cost, by number of labels.

  Args:
    points: Of one constraint each: "attribute", "labels", "seconds", and the
      figures "critic" (of `trust`), "samples" (of `scores.attribute_scores`)
      and "edits" (of `transformations.table`).
  """
  chart = figure.Figure(figsize=(13, 4.5), dpi=100, layout="constrained")
  left, middle, right = chart.subplots(1, 3)
  attributes = list(dict.fromkeys(point["attribute"] for point in points))
  for style, attribute in zip(styles(), attributes):
    rows = sorted(
      (point for point in points if point["attribute"] == attribute),
      key=lambda point: point["labels"],
    )
    labels = _column(rows, "labels")
    critic = [row["critic"]["f1"]["value"] for row in rows]
    read = [row["edits"]["mean_read"] for row in rows]
    samples = [row["samples"]["macro_f1"] for row in rows]
    changed = [row["edits"]["mean_others_changed"] for row in rows]
    left.plot(labels, critic, **style | {"linestyle": ":"})
    left.plot(labels, samples, label=attribute, **style)
    left.plot(labels, read, **style | {"linestyle": "--"})
    middle.plot(labels, changed, **style)
    right.plot(labels, _column(rows, "seconds"), **style)
  left.set(
    ylabel="F1 of samples (-), edits read (--), F1 of the critic (:)",
    ylim=(-0.02, 1.02),
  )
  middle.set(ylabel="edits that change another attribute", ylim=(0.0, None))
  right.set(ylabel="seconds to learn", ylim=(0.0, None))
  for axis in (left, middle, right):
    axis.set(xlabel="labels", xscale="log")
    axis.grid(alpha=0.3)
  chart.legend(*left.get_legend_handles_labels(), loc="outside right upper")
  return drawn(chart)


def styles() -> Iterator[dict]:
  """Yields styles without end, no two of the first 28 alike."""
  while True:
    for line in ("-", "--", ":", "-."):
      for colour, mark in zip(_COLOURS, _MARKS):
        yield {
          "color": colour,
          "marker": mark,
          "linestyle": line,
          "markersize": 4,
        }


def _column(rows, name):
  """Returns a column of numbers; NaN, which leaves a gap, for None."""
  return np.array([row[name] for row in rows], float)


def drawn(chart: figure.Figure) -> Image.Image:
  """Returns a chart as a picture."""
  canvas = backend_agg.FigureCanvasAgg(chart)
  canvas.draw()
  return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
