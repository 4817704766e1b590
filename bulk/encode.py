"""Encodes a run's data set into its latent cache, shard by shard.

    python -m bulk.encode --run_dir=runs/mine --runner=DirectRunner

Leaves the very cache that `python -m trainers.latents` leaves, for a run whose
generative model can encode.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

import numpy as np
from absl import flags
from etils import epy

from bulk import running
from bulk import shards as shards_lib
from trainers import latents as latents_job
from trainers import runs

with epy.lazy_imports():
  import tensorflow as tf

  from lc_keras.data import latent_cache
  from lc_keras.data import latents
  from lc_keras.data import pipeline
  from lc_keras.generators import generator

_SPLITS = ("train", "validation", "test")


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  latents_job.define_flags(values)
  running.define_flags(values)
  flags.DEFINE_integer(
    "batches_per_shard",
    16,
    "Batches that a shard holds: as many are lost when a worker is.",
    lower_bound=1,
    flag_values=values,
  )


@dataclasses.dataclass(frozen=True)
class Encoding:
  """Encodes rows of a data set, see `shards.Work`."""

  run_dir: str
  dataset: str
  data_dir: str
  batch_size: int
  identity: Mapping[str, str]
  ending: str = ".npz"

  def open(self) -> _Encoder:
    """Loads the generative model."""
    return _Encoder(self)


class _Encoder:
  def __init__(self, work):
    self._work = work
    model = generator.load(work.run_dir)

    def read(images):
      posterior = model.encode(images)
      return posterior.mean(), posterior.stddev()

    # Traced once, and not for every shard.
    shape = [None, *model.image_shape]
    self._read = tf.function(
      read, [tf.TensorSpec(shape, tf.float32)], autograph=False
    )

  def make(self, shard, path):
    found = self._encode(shard.start, shard.stop, shard.split)
    arrays = dataclasses.asdict(found)
    good = np.all(
      [np.isfinite(array).all(axis=1) for array in arrays.values()], axis=0
    )
    with open(path, "wb") as file:
      np.savez(file, **{name: array[good] for name, array in arrays.items()})
    bad = shard.start + np.flatnonzero(~good)
    return shards_lib.Made(
      int(good.sum()), dict.fromkeys(bad.tolist(), "not a number")
    )

  def _encode(self, start, stop, split):
    work = self._work
    batches = pipeline.load(
      work.dataset,
      split,
      work.batch_size,
      data_dir=work.data_dir,
      rows=(start, stop),
    )
    parts = [(*self._read(b["image"]), b["attributes"]) for b in batches]
    return latents.Latents(*map(np.concatenate, zip(*parts)))


def encode(settings: flags.FlagValues) -> None:
  """Writes the latent cache of a run.

  Raises:
    runs.UserError: The run has no images to encode.
    ValueError: Too many rows are bad.
  """
  run = runs.open_run(settings)
  if not generator.has_encoder(run.folder):
    raise runs.UserError(
      f"The generative model of {run.folder!r} cannot encode. Draws of its "
      "prior take no work worth sharing: use `python -m trainers.latents`."
    )
  stage = runs.Stage(run, "latents", _of_the_job(settings))
  origin = latents_job.source(run)
  if stage.done:
    latent_cache.read_manifest(stage.path("cache"), origin)
    return
  work = Encoding(
    os.path.abspath(run.folder),
    run.dataset,
    os.path.abspath(run.data_dir),
    settings.batch_size,
    {
      **origin,
      "rows": str(settings.batches_per_shard * settings.batch_size),
      "batch": str(settings.batch_size),
    },
  )
  cut = {
    split: shards_lib.cut(
      split,
      pipeline.count(run.dataset, split, data_dir=run.data_dir),
      settings.batches_per_shard * settings.batch_size,
    )
    for split in _SPLITS
  }
  folder = stage.path("shards")
  running.run(
    folder, work, [shard for split in cut.values() for shard in split], settings
  )
  splits = {
    split: _joined(shards_lib.path(folder, work, shard) for shard in shards)
    for split, shards in cut.items()
  }
  latent_cache.write(stage.path("cache"), splits, origin)
  stage.finish(rows={name: len(split) for name, split in splits.items()})


def _of_the_job(settings):
  """Returns the flags of `trainers.latents`, whose stage this is."""
  values = flags.FlagValues()
  latents_job.define_flags(values)
  lines = [
    settings[name].serialize()
    for name in values
    if name in settings and settings[name].value is not None
  ]
  values(["latents", *filter(None, lines)])
  return values


def _joined(paths: Iterator[str]):
  found = []
  for path in paths:
    with np.load(path, allow_pickle=False) as arrays:
      if arrays:  # No row of it may have been good.
        found.append(dict(arrays))
  return latents.Latents(
    *(
      np.concatenate([arrays[name] for arrays in found])
      for name in ("mean", "scale", "attributes")
    )
  )


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, encode, again="makes the shards that are missing")


if __name__ == "__main__":
  main()
