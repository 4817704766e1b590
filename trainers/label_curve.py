"""Measures the quality of constraints as a function of the number of labels.

    python -m trainers.classifier --flagfile=configs/toon_faces/classifier.cfg \
        --run_dir=runs/mine --stage=judge --attributes=Bangs,Pale_Skin
    python -m trainers.label_curve --run_dir=runs/mine --out=labels.json

Learns each attribute that the judge reads as a new constraint, from 100, 1,000
and 10,000 labels. The judge, a classifier trained on all labels, then reads
samples and edits. Constraints that were measured before are not measured again.
"""

import functools
import os
import shlex
import sys

import numpy as np
from absl import flags

from lc_keras import files
from lc_keras import recipes
from trainers import common_flags
from trainers import messages
from trainers import program
from trainers import recipe_flags
from trainers import stages

_SHOWN = 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  string = functools.partial(flags.DEFINE_string, flag_values=values)
  string(
    "judge",
    "judge",
    "Stage of the run with a classifier that reads attributes which nothing "
    "else in the run was trained on.",
  )
  flags.DEFINE_list(
    "counts",
    ["100", "1000", "10000"],
    "Numbers of labels, separated by commas.",
    flag_values=values,
  )
  flags.register_validator(
    "counts",
    lambda counts: counts and all(n.isdigit() and int(n) for n in counts),
    "--counts are whole numbers from 1 up, separated by commas.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "rows",
    128,
    "Samples with and without a constraint, and edits each way.",
    lower_bound=1,
    flag_values=values,
  )
  recipe_flags.define(values, recipes.Constraint)
  common_flags.define_replicas_flag(values)
  string(
    "out",
    None,
    "JSON file for the figures; a chart and samples are put beside it.",
    required=True,
  )


def run_job(settings: flags.FlagValues) -> None:
  """Measures constraints that were not measured before; writes all figures."""
  # Here, so that --help need not wait for TensorFlow.
  from lc_keras import plotting
  from lc_keras.evaluation import figures
  from trainers import few_labels
  from trainers import runs

  run = runs.open_run(settings)
  run.prepare_data()
  bench = few_labels.Bench(run, settings)
  folder = run.path("label_curve")
  os.makedirs(folder, exist_ok=True)
  stages.lock(os.path.join(folder, "lock"))
  files.sweep(folder)
  points, rows = [], {}
  for attribute in bench.judged:
    for count in map(int, settings.counts):
      name = f"{attribute}_{count}"
      path = os.path.join(folder, name)
      if not os.path.exists(f"{path}.json"):
        messages.info(f"{name}: learning, samples and edits")
        point, samples = bench.measure(name, attribute, count)
        with files.replacing(f"{path}.npy") as aside, open(aside, "wb") as file:
          np.save(file, samples[:, :_SHOWN])
        files.write_json(f"{path}.json", point)
      points.append(files.read_json(f"{path}.json"))
      rows[f"not {name}"], rows[name] = np.load(
        f"{path}.npy", allow_pickle=False
      )
  command = ["python", "-m", "trainers.label_curve", *sys.argv[1:]]
  files.write_json(
    settings.out,
    {
      "command": shlex.join(command),
      "dataset": run.dataset,
      "rows": settings.rows,
      "real images": {name: bench.real_images(name) for name in bench.judged},
      "points": points,
    },
  )
  stem, _ = os.path.splitext(settings.out)
  plotting.save(figures.label_curve(points), f"{stem}.png")
  grid = plotting.grid(np.stack(list(rows.values())), row_labels=list(rows))
  with files.replacing(f"{stem}_samples.jpg") as aside:
    grid.save(aside, quality=90)
  messages.info(f"Look at {stem}.png and {stem}_samples.jpg")


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, "goes on with what is not measured yet")


if __name__ == "__main__":
  main()
