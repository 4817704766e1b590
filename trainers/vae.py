"""Trains the generative model: python -m trainers.vae --flagfile=...

    python -m trainers.vae --flagfile=configs/toon_faces/vae.cfg \
        --run_dir=runs/mine
"""

import numpy as np
from absl import flags
from etils import epy

from trainers import common_flags
from trainers import runs

with epy.lazy_imports():
  import keras
  import tensorflow as tf

  from lc_keras import plotting
  from lc_keras.data import pipeline
  from lc_keras.models import adam
  from lc_keras.models import vae
  from trainers import training

_ROWS, _COLUMNS = 4, 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=200_000, batch_size=256, learning_rate=3e-4
  )
  common_flags.define_architecture_flag(values)
  common_flags.define_autoencoder_flags(values)


def train(settings: flags.FlagValues) -> None:
  """Trains the VAE of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.generator_stage(run, "vae", settings)
  if stage.done:
    return
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = vae.VAE(
      run.image_shape,
      settings.latent_size,
      settings.architecture,
      settings.observation_scale,
      settings.beta,
    )
    optimizer = adam.Adam(training.schedule(settings))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=False)
  validation = pipeline.load(
    run.dataset,
    "validation",
    settings.batch_size,
    data_dir=run.data_dir,
    limit=settings.validation_limit,
  )
  shown = next(iter(validation.unbatch().batch(_ROWS * _COLUMNS)))["image"]

  def draw():
    latents = tf.random.stateless_normal(
      [_ROWS * _COLUMNS, model.latent_size], (0, 0)
    )
    return {
      "reconstructions": _pairs(shown.numpy(), model(shown).numpy()),
      "prior_samples": plotting.grid(
        _in_rows(model.decode(latents).mean().numpy())
      ),
    }

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
    monitor="val_loss",
    draw=draw,
  )


def _pairs(images, reconstructions):
  """Draws each row of images above the row of their reconstructions."""
  both = np.stack([_in_rows(images), _in_rows(reconstructions)], axis=1)
  both = both.reshape(-1, *both.shape[2:])
  labels = ["image", "reconstruction"] * (len(both) // 2)
  return plotting.grid(both, row_labels=labels)


def _in_rows(images):
  columns = min(_COLUMNS, len(images))
  rows = len(images) // columns
  return images[: rows * columns].reshape(rows, columns, *images.shape[1:])


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
