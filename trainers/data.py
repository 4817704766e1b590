"""Prepares a run's data set, so that no training has to wait for it.

python -m trainers.data --dataset=toon_faces/studio --run_dir=runs/mine
python -m trainers.data --dataset=images:photos --labels=photos.csv \
    --run_dir=runs/mine

Prints the number of images in each split, and how often each attribute is on.
docs/data.md describes the formats that can be read.
"""

import numpy as np
from absl import flags

from trainers import common_flags
from trainers import messages
from trainers import program

define_flags = common_flags.define_run_flags


def run_job(settings: flags.FlagValues) -> None:
  """Begins the run and prepares its data set."""
  from trainers import runs

  run = runs.open_run(settings)
  run.prepare_data()
  _tell(run)


def _tell(run):
  """Prints the image shape, splits, notes and attributes of the data set."""
  from lc_keras.data import pipeline

  spec = pipeline.describe(run.dataset, run.data_dir)
  counts = {
    split: pipeline.count(run.dataset, split, data_dir=run.data_dir)
    for split in spec.splits
  }
  told = ", ".join(f"{split} {count}" for split, count in counts.items())
  messages.info(f"{run.dataset}: {spec.image_shape}; {told}")
  for note in spec.notes:
    messages.info(f"- {note}")
  attributes = spec.attributes
  labels = pipeline.all_labels(run.dataset, "train", data_dir=run.data_dir)
  for name, column in zip(attributes.names, labels.T):
    known = ~np.isnan(column)
    kind = "mean" if name in attributes.continuous else "on in"
    share = column[known].mean() if known.any() else np.nan
    part = "" if known.all() else f", known of {known.mean():.1%}"
    told = f"{share:.3f}" if kind == "mean" else f"{share:.1%}"
    messages.info(f"  {name}: {kind} {told}{part}")
  for group in attributes.exclusive:
    messages.info(f"  at most one of {', '.join(group)}")


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
