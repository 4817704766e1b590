"""Encodes a data set once, so that pixels are never touched again.

python -m trainers.latents --run_dir=runs/mine

A generative model without an encoder, or a run without a data set, gets draws
of the prior instead. Their labels are what the run's classifier reads in the
images that they decode to, if there is a classifier.
"""

import functools

import tqdm
from absl import flags
from etils import epy

from lc_keras import files
from trainers import common_flags
from trainers import runs

with epy.lazy_imports():
  from lc_keras.data import latent_cache
  from lc_keras.data import latents
  from lc_keras.data import pipeline
  from lc_keras.generators import generator
  from lc_keras.models import storage

# Rows of each split, where they are drawn.
_ROWS = {"train": 20_000, "validation": 2_000, "test": 2_000}
_POSTERIOR_SCALE = 0.1


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
  # No defaults: a run that was begun without these flags has to go on.
  for split, rows in _ROWS.items():
    flags.DEFINE_integer(
      f"rows_{split}",
      None,
      f"Draws of the prior for the split {split}, where there is no encoder or "
      f"no data set; {rows:,} if not given. Images are all encoded.",
      lower_bound=1,
      flag_values=values,
    )
  flags.DEFINE_float(
    "posterior_scale",
    None,
    "Standard deviation of each draw of the prior, in each dimension: how far "
    f"one can move without it being seen. {_POSTERIOR_SCALE} if not given.",
    lower_bound=1e-3,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "seed",
    None,
    "Seed of the draws of the prior; 0 if not given.",
    lower_bound=0,
    flag_values=values,
  )


def encode(settings: flags.FlagValues) -> None:
  """Writes the latent cache of a run."""
  run = runs.open_run(settings, needs_data=False)
  stage = runs.Stage(run, "latents", settings)
  origin = source(run, labelled=_is_labelled(run))
  if stage.done:
    latent_cache.read_manifest(stage.path("cache"), origin)
    return
  model = generator.load(run.folder)
  make = _encode if _has_images(run) else _draw
  splits = {split: make(run, model, split, settings) for split in _ROWS}
  latent_cache.write(stage.path("cache"), splits, origin)
  stage.finish(rows=latent_cache.read_manifest(stage.path("cache"))["rows"])


def source(run: runs.Run, labelled: bool = True) -> dict[str, str | None]:
  """Returns where a run's latents must come from.

  Args:
    run: The run.
    labelled: Whether it matters where their labels come from, too.

  Raises:
    FileNotFoundError: There is no generative model.
    runs.UserError: There are no labels.
  """
  origin = {
    "generator": generator.fingerprint(run.folder),
    "dataset": run.dataset,
  }
  if not labelled:
    return origin
  if not _is_labelled(run):
    raise runs.UserError(
      "The generative model cannot encode, so that its latents have no labels "
      "but those that a classifier reads. Train one (`python -m "
      "trainers.classifier`), delete the latents if there are some, and write "
      "them (`python -m trainers.latents`), with the same --run_dir."
    )
  origin["attributes"] = ",".join(run.attributes.names)
  if not _has_images(run):
    weights = run.path("classifier", storage.WEIGHTS)
    origin["classifier"] = files.checksum(weights)
  return origin


def _has_images(run):
  """Whether latents are those of images, and not of draws of the prior."""
  return bool(run.dataset) and generator.has_encoder(run.folder)


def _is_labelled(run):
  return _has_images(run) or run.done("classifier") is not None


def _encode(run, model, split, settings):
  batches = pipeline.load(
    run.dataset, split, settings.batch_size, data_dir=run.data_dir
  )
  return latents.encode(model, _progress(split)(batches))


def _draw(run, model, split, settings):
  read = None
  if _is_labelled(run):
    classifier = storage.load(run.path("classifier"))

    def read(images):
      return run.attributes.likely(classifier(images))

  return latents.draw(
    model,
    settings[f"rows_{split}"].value or _ROWS[split],
    settings.posterior_scale or _POSTERIOR_SCALE,
    # No two splits share their draws.
    (settings.seed or 0, list(_ROWS).index(split)),
    read=read,
    batch_size=settings.batch_size,
    progress=_progress(split),
  )


def _progress(split):
  return functools.partial(tqdm.tqdm, desc=f"latents: {split}", unit=" batches")


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, encode)


if __name__ == "__main__":
  main()
