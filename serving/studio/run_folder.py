"""The curves, pictures and report of a run folder."""

import glob
import os

import numpy as np
import pandas as pd

REPORT = os.path.join("report", "index.html")
_VALIDATION = "val_"


def stages(run_dir: str) -> list[str]:
  """Returns the stages that have curves or pictures, in order of training."""
  found = glob.glob(
    os.path.join(glob.escape(run_dir), "**", "log.csv"), recursive=True
  )
  folders = sorted(map(os.path.dirname, found), key=os.path.getmtime)
  return [os.path.relpath(folder, run_dir) for folder in folders]


def curves(run_dir: str, stage: str) -> dict[str, dict[str, list]]:
  """Returns the curves in a stage's log.csv.

  Returns:
    By metric, "training" and "validation", lists of [step, value]. Values that
    are missing or not finite are left out.
  """
  table = pd.read_csv(os.path.join(run_dir, stage, "log.csv"), index_col=0)
  table = table.apply(pd.to_numeric, errors="coerce").replace(
    [np.inf, -np.inf], np.nan
  )
  metrics = {}
  for name, column in table.items():
    kind = "validation" if name.startswith(_VALIDATION) else "training"
    points = column.dropna()
    if len(points):
      series = metrics.setdefault(name.removeprefix(_VALIDATION), {})
      series[kind] = [list(point) for point in points.items()]
  return metrics


def grids_over_time(run_dir: str, stage: str) -> dict[str, dict[int, bytes]]:
  """Returns the pictures in a stage's TensorBoard files.

  Returns:
    PNG files by name and step, both in order.
  """
  # Imported here: it takes a second to load.
  from tensorboard.backend.event_processing import event_accumulator

  found = {}
  folder = os.path.join(glob.escape(run_dir), stage, "tensorboard")
  for path in sorted(glob.glob(os.path.join(folder, "events.*"))):
    events = event_accumulator.EventAccumulator(
      path, size_guidance={event_accumulator.TENSORS: 100}
    )
    events.Reload()
    for tag in events.Tags()["tensors"]:
      for event in events.Tensors(tag):
        # Width, height and the files, as tf.summary.image writes them.
        values = event.tensor_proto.string_val
        if len(values) >= 3 and values[2].startswith(b"\x89PNG"):
          found.setdefault(tag, {})[event.step] = values[2]
  return {tag: dict(sorted(found[tag].items())) for tag in sorted(found)}
