"""Fits a model in a stage folder: resumable, watchable, best kept."""

import csv
import json
import math
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import flags
from PIL import Image

from lc_keras import files
from lc_keras.evaluation import pictures
from lc_keras.models import storage
from trainers import runs

_STATE = "state.json"
_WEIGHTS = "model.weights.h5"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)$")

Draw = Callable[[], Mapping[str, Image.Image]]


def strategy(replicas: int) -> tf.distribute.Strategy:
  """Returns a MirroredStrategy over the local devices.

  Args:
    replicas: How many; 0 takes all GPUs, or one CPU.

  Raises:
    runs.UserError: There are fewer devices.
  """
  # Asking for logical devices starts TensorFlow, after which a CPU cannot be
  # split any more.
  if tf.config.list_physical_devices("GPU"):
    gpus = tf.config.list_logical_devices("GPU")
    if replicas > len(gpus):
      raise runs.UserError(
        f"--replicas={replicas}, but this machine has {len(gpus)} GPUs."
      )
    names = [gpu.name for gpu in gpus[: replicas or None]]
    return tf.distribute.MirroredStrategy(names)
  # The collective operations that are the default belong to the process, and a
  # second strategy in it runs into those of the first.
  return tf.distribute.MirroredStrategy(
    _cpus(max(replicas, 1)),
    cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )


def schedule(settings: flags.FlagValues, updates_per_step: int = 1):
  """Returns the learning rate as a function of an optimiser's updates.

  Args:
    settings: The job's flags; they count steps.
    updates_per_step: Updates that this optimiser makes in a step.
  """
  final = settings.final_learning_rate
  if final is None:
    final = settings.learning_rate
  return _Schedule(
    settings.learning_rate,
    final,
    settings.steps * updates_per_step,
    settings.warmup_steps * updates_per_step,
    settings.schedule,
  )


def fit(
  stage: runs.Stage,
  model: keras.Model,
  settings: flags.FlagValues,
  *,
  training: Callable[[int], tf.data.Dataset],
  validation: tf.data.Dataset,
  monitor: str | None,
  draw: Draw,
) -> None:
  """Trains a compiled model until --steps, from its last checkpoint if any.

  Leaves in the stage's folder: log.csv, tensorboard/, pictures/, the last
  checkpoint, and the best model by validation (or the last one, if nothing
  says which is best), which is what `storage.load(stage.folder)` gives.

  Args:
    stage: Where to.
    model: Built and compiled, with every optimiser built.
    settings: The job's flags.
    training: Maps the number of steps already made to the batches that follow.
    validation: Batches.
    monitor: The quantity that says which epoch is best: the lower the better.
      None keeps the last: the losses of adversaries do not say.
    draw: Draws the model as it is.

  Raises:
    runs.UserError: The loss is not a number any more.
  """
  per_epoch = settings.steps_per_epoch or math.ceil(settings.steps / 10)
  per_epoch = min(per_epoch, settings.steps)
  epochs = math.ceil(settings.steps / per_epoch)
  keeper = _Keeper(stage, model, per_epoch, monitor, draw)
  start = keeper.restore()
  if start:
    runs.say(f"{stage.name}: going on from step {start * per_epoch}")
  model.fit(
    training(start * per_epoch),
    steps_per_epoch=per_epoch,
    epochs=epochs,
    initial_epoch=start,
    validation_data=validation,
    callbacks=[keeper, _Progress(stage.name, per_epoch, epochs, start)],
    shuffle=False,
    verbose=0,
  )
  stage.finish(
    seconds_before=keeper.seconds_before,
    steps=epochs * per_epoch,
    best=keeper.best,
    parameters=int(model.count_params()),
  )


