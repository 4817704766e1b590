"""Trains the density critic of encoded images against the prior.

    python -m trainers.realism --flagfile=configs/toon_faces/realism.cfg \
        --run_dir=runs/mine
"""

from absl import flags
from etils import epy

from trainers import common_flags
from trainers import latents as latents_job
from trainers import runs

with epy.lazy_imports():
  import keras

  from lc_keras.data import latent_batches
  from lc_keras.data import latent_cache
  from lc_keras.models import adam
  from lc_keras.models import realism_model
  from trainers import training


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=10_000, batch_size=128, learning_rate=1e-4
  )
  common_flags.define_network_flags(values)


def train(settings: flags.FlagValues) -> None:
  """Trains the density critic of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "realism", settings)
  if stage.done:
    return
  cache, source = run.path("latents", "cache"), latents_job.source(run)
  rows = latent_cache.read(cache, "train", source)
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = realism_model.RealismModel(
      rows.mean.shape[1], settings.width, settings.depth
    )
    optimizer = adam.Adam(training.schedule(settings))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=False)
  training.fit(
    stage,
    model,
    settings,
    training=lambda step: latent_batches.at_random(
      rows,
      settings.batch_size,
      seed=settings.seed,
      start_step=step,
    ),
    validation=latent_batches.in_order(
      latent_cache.read(cache, "validation", source), settings.batch_size
    ),
    monitor="val_loss",
    draw=dict,  # Nothing to see before something is decoded; curves suffice.
  )


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
