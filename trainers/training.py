"""Fits a model in a stage folder: resumable, watchable, best kept."""

import math
import sys
from collections.abc import Callable

import keras
import tensorflow as tf
import tqdm
from absl import flags

from trainers import keeper as keeper_lib
from trainers import preemption
from trainers import runs


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
  draw: keeper_lib.Draw,
) -> None:
  """Trains a compiled model until --steps, from its last checkpoint if any.

  Leaves in the stage's folder: log.csv, tensorboard/, pictures/, the last
  checkpoints, and the best model by validation (or the last one, if nothing
  says which is best), which is what `storage.load(stage.folder)` gives. Told
  to stop by SIGTERM or Ctrl-C, it first writes a checkpoint where it is.

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
    runs.UserError: The loss is not a number any more, or there are
      checkpoints but none that can be used.
    preemption.Terminated: It was told to stop.
    KeyboardInterrupt: So it was, by Ctrl-C.
  """
  per_epoch = settings.steps_per_epoch or math.ceil(settings.steps / 10)
  per_epoch = min(per_epoch, settings.steps)
  epochs = math.ceil(settings.steps / per_epoch)
  keeper = keeper_lib.Keeper(
    stage,
    model,
    keep=settings.keep_checkpoints,
    monitor=monitor,
    draw=draw,
  )
  if keeper.restore():
    runs.say(f"{stage.name}: going on from step {keeper.step}")
  with preemption.postponed() as told:
    bookkeeper = _Bookkeeper(keeper, stage, told)
    progress = _Progress(stage.name, per_epoch * epochs, keeper.step)

    def fit_on(first, last, steps):
      model.fit(
        training(keeper.step),
        steps_per_epoch=steps,
        initial_epoch=first,
        epochs=last,
        validation_data=validation,
        callbacks=[bookkeeper, progress],
        shuffle=False,
        verbose=0,
      )

    made, rest = divmod(keeper.step, per_epoch)
    if keeper.unfinished and not rest:
      bookkeeper.set_model(model)
      _validate(model, keeper, bookkeeper, validation)
    elif rest:
      fit_on(made, made + 1, per_epoch - rest)
      made += 1
    if made < epochs:
      fit_on(made, epochs, per_epoch)
  keeper.finish()


def _validate(model, keeper, bookkeeper, validation):
  """Ends an epoch whose steps have all been made, as Keras would."""
  keeper.restore_metrics()
  logs = model.get_metrics_result()
  figures = model.evaluate(
    validation, callbacks=[bookkeeper], return_dict=True, verbose=0
  )
  logs |= {f"val_{name}": value for name, value in figures.items()}
  bookkeeper.on_epoch_end(None, logs)


class _Bookkeeper(keras.callbacks.Callback):
  """Tells a keeper how far Keras has come, and stops where it must."""

  def __init__(self, keeper, stage, told):
    super().__init__()
    self._keeper = keeper
    self._stage = stage
    self._told = told
    self._step = keeper.step
    self._metrics = None

  def on_epoch_begin(self, epoch, logs=None):
    """See base class."""
    self._keeper.restore_metrics()

  def on_train_batch_end(self, batch, logs=None):
    """See base class."""
    self._step += 1
    if self._told.asked:
      self._stop(None)

  def on_test_begin(self, logs=None):
    """See base class."""
    # Validating sets to zero what the epoch has added up.
    self._metrics = self._keeper.metrics()

  def on_test_batch_end(self, batch, logs=None):
    """See base class."""
    if self._told.asked:
      self._stop(self._metrics)

  def on_epoch_end(self, epoch, logs=None):
    """See base class."""
    self._keeper.end_epoch(self._step, logs)
    if self._told.asked:
      runs.say(f"\n{self._stage.name}: stopped after step {self._step}")
      self._told.stop()

  def _stop(self, metrics):
    if self._keeper.stop_within_epoch(self._step, metrics):
      runs.say(f"\n{self._stage.name}: stopped and kept at step {self._step}")
    self._told.stop()


class _Progress(keras.callbacks.Callback):
  """Shows steps, rate, time left and the last epoch's figures."""

  def __init__(self, name, steps, start):
    super().__init__()
    self._options = {
      "desc": name,
      "total": steps,
      "initial": start,
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
    self._options["initial"] += 1
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
