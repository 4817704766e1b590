"""Trains the attribute critic D_attr on cached latents.

    python -m trainers.attributes --flagfile=configs/toon_faces/attributes.cfg \
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
  from lc_keras.data import latents
  from lc_keras.generators import generator
  from lc_keras.models import adam
  from lc_keras.models import attribute_model
  from lc_keras.models import storage
  from trainers import training


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=10_000, batch_size=128, learning_rate=1e-4
  )
  common_flags.define_latent_training_flags(values)
  flags.DEFINE_float(
    "noise_scale",
    1.0,
    "Noise on the latents, as a multiple of the posterior's scale; 1 is the "
    "published recipe, more makes a critic that an actor cannot mislead.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "edit_weight",
    0.0,
    "Weight of edits that the critic has led itself, labelled with what it "
    "reads once they are decoded and encoded again, or what the run's "
    "classifier reads if the model cannot encode; 0 is the published recipe.",
    lower_bound=0.0,
    flag_values=values,
  )


def train(settings: flags.FlagValues) -> None:
  """Trains the attribute critic of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "attributes", settings)
  if stage.done:
    return
  cache, source = run.path("latents", "cache"), latents_job.source(run)
  rows = latent_cache.read(cache, "train", source)
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = attribute_model.AttributeModel(
      rows.mean.shape[1],
      len(run.attributes),
      settings.width,
      settings.depth,
      settings.noise_scale,
    )
    model.compile(
      adam.Adam(training.schedule(settings)),
      **(_reader(run) if settings.edit_weight else {}),
      covariance=latents.covariance(rows),
      excludes=run.attributes.excludes,
      edit_weight=settings.edit_weight,
      jit_compile=False,
    )
  training.fit(
    stage,
    model,
    settings,
    training=lambda step: latent_batches.at_random(
      rows,
      settings.batch_size,
      balanced_fraction=settings.balanced_fraction,
      seed=settings.seed,
      start_step=step,
    ),
    validation=latent_batches.in_order(
      latent_cache.read(cache, "validation", source), settings.batch_size
    ),
    monitor="val_loss",
    draw=dict,  # Nothing to see before something is decoded; curves suffice.
  )


def _reader(run):
  """Returns who reads edits: the model itself, or the run's classifier."""
  model = generator.load(run.folder)
  if generator.can_encode(model):
    return {"reread": lambda z: model.encode(model.decode(z).mean()).mean()}
  # It is there: it has labelled the latents.
  classifier = storage.load(run.path("classifier"))
  return {"read": lambda z: classifier(model.decode(z).mean())}


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
