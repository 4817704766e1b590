"""Learns an encoder for a generator that has none, from its own draws.

    python -m trainers.encoder --run_dir=runs/theirs

With an encoder, given images can be edited: `lc_keras.load`, `serving.export`
and all later jobs read it from the run.
"""

from absl import flags

from lc_keras import recipes
from trainers import common_flags
from trainers import program
from trainers import recipe_flags


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  recipe_flags.define(values, recipes.Encoder)


def run_job(settings: flags.FlagValues) -> None:
  """Learns the encoder of a run."""
  from lc_keras import parts
  from lc_keras import progress
  from lc_keras.learning import encoding
  from lc_keras.models import encoder
  from lc_keras.models import storage
  from trainers import messages
  from trainers import runs

  run = runs.open_run(settings, needs_data=False)
  stage = run.stage(encoder.MODEL, settings)
  if stage.done:
    return
  recipe = recipe_flags.read(settings, recipes.Encoder)
  model, figures = encoding.learn(
    parts.read(run.folder), recipe, progress.Progress(True)
  )
  storage.save(model, stage.folder)
  stage.finish(**figures)
  messages.info(
    "Draws that it has not seen are encoded at "
    f"{figures['decibels']['encoded']:.1f} dB "
    f"({figures['decibels']['guessed']:.1f} dB without the search)."
  )


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
