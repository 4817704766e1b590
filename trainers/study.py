"""Trains, evaluates and summarises everything for one data set's results.

    python -m trainers.study --flagfile=configs/toon_faces/study.cfg

Trains the generative model once and the models of its latent space once per
seed, evaluates each seed's run and summarises the reports. Like every job it
can be resumed, and exits with 75 after SIGTERM, 130 after Ctrl-C.
"""

import functools
import importlib
import os

from absl import flags

from trainers import commands
from trainers import program


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  string = functools.partial(flags.DEFINE_string, flag_values=values)
  names = functools.partial(flags.DEFINE_list, flag_values=values)
  string(
    "run_dir", None, "Folder of the runs, seed_<number> in it.", required=True
  )
  string("config_dir", None, "Folder with a flagfile per job.", required=True)
  string("data_dir", "data", "Folder in which prepared data sets are kept.")
  string(
    "results", None, "JSON file for the summary over the seeds.", required=True
  )
  names(
    "seeds",
    ["0", "1", "2"],
    "Seeds; the first one's run has the generative model that all share.",
  )
  flags.register_validator(
    "seeds",
    lambda seeds: seeds and all(seed.isdigit() for seed in seeds),
    "--seeds are whole numbers separated by commas, at least one.",
    flag_values=values,
  )
  names(
    "generator",
    ["data", "vae", "latents", "classifier"],
    "Jobs that look at pixels, run once: names of flagfiles without .cfg, "
    "after the job and a colon where that has another name.",
  )
  names(
    "jobs",
    ["attributes", "realism", "flow", "linear", "actor"],
    "Jobs that are run for every seed; written like --generator.",
  )
  names(
    "once",
    [],
    "Jobs that are run for the first seed only, such as baselines and "
    "ablations; written like --generator.",
  )


def run_job(settings: flags.FlagValues) -> None:
  """Trains, evaluates and summarises; finished stages are skipped."""
  folders = [
    os.path.join(settings.run_dir, f"seed_{seed}") for seed in settings.seeds
  ]
  for folder, seed in zip(folders, settings.seeds):
    jobs = commands.Commands(folder, settings.data_dir, settings.config_dir)
    shared, once = [f"--base_run={folders[0]}"], []
    if folder == folders[0]:
      for config in settings.generator:
        jobs.train(config)
      shared, once = [], settings.once
    for config in (*settings.jobs, *once, "evaluate"):
      jobs.train(config, *shared, *_seed(config, seed))
  whole = commands.Commands(
    settings.run_dir, settings.data_dir, settings.config_dir
  )
  whole.run(
    "summary",
    "-m",
    "trainers.summarize",
    f"--runs={','.join(folders)}",
    f"--out={settings.results}",
  )


def _seed(config, seed):
  """Returns the --seed flag of a job; nothing if the job has none."""
  job, _, name = config.rpartition(":")
  values = flags.FlagValues()
  importlib.import_module(f"trainers.{job or name}").define_flags(values)
  return [f"--seed={seed}"] if "seed" in values else []


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
