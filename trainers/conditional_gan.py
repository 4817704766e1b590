"""Trains a conditional GAN on images and labels, to compare with.

    python -m trainers.conditional_gan \
        --flagfile=configs/toon_faces/conditional_gan.cfg --run_dir=runs/mine
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
  from lc_keras.models import conditional_gan
  from trainers import adversarial
  from trainers import training

_SHOWN = 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=200_000, batch_size=64, learning_rate=3e-4
  )
  common_flags.define_architecture_flag(values)
  common_flags.define_adversarial_flags(values)
  flags.DEFINE_float(
    "mismatch_weight",
    1.0,
    "Weight of real images with another image's labels among what the "
    "discriminator must tell from real ones; 0 leaves them out.",
    lower_bound=0.0,
    flag_values=values,
  )


def train(settings: flags.FlagValues) -> None:
  """Trains the conditional GAN of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "conditional_gan", settings)
  if stage.done:
    return
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = conditional_gan.ConditionalGAN(
      run.image_shape,
      settings.latent_size,
      len(run.attributes),
      settings.architecture,
    )
    model.compile(
      adversarial.adam(settings),
      adversarial.adam(settings),
      penalty_weight=settings.penalty_weight,
      mismatch_weight=settings.mismatch_weight,
      average_decay=settings.average_decay,
      jit_compile=False,
    )
  validation = adversarial.validation_batches(run, settings)
  shown = next(iter(validation.unbatch().batch(_SHOWN)))
  adversarial.fit(
    run,
    stage,
    model,
    settings,
    validation,
    draw=lambda: _draw(model, shown["attributes"].numpy(), run.attributes),
  )


def _draw(model, own, attributes):
  """Draws samples under every attribute."""
  prior = tf.random.stateless_normal([len(own), model.latent_size], (0, 0))
  wanted = [attributes.request(own, name, True)[0] for name in attributes.names]
  return {
    "samples": plotting.conditional_samples(
      np.stack([model.generate(prior, labels) for labels in [own, *wanted]]),
      ["labels of an image", *attributes.names],
    )
  }


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
