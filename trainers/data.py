"""Prepares a run's data set, so that no training has to wait for it.

python -m trainers.data --dataset=toon_faces/studio --run_dir=runs/mine
"""

from absl import flags

from trainers import common_flags
from trainers import program

define_flags = common_flags.define_run_flags


def run_job(settings: flags.FlagValues) -> None:
  """Begins the run and prepares its data set."""
  from trainers import runs

  runs.open_run(settings)


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
