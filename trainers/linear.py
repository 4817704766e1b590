"""Fits one straight direction per attribute to cached latents, in seconds.

python -m trainers.linear --run_dir=runs/mine
"""

import numpy as np
from absl import flags

from trainers import common_flags
from trainers import program

define_flags = common_flags.define_run_flags


def run_job(settings: flags.FlagValues) -> None:
  """Fits the directions of a run."""
  from lc_keras.models import linear_directions
  from lc_keras.models import storage
  from trainers import runs

  run = runs.open_run(settings)
  stage = run.stage("linear", settings)
  if stage.done:
    return
  rows = run.parts.latents["train"]
  model = linear_directions.LinearDirections.estimate(rows)
  model.made_for = run.parts.fingerprint
  storage.save(model, stage.folder)
  held_out = run.parts.latents["validation"]
  labels = np.asarray(held_out.attributes)
  right = (model(held_out.mean).numpy() > 0.0) == (labels > 0.5)
  right = np.ma.array(right, mask=np.isnan(labels))
  stage.finish(
    rows=len(rows),
    accuracy=dict(zip(run.attributes.names, right.mean(axis=0).tolist())),
  )


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
