"""Trains a GAN on images without labels: a generative model to be frozen.

    python -m trainers.gan --flagfile=configs/toon_faces/gan.cfg \
        --run_dir=runs/mine
"""

from absl import flags
from etils import epy

from trainers import common_flags
from trainers import runs

with epy.lazy_imports():
  import keras
  import tensorflow as tf

  from lc_keras import plotting
  from lc_keras.models import gan
  from trainers import adversarial
  from trainers import training

_ROWS, _COLUMNS = 4, 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=200_000, batch_size=64, learning_rate=3e-4
  )
  common_flags.define_architecture_flag(values)
  common_flags.define_adversarial_flags(values)


def train(settings: flags.FlagValues) -> None:
  """Trains the GAN of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.generator_stage(run, "gan", settings)
  if stage.done:
    return
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = gan.GAN(
      run.image_shape, settings.latent_size, settings.architecture
    )
    model.compile(
      adversarial.adam(settings),
      adversarial.adam(settings),
      penalty_weight=settings.penalty_weight,
      average_decay=settings.average_decay,
      jit_compile=False,
    )
  adversarial.fit(
    run,
    stage,
    model,
    settings,
    adversarial.validation_batches(run, settings),
    draw=lambda: _draw(model),
  )


def _draw(model):
  """Draws what the same prior samples become as training goes on."""
  latents = tf.random.stateless_normal(
    [_ROWS * _COLUMNS, model.latent_size], (0, 0)
  )
  images = model.decode(latents).mean().numpy()
  return {
    "samples": plotting.grid(
      images.reshape(_ROWS, _COLUMNS, *model.image_shape)
    )
  }


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
