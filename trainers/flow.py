"""Trains a conditional flow from noise to cached latents.

    python -m trainers.flow --flagfile=configs/toon_faces/flow.cfg \
        --run_dir=runs/mine
"""

import numpy as np
from absl import flags
from etils import epy

from trainers import common_flags
from trainers import latents as latents_job
from trainers import runs

with epy.lazy_imports():
  import keras
  import tensorflow as tf

  from lc_keras import plotting
  from lc_keras.data import latent_batches
  from lc_keras.data import latent_cache
  from lc_keras.generators import generator
  from lc_keras.models import adam
  from lc_keras.models import flow_matching
  from lc_keras.samplers import flow
  from trainers import training

_SHOWN = 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=20_000, batch_size=256, learning_rate=1e-3
  )
  common_flags.define_latent_training_flags(values)
  flags.DEFINE_float(
    "average_decay",
    0.999,
    "Decay, per update, of the moving average of the velocity's weights.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )


def train(settings: flags.FlagValues) -> None:
  """Trains the flow of a run, or goes on training it."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "flow", settings)
  if stage.done:
    return
  cache, source = run.path("latents", "cache"), latents_job.source(run)
  rows = latent_cache.read(cache, "train", source)
  keras.utils.set_random_seed(settings.seed)
  with training.strategy(settings.replicas).scope():
    model = flow_matching.FlowMatching(
      rows.mean.shape[1], len(run.attributes), settings.width, settings.depth
    )
    model.whitening.adapt(rows)
    model.compile(
      adam.Adam(training.schedule(settings)),
      average_decay=settings.average_decay,
      jit_compile=False,
    )
  decoder = generator.load(run.folder)
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
    draw=lambda: {"samples": _draw(decoder, model, run.attributes)},
  )


def _draw(decoder, model, attributes):
  """Draws what the same prior samples become, unasked and for each wish."""
  size = len(attributes)
  wishes = np.concatenate([np.zeros([1, size]), np.eye(size)])
  # Each attribute on, alone: values and mask are the same.
  asked = np.repeat(wishes, _SHOWN, axis=0).astype(np.float32)
  prior = np.array(
    tf.random.stateless_normal([_SHOWN, decoder.latent_size], (0, 0))
  )
  latents = flow.transport(model, np.tile(prior, [size + 1, 1]), asked, asked)
  images = decoder.decode(latents).mean().numpy()
  return plotting.grid(
    images.reshape(size + 1, _SHOWN, *images.shape[1:]),
    row_labels=["unasked", *attributes.names],
  )


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
