"""What the jobs of adversarial models share; no job itself."""

import keras
import tensorflow as tf
from absl import flags

from lc_keras.data import pipeline
from lc_keras.models import adam as adam_lib
from lc_keras.models import adversarial
from trainers import keeper
from trainers import runs
from trainers import training


def adam(settings: flags.FlagValues) -> keras.optimizers.Optimizer:
  """Returns the optimiser of one of the two networks."""
  # No momentum: what the opponent did some steps ago is no guide.
  return adam_lib.Adam(training.schedule(settings), beta_1=0.0, beta_2=0.99)


def validation_batches(
  run: runs.Run, settings: flags.FlagValues
) -> tf.data.Dataset:
  """Returns the images and labels of a run that are not trained on."""
  return pipeline.load(
    run.dataset,
    "validation",
    settings.batch_size,
    data_dir=run.data_dir,
    limit=settings.validation_limit,
  )


def fit(
  run: runs.Run,
  stage: runs.Stage,
  model: adversarial.AdversarialModel,
  settings: flags.FlagValues,
  validation: tf.data.Dataset,
  draw: keeper.Draw,
) -> None:
  """Trains a compiled model on the images of a run, and keeps the last.

  Args:
    run: Whose images.
    stage: Where to.
    model: Compiled.
    settings: The job's flags.
    validation: What `validation_batches` gave.
    draw: Draws the model as it is.
  """
  training.fit(
    stage,
    model,
    settings,
    training=lambda step: pipeline.load(
      run.dataset,
      "train",
      settings.batch_size,
      data_dir=run.data_dir,
      training=True,
      seed=settings.seed,
      start_step=step,
    ),
    validation=validation,
    # Neither loss says which model is best: each depends on the opponent.
    monitor=None,
    draw=draw,
  )
