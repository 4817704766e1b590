"""Trains a model in a stage's folder, with logs and resumable checkpoints."""

import contextlib
import math
import sys

import tensorflow as tf
import tqdm

from lc_keras import recipes
from lc_keras import training as trainings
from trainers import cluster
from trainers import keeper
from trainers import loop
from trainers import messages
from trainers import preemption
from trainers import stages


def strategy(replicas: int) -> tf.distribute.Strategy:
  """Returns the cluster's strategy, or one for the local devices.

  For several devices that is a MirroredStrategy, for one TensorFlow's default.

  Args:
    replicas: Number of local devices; 0 takes all GPUs, or one CPU.

  Raises:
    ValueError: There are fewer devices.
  """
  shared = cluster.strategy()
  if shared is not None:
    if replicas:
      raise ValueError(
        "--replicas is for one machine. With --multi_worker every worker takes "
        "the GPUs that it sees (CUDA_VISIBLE_DEVICES), or one CPU."
      )
    return shared
  # Asking for logical devices starts TensorFlow, after which a CPU cannot be
  # split any more.
  if tf.config.list_physical_devices("GPU"):
    gpus = tf.config.list_logical_devices("GPU")
    if replicas > len(gpus):
      raise ValueError(
        f"--replicas={replicas}, but this machine has {len(gpus)} GPUs."
      )
    names = [gpu.name for gpu in gpus[: replicas or None]]
    return _over(names)
  return _over(_cpus(max(replicas, 1)))


def fit(
  stage: stages.Stage,
  begun: trainings.Training,
  recipe: recipes.Training,
  *,
  keep_checkpoints: int,
  draw: keeper.Draw,
) -> None:
  """Trains a model to its last step, from its last checkpoint if there is one.

  Writes to the stage's folder: log.csv, tensorboard/, pictures/, the last
  checkpoints, and the best model by validation (the last one if the training
  has no `monitor`), which `storage.load(stage.folder)` reads. On SIGTERM or
  Ctrl-C, it writes a checkpoint and stops.

  Args:
    stage: The stage to write to.
    begun: The model and its batches.
    recipe: Has the number of epochs and of steps in each.
    keep_checkpoints: Number of last checkpoints to keep.
    draw: Draws pictures of the model in its current state.

  Raises:
    ValueError: A figure or weight is not finite, no checkpoint is intact, or
      the batch size is not a multiple of the number of replicas.
    preemption.Terminated: This worker or another received SIGTERM.
    KeyboardInterrupt: Ctrl-C was pressed.
  """
  replicas = begun.model.distribute_strategy.num_replicas_in_sync
  if recipe.batch_size % replicas:
    raise ValueError(
      f"--batch_size={recipe.batch_size} is no multiple of the "
      f"{replicas} replicas, which get the same number of rows."
    )
  steps = recipe.epoch * recipe.epochs
  kept = keeper.Keeper(
    stage,
    begun.model,
    keep=keep_checkpoints,
    monitor=begun.monitor,
    draw=draw,
  )
  if kept.restore():
    messages.info(f"{stage.name}: going on from step {kept.step}")
  if kept.step < steps or kept.metrics is not None:
    stepper = loop.Loop(begun.model, begun.batches(kept.step))
    with (
      preemption.postponed() as told,
      contextlib.closing(_progress(stage.name, steps, kept.step)) as bar,
    ):
      _make_epochs(
        stepper, kept, begun.validation, recipe.epoch, steps, told, bar
      )
  kept.finish()


def _make_epochs(stepper, kept, validation, per_epoch, steps, told, bar):
  """Completes an unfinished epoch, if any, and runs those that follow."""
  votes = cluster.Votes()

  def stop_if_told(metrics=None):
    if votes.any(told.asked):
      metrics = stepper.metrics() if metrics is None else metrics
      if kept.save_within_epoch(step, metrics):
        messages.info(f"\nStopped and kept at step {step}")
      cluster.wait_for_chief()
      told.stop()

  step, unfinished = kept.step, kept.metrics
  while step < steps or unfinished is not None:
    stepper.set_metrics(unfinished)
    # An unfinished epoch may lack only its validation.
    end = step if unfinished is not None else step + 1
    end = math.ceil(end / per_epoch) * per_epoch
    while step < end:
      stepper.train()
      step += 1
      stop_if_told()
      bar.update()
    figures, metrics = stepper.figures(), stepper.metrics()
    for _ in stepper.validate(validation):
      stop_if_told(metrics)
    figures |= {
      f"val_{name}": value for name, value in stepper.figures().items()
    }
    kept.end_epoch(step, figures)
    shown = {name: f"{value:.4g}" for name, value in figures.items()}
    bar.set_postfix(shown, refresh=True)
    unfinished = None
    if votes.any(told.asked, now=True):
      messages.info(f"\nStopped after step {step}")
      told.stop()


def _progress(name, steps, start):
  """Returns a progress bar; the last epoch's figures are its postfix."""
  return tqdm.tqdm(
    desc=name,
    total=steps,
    initial=start,
    unit=" steps",
    # Fewer lines in a log file.
    mininterval=0.5 if sys.stderr.isatty() else 15.0,
    dynamic_ncols=sys.stderr.isatty(),
    disable=not cluster.is_chief(),
  )


def _over(names: list[str]) -> tf.distribute.Strategy:
  """Returns the strategy over devices; the first is the default device."""
  if len(names) == 1:
    # A strategy of one device costs 6% of a step: docs/results/performance.md.
    return tf.distribute.get_strategy()
  if "CPU" not in names[0]:
    return tf.distribute.MirroredStrategy(names)
  # The default collective operations are shared by all strategies of a process,
  # where those of a second one conflict with those of the first.
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
    raise ValueError(
      f"--replicas={count}, but TensorFlow has already started with "
      f"{len(names)} logical CPUs."
    )
  return names[:count]
