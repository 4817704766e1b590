"""Fits one straight direction per attribute to cached latents, in seconds.

python -m trainers.linear --run_dir=runs/mine
"""

from absl import flags
from etils import epy

from trainers import common_flags
from trainers import latents as latents_job
from trainers import runs

with epy.lazy_imports():
  from lc_keras.data import latent_cache
  from lc_keras.models import linear_directions
  from lc_keras.models import storage


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)


def train(settings: flags.FlagValues) -> None:
  """Fits the directions of a run."""
  run = runs.open_run(settings)
  stage = runs.Stage(run, "linear", settings)
  if stage.done:
    return
  cache, source = run.path("latents", "cache"), latents_job.source(run)
  rows = latent_cache.read(cache, "train", source)
  model = linear_directions.LinearDirections.estimate(rows)
  storage.save(model, stage.folder)
  held_out = latent_cache.read(cache, "validation", source)
  held_out = held_out.take(slice(None))
  right = (model(held_out.mean).numpy() > 0.0) == (held_out.attributes > 0.5)
  stage.finish(
    rows=len(rows),
    accuracy=dict(zip(run.attributes.names, right.mean(0).tolist())),
  )


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
