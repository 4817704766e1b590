"""What a run folder has to show: curves, pictures, the evaluation's report."""

import csv
import glob
import math
import os

REPORT = os.path.join("report", "index.html")
_VALIDATION = "val_"


def stages(run_dir: str) -> list[str]:
  """Returns the stages that have curves or pictures, in order of training."""
  found = {
    os.path.dirname(path): os.path.getmtime(path)
    for path in glob.glob(
      os.path.join(glob.escape(run_dir), "**", "log.csv"), recursive=True
    )
  }
  return [os.path.relpath(p, run_dir) for p in sorted(found, key=found.get)]


def curves(run_dir: str, stage: str) -> dict[str, dict[str, list]]:
  """Returns what a stage's log.csv has.

  Returns:
    By metric, "training" and "validation", lists of [step, value]. What is no
    finite number is left out.
  """
  path = os.path.join(run_dir, stage, "log.csv")
  with open(path, encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
  metrics = {}
  for row in rows:
    # The first column counts steps, or epochs.
    (_, at), *others = row.items()
    for name, text in others:
      point = _number(at), _number(text)
      if None not in point:
        of = "validation" if name.startswith(_VALIDATION) else "training"
        series = metrics.setdefault(name.removeprefix(_VALIDATION), {})
        series.setdefault(of, []).append(list(point))
  return metrics


def grids_over_time(run_dir: str, stage: str) -> dict[str, dict[int, bytes]]:
  """Returns the pictures that a stage's TensorBoard files hold.

  Returns:
    PNG files by name and step, both in order.
  """
  # It takes a second to load, and only this needs it.
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


def _number(text):
  try:
    number = float(text)
  except (TypeError, ValueError):
    return None
  return number if math.isfinite(number) else None
