"""Encodes a data set once, so that pixels are never touched again.

python -m trainers.latents --run_dir=runs/mine
"""

import os

import tqdm
from absl import flags

from lc_keras import files
from lc_keras import latents
from lc_keras.datasets import pipeline
from lc_keras.models import storage
from trainers import common_flags
from trainers import runs

_SPLITS = ("train", "validation", "test")


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  flags.DEFINE_integer(
    "batch_size",
    256,
    "Images encoded at once.",
    lower_bound=1,
    flag_values=values,
  )


def encode(settings: flags.FlagValues) -> None:
  """Writes the latent cache of a run."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "latents", settings)
  origin = source(run)
  if stage.done:
    latents.read_manifest(stage.path("cache"), origin)
    return
  vae = storage.load(run.path("vae"))
  splits = {}
  for split in _SPLITS:
    batches = pipeline.load(
      run.dataset, split, settings.batch_size, data_dir=run.data_dir
    )
    splits[split] = latents.encode(
      vae, tqdm.tqdm(batches, desc=f"latents: {split}", unit=" batches")
    )
  latents.write(stage.path("cache"), splits, origin)
  stage.finish(rows={name: len(split) for name, split in splits.items()})


def source(run: runs.Run) -> dict[str, str]:
  """Returns where a run's latents must come from."""
  weights = os.path.join(run.path("vae"), storage.WEIGHTS)
  if not os.path.exists(weights):
    raise FileNotFoundError(
      f"{weights} is missing: train the generative model first, with "
      "`python -m trainers.vae` and the same --run_dir."
    )
  return {
    "vae": files.checksum(weights),
    "dataset": run.dataset,
    "attributes": ",".join(run.attributes.names),
  }


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, encode)


if __name__ == "__main__":
  main()
