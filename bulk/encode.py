"""Encodes a run's data set into its latent cache, shard by shard.

    python -m bulk.encode --run_dir=runs/mine --runner=DirectRunner

Writes the same cache as `python -m trainers.latents`, for a run whose generator
can encode.
"""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
from absl import flags

from bulk import runners
from bulk import shards
from trainers import latents as latents_job
from trainers import program

_SPLITS = ("train", "validation", "test")


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  latents_job.define_flags(values)
  runners.define_flags(values)


@dataclasses.dataclass(frozen=True)
class Encoding:
  """Encodes rows of a data set, see `shards.Work`."""

  run_dir: str
  dataset: str
  data_dir: str
  batch_size: int
  identity: Mapping[str, str]
  ending: str = ".npz"

  def open(self) -> shards.Make:
    """Loads the generator."""
    from lc_keras.data import latents
    from lc_keras.data import pipeline
    from lc_keras.generators import generator

    encode = latents.encoder(generator.load(self.run_dir))

    def make(shard, path):
      batches = pipeline.load(
        self.dataset,
        shard.split,
        self.batch_size,
        data_dir=self.data_dir,
        rows=(shard.start, shard.stop),
      )
      rows = latents.join(map(encode, batches))
      good, bad = shards.split_rows(shard, [rows.mean, rows.scale])
      with open(path, "wb") as file:
        np.savez(file, **vars(rows.take(good)))
      return bad

    return make


def run_job(settings: flags.FlagValues) -> None:
  """Writes the latent cache of a run.

  Raises:
    ValueError: The run has no images to encode, or too many rows are bad.
  """
  from lc_keras.data import latent_cache
  from lc_keras.data import latents
  from lc_keras.data import pipeline
  from lc_keras.generators import generator
  from trainers import runs

  run = runs.open_run(settings)
  if not generator.has_encoder(run.folder):
    raise ValueError(
      f"The generator of {run.folder!r} cannot encode. Draws of its prior take "
      "no work worth sharing: use `python -m trainers.latents`."
    )
  stage = run.stage("latents", _flags_of_latents(settings))
  origin = run.latents_source()
  if stage.done:
    latent_cache.read_manifest(stage.path("cache"), origin)
    return
  # Whole batches: shards then have the batches of the whole split.
  batches = -(-settings.rows_per_shard // settings.batch_size)
  rows_per_shard = batches * settings.batch_size
  work = Encoding(
    os.path.abspath(run.folder),
    run.dataset,
    os.path.abspath(run.data_dir),
    settings.batch_size,
    {
      **origin,
      "rows_per_shard": str(rows_per_shard),
      "batch_size": str(settings.batch_size),
    },
  )
  splits = {
    split: shards.cut(
      split,
      pipeline.count(run.dataset, split, data_dir=run.data_dir),
      rows_per_shard,
    )
    for split in _SPLITS
  }
  job = shards.Job(stage.path("shards"), work, sum(splits.values(), []))
  runners.run(job, settings)

  def pieces(split):
    for shard in splits[split]:
      with np.load(job.path(shard), allow_pickle=False) as arrays:
        yield latents.Latents(**arrays)

  latent_cache.write(
    stage.path("cache"), {split: pieces(split) for split in splits}, origin
  )
  stage.finish(rows=latent_cache.read_manifest(stage.path("cache"))["rows"])


def _flags_of_latents(settings):
  """Returns the flags of `trainers.latents`, whose stage this is."""
  values = flags.FlagValues()
  latents_job.define_flags(values)
  for name in values:
    values[name].value = settings[name].value
  values.mark_as_parsed()
  return values


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, again="makes the shards that are missing")


if __name__ == "__main__":
  main()