class _Keeper(keras.callbacks.Callback):
  """Keeps, after every epoch, all that a run needs to be gone on with."""

  def __init__(self, stage, model, per_epoch, monitor, draw):
    super().__init__()
    self._stage = stage
    self._model = model
    self._per_epoch = per_epoch
    self._monitor = monitor
    self._draw = draw
    self._rows = []
    self._writer = tf.summary.create_file_writer(stage.path("tensorboard"))
    self.best = None
    self.seconds_before = 0.0

  def restore(self) -> int:
    """Loads the newest checkpoint; returns the number of epochs it has."""
    found = self._checkpoints()
    if not found:
      return 0
    folder = self._stage.path(found[-1])
    with warnings.catch_warnings():
      # Keras only warns when it cannot restore an optimiser, and would go on
      # from zeroed moments.
      warnings.filterwarnings("error", message="Skipping variable loading")
      self._model.load_weights(os.path.join(folder, _WEIGHTS))
    with open(os.path.join(folder, _STATE), encoding="utf-8") as file:
      state = json.load(file)
    self._rows, self.best = state["rows"], state["best"]
    self.seconds_before = state["seconds"]
    return state["epochs"]

  def on_epoch_end(self, epoch, logs=None):
    """See base class."""
    row = {name: float(value) for name, value in logs.items()}
    broken = [name for name, value in row.items() if not math.isfinite(value)]
    # oneDNN's ReLU makes zeros of NaN, so that broken weights can hide there.
    if not all(np.isfinite(w).all() for w in self._model.get_weights()):
      broken.append("a weight")
    steps = (epoch + 1) * self._per_epoch
    if broken:
      raise runs.UserError(
        f"{self._stage.name} diverged before step {steps}: "
        f"{', '.join(sorted(broken))} is not a number. The last checkpoint is "
        "kept. Lower --learning_rate and start in another --run_dir."
      )
    self._rows.append({"step": steps, **row})
    self._write_log()
    drawn = dict(self._draw())
    self._write_summaries(steps, row, drawn)
    for name, picture in drawn.items():
      pictures.save(picture, self._stage.path("pictures", f"{name}.png"))
    pictures.save(
      pictures.curves(self._rows, x="step"),
      self._stage.path("pictures", "curves.png"),
    )
    value = row[self._monitor] if self._monitor else None
    if value is None or self.best is None or value < self.best["value"]:
      self.best = {"value": value, "step": steps, "monitor": self._monitor}
      storage.save(self._model, self._stage.folder)
    self._write_checkpoint(epoch + 1)

  def _write_log(self):
    with files.replacing(self._stage.path("log.csv")) as aside:
      with open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, self._rows[0].keys())
        writer.writeheader()
        writer.writerows(self._rows)

  def _write_summaries(self, steps, row, drawn):
    with self._writer.as_default(steps):
      for name, value in row.items():
        tf.summary.scalar(name, value)
      for name, picture in drawn.items():
        tf.summary.image(name, np.asarray(picture)[np.newaxis])
    self._writer.flush()

  def _write_checkpoint(self, epochs):
    older = self._checkpoints()
    with files.replacing(self._stage.path(f"checkpoint-{epochs}")) as aside:
      os.makedirs(aside)
      self._model.save_weights(os.path.join(aside, _WEIGHTS))
      files.write_json(
        os.path.join(aside, _STATE),
        {
          "epochs": epochs,
          "rows": self._rows,
          "best": self.best,
          "seconds": self.seconds_before + self._stage.seconds,
        },
      )
    for name in older:
      shutil.rmtree(self._stage.path(name))

  def _checkpoints(self):
    """Returns the names of whole checkpoints, oldest first."""
    names = filter(_CHECKPOINT.match, os.listdir(self._stage.folder))
    return sorted(names, key=lambda name: int(_CHECKPOINT.match(name)[1]))


class _Progress(keras.callbacks.Callback):
  """Shows steps, rate, time left and the last epoch's figures."""

  def __init__(self, name, per_epoch, epochs, start):
    super().__init__()
    self._options = {
      "desc": name,
      "total": per_epoch * epochs,
      "initial": per_epoch * start,
      "unit": " steps",
      # A log file should not hold ten thousand bars.
      "mininterval": 0.5 if sys.stderr.isatty() else 15.0,
      "dynamic_ncols": sys.stderr.isatty(),
    }

  def on_train_begin(self, logs=None):
    """See base class."""
    self._bar = tqdm.tqdm(**self._options)

  def on_train_batch_end(self, batch, logs=None):
    """See base class."""
    self._bar.update()

  def on_epoch_end(self, epoch, logs=None):
    """See base class."""
    shown = {key: f"{value:.4g}" for key, value in (logs or {}).items()}
    self._bar.set_postfix(shown, refresh=True)

  def on_train_end(self, logs=None):
    """See base class."""
    self._bar.close()


class _Schedule(keras.optimizers.schedules.LearningRateSchedule):
  """Linear warm-up, then a cosine or log-spaced way to the final rate."""

  def __init__(self, highest, final, steps, warmup_steps, shape):
    if shape == "log" and not final > 0:
      raise runs.UserError(
        "--schedule=log needs a --final_learning_rate above zero."
      )
    self._highest = highest
    self._final = final
    self._steps = steps
    self._warmup_steps = warmup_steps
    self._shape = shape

  def __call__(self, step):
    """Returns the learning rate of a step, a scalar."""
    step = tf.cast(step, tf.float32)
    length = max(self._steps - self._warmup_steps, 1)
    done = tf.clip_by_value((step - self._warmup_steps) / length, 0.0, 1.0)
    if self._shape == "log":
      rate = self._highest * (self._final / self._highest) ** done
    else:
      cosine = 0.5 * (1.0 + tf.cos(math.pi * done))
      rate = self._final + (self._highest - self._final) * cosine
    return rate * tf.minimum((step + 1.0) / max(self._warmup_steps, 1), 1.0)

  def get_config(self):
    """See base class."""
    return {
      "highest": self._highest,
      "final": self._final,
      "steps": self._steps,
      "warmup_steps": self._warmup_steps,
      "shape": self._shape,
    }


def _cpus(count: int) -> list[str]:
  """Returns the names of `count` logical CPUs, splitting the one there is."""
  physical = tf.config.list_physical_devices("CPU")[0]
  if count > 1 and not tf.config.get_logical_device_configuration(physical):
    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(physical, [one] * count)
  names = [device.name for device in tf.config.list_logical_devices("CPU")]
  if count > len(names):
    raise runs.UserError(
      f"--replicas={count}, but TensorFlow has already started with "
      f"{len(names)} logical CPUs."
    )
  return names[:count]
