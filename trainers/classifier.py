"""Trains the pixel classifier that scores results and trains nothing else.

    python -m trainers.classifier --flagfile=configs/toon_faces/classifier.cfg \
        --run_dir=runs/mine
    python -m trainers.classifier --flagfile=configs/toon_faces/classifier.cfg \
        --run_dir=runs/mine --stage=judge --attributes=Bangs,Pale_Skin

The second one reads attributes that nothing else was trained on, for those who
want to know what constraints learnt afterwards are worth.
"""

import numpy as np
from absl import flags
from etils import epy

from trainers import common_flags
from trainers import runs

with epy.lazy_imports():
  import keras

  from lc_keras import plotting
  from lc_keras.data import pipeline
  from lc_keras.models import adam
  from lc_keras.models import pixel_classifier
  from trainers import training

_COLUMNS = 12


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=40_000, batch_size=256, learning_rate=3e-4
  )
  common_flags.define_architecture_flag(values)
  flags.DEFINE_string(
    "stage", "classifier", "Its folder in the run.", flag_values=values
  )
  flags.DEFINE_list(
    "attributes",
    None,
    "What it reads, any that the data set labels; by default the run's.",
    flag_values=values,
  )


def train(settings: flags.FlagValues) -> None:
  """Trains the classifier of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, settings.stage, settings)
  if stage.done:
    return
  names = settings.attributes or run.attributes.names
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = pixel_classifier.PixelClassifier(
      run.image_shape, len(names), settings.architecture
    )
    optimizer = adam.Adam(training.schedule(settings))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=False)

  def load(split, **options):
    return pipeline.load(
      run.dataset,
      split,
      settings.batch_size,
      data_dir=run.data_dir,
      attributes=names,
      **options,
    )

  validation = load("validation", limit=settings.validation_limit)
  training.fit(
    stage,
    model,
    settings,
    training=lambda step: load(
      "train", training=True, seed=settings.seed, start_step=step
    ),
    validation=validation,
    monitor="val_loss",
    draw=lambda: {"worst": _worst(model, validation, names)},
  )


def _worst(model, validation, names):
  """Draws, for every attribute, the images it was read most wrongly in."""
  batches = list(validation)
  images = np.concatenate([batch["image"] for batch in batches])
  labels = np.concatenate([batch["attributes"] for batch in batches])
  logits = np.concatenate([model(batch["image"]) for batch in batches])
  margins = np.where(labels > 0.5, logits, -logits)
  columns = min(_COLUMNS, len(images))
  order = np.argsort(margins, axis=0)[:columns]
  wrong = np.take_along_axis(margins, order, axis=0).T < 0.0
  return plotting.grid(images[order.T], row_labels=names, highlight=wrong)


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
