"""Trains a conditional VAE on images and labels, to compare with.

    python -m trainers.conditional_vae \
        --flagfile=configs/toon_faces/conditional_vae.cfg --run_dir=runs/mine
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
  from lc_keras.models import conditional_vae
  from trainers import training

_SHOWN = 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=200_000, batch_size=256, learning_rate=3e-4
  )
  common_flags.define_architecture_flag(values)
  common_flags.define_autoencoder_flags(values)


def train(settings: flags.FlagValues) -> None:
  """Trains the conditional VAE of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "conditional_vae", settings)
  if stage.done:
    return
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = conditional_vae.ConditionalVAE(
      run.image_shape,
      settings.latent_size,
      len(run.attributes),
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
  shown = next(iter(validation.unbatch().batch(_SHOWN)))
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
    draw=lambda: _draw(model, shown, run.attributes),
  )


def _draw(model, shown, attributes):
  """Draws samples under every attribute, and every edit of some images."""
  images, own = shown["image"], shown["attributes"].numpy()
  prior = tf.random.stateless_normal([len(own), model.latent_size], (0, 0))
  encoded = model.encode(images, own).mean()
  samples, edits = [model.decode(prior, own).mean()], []
  for column, name in enumerate(attributes.names):
    on, _ = attributes.request(own, name, True)
    off, _ = attributes.request(own, name, False)
    samples.append(model.decode(prior, on).mean())
    switched = np.where(own[:, [column]] > 0.5, off, on)
    edits.append(model.decode(encoded, switched).mean())
  return {
    "samples": plotting.conditional_samples(
      np.stack(samples), ["labels of an image", *attributes.names]
    ),
    "edits": plotting.transformations(
      images.numpy(),
      model.decode(encoded, own).mean().numpy(),
      np.stack(edits, axis=1),
      attributes.names,
      on=own < 0.5,
    ),
  }


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
