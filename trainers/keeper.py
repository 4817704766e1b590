"""Writes the log, pictures, checkpoints and best model of a training.

A training calls its keeper at the end of an epoch, and when it must stop within
one. Of several workers, only the chief writes.
"""

import csv
import math
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from lc_keras import files
from lc_keras import plotting
from trainers import checkpoints
from trainers import cluster
from trainers import stages

Draw = Callable[[], Mapping[str, Image.Image]]


class Keeper:
  """Writes the log, pictures, checkpoints and best model of a stage.

  Attributes:
    step: Steps made until the last checkpoint.
    metrics: That checkpoint's values of `Loop.metrics` if its epoch is
      unfinished, and so not validated; None at the end of an epoch.
    best: {"value", "step", "monitor"} of the best model; None before the first
      epoch has ended.
  """

  def __init__(
    self,
    stage: stages.Stage,
    model: keras.Model,
    *,
    keep: int,
    monitor: str | None,
    draw: Draw,
  ):
    """Reads and writes nothing yet.

    Args:
      stage: The stage to write to.
      model: Built and compiled, with every optimiser built.
      keep: Number of checkpoints to keep.
      monitor: Name of the figure that is lowest in the best epoch. None keeps
        the last epoch.
      draw: Draws pictures of the model in its current state.
    """
    self._stage = stage
    self._model = model
    self._monitor = monitor
    self._draw = draw
    self._checkpoints = checkpoints.Checkpoints(
      stage.folder, keep, read_only=not cluster.is_chief()
    )
    self._rows = []
    self._seconds_before = 0.0
    self._writer = None
    self.step = 0
    self.metrics = None
    self.best = None

  def restore(self) -> int:
    """Loads the newest intact checkpoint, if any; returns its step.

    Raises:
      ValueError: There are checkpoints, but none is intact.
      ValueError: Workers on other machines have loaded another checkpoint.
    """
    found = cluster.chief_first(lambda: self._checkpoints.restore(self._model))
    if found is not None:
      self.step, self.metrics = found["step"], found["metrics"]
      state = found["state"]
      self._rows, self.best = state["rows"], state["best"]
      self._seconds_before = state["seconds"]
      if cluster.is_chief():
        self._write_log()
    cluster.check_same("the step of the last checkpoint", self.step)
    return self.step

  def end_epoch(self, step: int, logs: Mapping[str, float]) -> None:
    """Writes log, pictures and a checkpoint after an epoch's validation.

    Raises:
      ValueError: A figure or a weight is not finite.
    """
    # In the order of Keras: training figures first.
    names = sorted(logs, key=lambda name: (name.startswith("val_"), name))
    row = {name: float(logs[name]) for name in names}
    broken = [name for name, value in row.items() if not math.isfinite(value)]
    # oneDNN's ReLU turns NaN into 0: figures may not show broken weights.
    if not self._is_finite():
      broken.append("a weight")
    if broken:
      raise ValueError(
        f"{self._stage.name} diverged before step {step}: "
        f"{', '.join(sorted(broken))} is not a number. The last checkpoint is "
        "kept. Lower --learning_rate and start in another --run_dir."
      )
    self._rows.append({"step": step, **row})
    if not cluster.is_chief():
      return
    drawn = dict(self._draw())
    self._write_summaries(step, row, drawn)
    for name, picture in drawn.items():
      plotting.save(picture, self._stage.path("pictures", f"{name}.png"))
    plotting.save(
      plotting.curves(self._rows, x="step"),
      self._stage.path("pictures", "curves.png"),
    )
    value = row[self._monitor] if self._monitor else None
    is_best = value is None or self.best is None or value < self.best["value"]
    if is_best:
      self.best = {"value": value, "step": step, "monitor": self._monitor}
    self._save(step, is_best=is_best)
    self._write_log()

  def save_within_epoch(self, step: int, metrics: list[np.ndarray]) -> bool:
    """Writes a checkpoint of an unfinished epoch; returns whether it is saved.

    Weights that are not finite are not saved; `metrics` are `Loop.metrics`.
    """
    if step == self.step:
      # Already saved; to replace it would remove it for a moment.
      return True
    if not self._is_finite():
      return False
    if cluster.is_chief():
      self._save(step, metrics=metrics)
    return True

  def finish(self) -> None:
    """Marks the stage as done."""
    if not cluster.is_chief():
      return
    self._checkpoints.publish()
    self._stage.finish(
      seconds_before=self._seconds_before,
      steps=self.step,
      best=self.best,
      parameters=int(self._model.count_params()),
    )

  def _save(self, step, **options):
    self._checkpoints.save(
      self._model,
      step,
      {
        "rows": self._rows,
        "best": self.best,
        "seconds": self._seconds_before + self._stage.seconds,
      },
      **options,
    )
    self.step = step

  def _is_finite(self):
    return all(np.isfinite(w).all() for w in self._model.get_weights())

  def _write_log(self):
    if not self._rows:
      return
    with files.replacing(self._stage.path("log.csv")) as aside:
      with open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, self._rows[0].keys())
        writer.writeheader()
        writer.writerows(self._rows)

  def _write_summaries(self, steps, row, drawn):
    if self._writer is None:
      folder = self._stage.path("tensorboard")
      self._writer = tf.summary.create_file_writer(folder)
    with self._writer.as_default(steps):
      for name, value in row.items():
        tf.summary.scalar(name, value)
      for name, picture in drawn.items():
        tf.summary.image(name, np.asarray(picture)[np.newaxis])
    self._writer.flush()
