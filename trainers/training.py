"""Fits a model in a stage folder: resumable, watchable, best kept."""

import contextlib
import math
import sys
from collections.abc import Callable

import keras
import tensorflow as tf
import tqdm
from absl import flags

from trainers import cluster
from trainers import keeper as keeper_lib
from trainers import loop as loop_lib
from trainers import preemption
from trainers import runs


def strategy(replicas: int) -> tf.distribute.Strategy:
  """Returns a MirroredStrategy over the local devices; the default for one.

  Or the strategy of the cluster, if this process belongs to one.

  Args:
    replicas: How many; 0 takes all GPUs, or one CPU.

  Raises:
    runs.UserError: There are fewer devices.
  """
  shared = cluster.strategy()
  if shared is not None:
    if replicas:
      raise runs.UserError(
        "--replicas is for one machine. With --multi_worker every worker takes "
        "the GPUs that it sees (CUDA_VISIBLE_DEVICES), or one CPU."
      )
    return shared
  # Asking for logical devices starts TensorFlow, after which a CPU cannot be
  # split any more.
  if tf.config.list_physical_devices("GPU"):
    gpus = tf.config.list_logical_devices("GPU")
    if replicas > len(gpus):
      raise runs.UserError(
        f"--replicas={replicas}, but this machine has {len(gpus)} GPUs."
      )
    names = [gpu.name for gpu in gpus[: replicas or None]]
    return _over(names)
  return _over(_cpus(max(replicas, 1)))


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
      checkpoints but none that can be used, or the rows of a batch cannot be
      shared out evenly.
    preemption.Terminated: It was told to stop.
    KeyboardInterrupt: So it was, by Ctrl-C.
  """
  replicas = model.distribute_strategy.num_replicas_in_sync
  if settings.batch_size % replicas:
    raise runs.UserError(
      f"--batch_size={settings.batch_size} is no multiple of the "
      f"{replicas} replicas, which get the same number of rows."
    )
  per_epoch = settings.steps_per_epoch or math.ceil(settings.steps / 10)
  per_epoch = min(per_epoch, settings.steps)
  steps = math.ceil(settings.steps / per_epoch) * per_epoch
  keeper = keeper_lib.Keeper(
    stage,
    model,
    keep=settings.keep_checkpoints,
    monitor=monitor,
    draw=draw,
  )
  if keeper.restore():
    runs.say(f"{stage.name}: going on from step {keeper.step}")
  if keeper.step < steps or keeper.metrics is not None:
    loop = loop_lib.Loop(model, training(keeper.step))
    with (
      preemption.postponed() as told,
      contextlib.closing(_progress(stage.name, steps, keeper.step)) as bar,
    ):
      _make_epochs(loop, keeper, validation, per_epoch, steps, told, bar)
  keeper.finish()


def _make_epochs(loop, keeper, validation, per_epoch, steps, told, bar):
  """Makes the rest of an unfinished epoch, if any, and those that follow."""
  votes = cluster.Votes()

  def stop_if_told(metrics=None):
    if votes.any(told.asked):
      metrics = loop.metrics() if metrics is None else metrics
      if keeper.stop_within_epoch(step, metrics):
        runs.say(f"\nStopped and kept at step {step}")
      cluster.wait_for_chief()
      told.stop()

  step, unfinished = keeper.step, keeper.metrics
  while step < steps or unfinished is not None:
    loop.set_metrics(unfinished)
    # An unfinished epoch may have made its last step.
    end = step if unfinished is not None else step + 1
    end = math.ceil(end / per_epoch) * per_epoch
    while step < end:
      loop.train()
      step += 1
      stop_if_told()
      bar.update()
    figures, metrics = loop.figures(), loop.metrics()
    for _ in loop.validate(validation):
      stop_if_told(metrics)
    figures |= {f"val_{name}": value for name, value in loop.figures().items()}
    keeper.end_epoch(step, figures)
    shown = {name: f"{value:.4g}" for name, value in figures.items()}
    bar.set_postfix(shown, refresh=True)
    unfinished = None
    if votes.any(told.asked, now=True):
      runs.say(f"\nStopped after step {step}")
      told.stop()


def _progress(name, steps, start):
  """Returns a bar: steps, rate, time left and the last epoch's figures."""
  return tqdm.tqdm(
    desc=name,
    total=steps,
    initial=start,
    unit=" steps",
    # A log file should not hold ten thousand bars.
    mininterval=0.5 if sys.stderr.isatty() else 15.0,
    dynamic_ncols=sys.stderr.isatty(),
    disable=not cluster.is_chief(),
  )


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


def _over(names: list[str]) -> tf.distribute.Strategy:
  """Returns the strategy of some devices, the first of which is the default."""
  if len(names) == 1:
    # What distributes to one costs 6% of a step (docs/performance.md).
    return tf.distribute.get_strategy()
  if "CPU" not in names[0]:
    return tf.distribute.MirroredStrategy(names)
  # The collective operations that are the default belong to the process, and a
  # second strategy in it runs into those of the first.
  return tf.distribute.MirroredStrategy(
    names, cross_device_ops=tf.distribute.ReductionToOneDevice()
  )


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
