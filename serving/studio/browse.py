"""The third page: a run's curves, its pictures over time, its report."""

import functools
import os
import urllib.parse

from nicegui import ui

from serving.studio import run_folder
from serving.studio.layout import Card
from serving.studio.layout import Element
from serving.studio.layout import Slider

_COLOURS = {"training": "#0072B2", "validation": "#D55E00"}
_grids = functools.lru_cache(maxsize=4)(run_folder.grids_over_time)


class Browse:
  """The page of one user."""

  def __init__(self, run_dir: str, stage: str | None):
    """Draws the page, with a stage; by default the first that was trained."""
    self._run_dir = run_dir
    with Element("div", classes="studio-more"):
      with Card(run_dir, label="Stage"):
        stages = run_folder.stages(run_dir)
        if not stages:
          Element("p", "This folder has no run: no stage of it has a log.csv.")
          return
        stage = stage if stage in stages else stages[0]
        ui.select(
          stages,
          value=stage,
          label="Stage",
          on_change=lambda event: self._show(event.value),
        ).props("outlined dense").style("max-width: 20rem")
      self._stage = Element("div", classes="studio-more")
      if os.path.exists(os.path.join(run_dir, run_folder.REPORT)):
        title = "The evaluation’s report"
        with Card(title, label="Report"):
          address = "/run/" + run_folder.REPORT
          Element("a", "Open it alone", href=address, target="_blank")
          Element("iframe", classes="studio-report", src=address, title=title)
    self._show(stage)

  def _show(self, stage):
    query = urllib.parse.urlencode({"stage": stage})
    ui.navigate.history.replace(f"/run?{query}")
    self._stage.clear()
    with self._stage:
      with Card("Curves"), Element("div", classes="studio-curves"):
        for metric, series in run_folder.curves(self._run_dir, stage).items():
          ui.echart(_chart(metric, series))
      for name, by_step in _grids(self._run_dir, stage).items():
        self._over_time(stage, name, list(by_step))

  def _over_time(self, stage, name, steps):
    title = name.replace("_", " ")
    with Card(
      f"{title[:1].upper()}{title[1:]} over time",
      label=title,
      classes="studio-over-time",
    ):
      picture = Element("img", alt="")
      label = Element("p", "", "studio-status", role="status")

      def show(position):
        step = steps[int(position)]
        query = {"stage": stage, "name": name, "step": step}
        picture.attribute(
          src=f"/run/grid?{urllib.parse.urlencode(query)}",
          alt=f"{title} at step {step}",
        )
        label.say(f"Step {step}")

      last = len(steps) - 1
      Slider(f"{title}: when", last, 0, last, 1, show)
      show(last)


def grid(run_dir: str, stage: str, name: str, step: int) -> bytes | None:
  """Returns a picture of a stage as a PNG file; None if there is none."""
  if stage not in run_folder.stages(run_dir):
    return None
  return _grids(run_dir, stage).get(name, {}).get(step)


def _chart(metric, series):
  ink = "#808890"  # Readable on light and dark backgrounds.
  title = {"fontSize": 13, "color": ink}
  return {
    "aria": {"enabled": True, "label": {"description": metric}},
    "title": {"text": metric, "left": 0, "top": 0, "textStyle": title},
    "legend": {"right": 0, "top": 0, "textStyle": {"color": ink}},
    "grid": {"left": 60, "right": 12, "top": 36, "bottom": 28},
    "tooltip": {"trigger": "axis"},
    "xAxis": {"type": "value"},
    "yAxis": {"type": "value", "scale": True},
    "series": [
      {
        "name": kind,
        "type": "line",
        "data": points,
        "showSymbol": len(points) == 1,
        "color": _COLOURS[kind],
      }
      for kind, points in series.items()
    ],
  }
