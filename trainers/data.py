"""Prepares a run's data set, so that no training has to wait for it.

python -m trainers.data --dataset=toon_faces/studio --run_dir=runs/mine
"""

from absl import flags

from trainers import common_flags
from trainers import runs


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)


def prepare(settings: flags.FlagValues) -> None:
  """Begins the run and prepares its data set."""
  runs.open_run(settings)


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, prepare)


if __name__ == "__main__":
  main()
