"""Encodes a data set once: later trainings read latents instead of pixels.

python -m trainers.latents --run_dir=runs/mine

A generative model without an encoder, or a run without a data set, gets draws
of the prior instead. The run's classifier, if there is one, labels the images
that they decode to; or a table of labels by seed does, and no image is decoded:

python -m trainers.latents --run_dir=runs/mine --seed_labels=labels.csv
"""

import functools

import tqdm
from absl import flags

from trainers import common_flags
from trainers import program

# Draws of the prior for each split.
_ROWS = {"train": 20_000, "validation": 2_000, "test": 2_000}
_POSTERIOR_SCALE = 0.1
# Share of a table's rows.
_HELD_OUT = 0.1


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  flags.DEFINE_integer(
    "batch_size",
    256,
    "Images encoded, or decoded, at once.",
    lower_bound=1,
    flag_values=values,
  )
  for split, rows in _ROWS.items():
    flags.DEFINE_integer(
      f"rows_{split}",
      rows,
      f"Draws of the prior for the split {split}, where there is no encoder or "
      "no data set. Images are all encoded.",
      lower_bound=1,
      flag_values=values,
    )
  flags.DEFINE_string(
    "seed_labels",
    None,
    "A table of what is seen in the images that seeds make (columns seed, "
    "Smiling, ...; an empty cell is not known), for a run without a data set.",
    flag_values=values,
  )
  flags.DEFINE_float(
    "posterior_scale",
    _POSTERIOR_SCALE,
    "Standard deviation of each draw of the prior, in each dimension: how far "
    "one can move without it being seen.",
    lower_bound=1e-3,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of the draws of the prior.",
    lower_bound=0,
    flag_values=values,
  )


def run_job(settings: flags.FlagValues) -> None:
  """Writes the latent cache of a run."""
  from lc_keras.data import latent_cache
  from lc_keras.generators import generator
  from trainers import runs

  run = runs.open_run(settings, needs_data=False)
  stage = run.stage("latents", settings)
  if settings.seed_labels and not stage.done:
    splits = _of_table(run, settings.seed_labels)
  source = run.latents_source(labelled=run.labels_latents)
  if stage.done:
    latent_cache.read_manifest(stage.path("cache"), source)
    return
  if not settings.seed_labels:
    model = generator.load(run.folder)
    make = _encode if run.encodes else _draw
    splits = {split: make(run, model, split) for split in _ROWS}
  latent_cache.write(stage.path("cache"), splits, source)
  stage.finish(rows=latent_cache.read_manifest(stage.path("cache"))["rows"])


def _of_table(run, path):
  """Returns labelled and other draws; records the table's attributes."""
  from lc_keras import files
  from lc_keras import fit
  from lc_keras.generators import generator

  if run.dataset:
    raise ValueError(
      f"The run in {run.folder!r} has the labels of {run.dataset}: import the "
      "model into another --run_dir, without --dataset, to use --seed_labels."
    )
  model = generator.load(run.folder)
  labels, latents = fit.by_seed(model, path, None)
  if latents is None:
    raise ValueError(
      f"{path} has no column `seed`: a label is of what a seed makes."
    )
  made = fit.drawn(
    model,
    latents,
    labels,
    None,
    seed=run.settings.seed,
    validation_split=_HELD_OUT,
  )
  run.begin_labels(made.labels, files.checksum(path))
  return made.latents


def _encode(run, model, split):
  """Returns the latents of a split's images."""
  from lc_keras import batched
  from lc_keras.data import latents
  from lc_keras.data import pipeline

  at_once = batched.rows_at_once(model.image_shape, run.settings.batch_size)
  batches = pipeline.load(run.dataset, split, at_once, data_dir=run.data_dir)
  return map(latents.encoder(model), _progress(split)(batches))


def _draw(run, model, split):
  """Returns draws of the prior, labelled if there is a classifier."""
  from lc_keras.constraints import completion
  from lc_keras.data import latents
  from lc_keras.models import storage

  settings, read = run.settings, None
  if run.labels_latents:
    classifier = storage.load(run.path("classifier"))

    def read(images):
      return completion.likely(run.attributes, classifier(images))

  return latents.draw(
    model,
    settings[f"rows_{split}"].value,
    settings.posterior_scale,
    # No two splits share their draws.
    (settings.seed, list(_ROWS).index(split)),
    read=read,
    batch_size=settings.batch_size,
    progress=_progress(split),
  )


def _progress(split):
  return functools.partial(tqdm.tqdm, desc=f"latents: {split}", unit=" batches")


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
