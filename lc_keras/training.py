"""A training: a compiled model, and the batches that it is trained on.

The functions `training(recipe, ...)` of the modules in `models` create them.
The trainers run one with checkpoints, `fit` runs it in memory; the resulting
model is the same.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from lc_keras import recipes
from lc_keras.data import latent_batches


class Training(NamedTuple):
  """A compiled model and its batches.

  Attributes:
    model: Built and compiled, with every optimiser built.
    batches: Maps the number of steps made so far to the endless batches that
      follow. They depend only on the recipe's seed and on that number.
    validation: Batches to validate on.
    monitor: Name of the quantity that is lowest in the best epoch. None keeps
      the last epoch: adversarial losses do not measure quality.
  """

  model: keras.Model
  batches: Callable[[int], tf.data.Dataset]
  validation: tf.data.Dataset
  monitor: str | None = "val_loss"


def on_latents(
  model: keras.Model,
  recipe: recipes.OnLatents,
  parts,
  labelled: bool = False,
) -> Training:
  """Returns the training of a model on latents, one batch a step.

  Args:
    model: See `Training`.
    recipe: The settings.
    parts: `parts.Parts` with latents.
    labelled: Whether rows without labels are left out.
  """
  model.made_for = parts.fingerprint or None
  train, held_out = (parts.latents[name] for name in ("train", "validation"))
  if labelled:
    train, held_out = train.labelled(), held_out.labelled()
  return Training(
    model,
    lambda step: latent_batches.at_random(
      train,
      recipe.batch_size,
      balanced_fraction=getattr(recipe, "balanced_fraction", 0.0),
      seed=recipe.seed,
      start_step=step,
    ),
    latent_batches.in_order(held_out, recipe.batch_size),
  )


def on_images(
  model: keras.Model,
  recipe: recipes.OnImages,
  data,
  monitor: str | None = "val_loss",
) -> Training:
  """Returns the training of a model on images.

  Args:
    model: See `Training`.
    recipe: The settings.
    data: `arrays.Source`.
    monitor: See `Training`.
  """
  validation = data.batches("validation", recipe.batch_size)
  if recipe.validation_limit is not None:
    validation = validation.unbatch().take(recipe.validation_limit)
    validation = validation.batch(recipe.batch_size)
  return Training(
    model,
    lambda step: data.batches(
      "train",
      recipe.batch_size,
      training=True,
      seed=recipe.seed,
      start_step=step,
    ),
    validation,
    monitor,
  )


@contextlib.contextmanager
def precision(recipe: recipes.VAE | recipes.Classifier) -> Iterator[None]:
  """Sets the compute precision of the layers that are created in the context.

  Variables are always float32, and so is a model that is loaded from its file.
  """
  before = keras.config.dtype_policy()
  if recipe.mixed_precision:
    keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)


def fit(
  training: Training,
  recipe: recipes.Training,
  *,
  callbacks: Sequence[keras.callbacks.Callback] = (),
  verbose: str | int = "auto",
) -> keras.callbacks.History:
  """Trains a model in memory, and leaves it with the weights of its best epoch.

  Args:
    training: The model and its batches.
    recipe: Gives the number and the length of epochs.
    callbacks: As of `keras.Model.fit`.
    verbose: As of `keras.Model.fit`.
  """
  if isinstance(callbacks, keras.callbacks.Callback):
    callbacks = [callbacks]  # Keras accepts a single one, too.
  best = []
  if training.monitor:
    best.append(
      keras.callbacks.EarlyStopping(
        training.monitor,
        mode="min",
        patience=recipe.epochs,
        restore_best_weights=True,
      )
    )
  return training.model.fit(
    training.batches(0),
    epochs=recipe.epochs,
    steps_per_epoch=recipe.epoch,
    validation_data=training.validation,
    callbacks=[*best, *callbacks],
    shuffle=False,
    verbose=verbose,
  )


def learning_rate(
  recipe: recipes.Training, updates_per_step: int = 1
) -> keras.optimizers.schedules.LearningRateSchedule:
  """Returns the learning rate as a function of an optimiser's updates.

  Args:
    recipe: The settings, in steps.
    updates_per_step: Updates that this optimiser makes in a step.

  Raises:
    ValueError: The schedule is "log" and the final learning rate zero.
  """
  highest, final = recipe.learning_rate, recipe.final_learning_rate
  final = highest if final is None else final
  warmup = recipe.warmup_steps * updates_per_step
  length = max(recipe.steps * updates_per_step - warmup, 1)
  share = final / highest if highest else 1.0
  if recipe.schedule == "cosine":
    decay = keras.optimizers.schedules.CosineDecay(highest, length, share)
  elif share > 0.0:
    decay = keras.optimizers.schedules.ExponentialDecay(highest, length, share)
  else:
    raise ValueError(
      "The schedule log needs a final learning rate above zero: give it, or "
      "take the schedule cosine."
    )
  return WarmUp(decay, warmup) if warmup else decay


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
  """Raises the rate linearly from zero before another schedule begins."""

  def __init__(
    self, after: keras.optimizers.schedules.LearningRateSchedule, steps: int
  ):
    """Creates the schedule.

    Args:
      after: The schedule that begins after the warm-up.
      steps: Updates of the warm-up.
    """
    self._after = after
    self._steps = steps

  def __call__(self, step):
    """Returns the learning rate of an update, a scalar."""
    step = tf.cast(step, tf.float32)
    rate = self._after(tf.maximum(step - self._steps, 0.0))
    return rate * tf.minimum((step + 1.0) / self._steps, 1.0)

  def get_config(self):
    """See base class."""
    return {
      "after": keras.saving.serialize_keras_object(self._after),
      "steps": self._steps,
    }
