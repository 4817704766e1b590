"""Measures all samplers and baselines of a run, and writes the report.

    python -m trainers.evaluate --run_dir=runs/mine

Every sampler and baseline whose stages are finished answers the same requests
on the same held-out images, see `lc_keras.evaluation.protocol`. The figures of
each system are kept in report/systems: an interrupted evaluation resumes with
the next system.
"""

import functools

from absl import flags

from trainers import common_flags
from trainers import messages
from trainers import program


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  flags.DEFINE_list(
    "systems",
    None,
    "Names of the samplers and baselines to evaluate, such as actor_0.1 or "
    "conditional_vae; all that the run has if not given.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "split", "test", "Held-out split to score on.", flag_values=values
  )
  count = functools.partial(
    flags.DEFINE_integer, lower_bound=1, flag_values=values
  )
  count(
    "limit",
    5000,
    "Most rows of the split to score on, and most samples of combinations that "
    "training never saw; as many rows are compared for an FID.",
  )
  count(
    "slow_limit",
    256,
    "The same for samplers that take some hundred steps a row.",
  )
  count(
    "transformation_rows",
    256,
    "Most held-out images per attribute and direction to switch it on.",
  )
  count(
    "curve_rows", 8, "The same for each point of a curve over a sampler's dial."
  )
  count(
    "sequence_rows",
    64,
    "Held-out images that are edited several times in a row.",
  )
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of the prior samples and of the posterior's noise.",
    lower_bound=0,
    flag_values=values,
  )


def run_job(settings: flags.FlagValues) -> None:
  """Writes the report of a run."""
  # Here, so that --help need not wait for TensorFlow.
  from trainers import measuring
  from trainers import runs

  run = runs.open_run(settings)
  stage = run.stage("report", settings)
  if stage.done:
    return
  run.prepare_data()
  measured = measuring.measure(run, stage, settings)
  stage.finish(systems=list(measured))
  for name, one in measured.items():
    if scores := one.get("natural"):
      messages.info(
        f"{name:16s} accuracy {scores['accuracy']:.3f}  weighted F1 "
        f"{scores['weighted_f1']:.3f}  macro F1 {scores['macro_f1']:.3f}"
      )


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
