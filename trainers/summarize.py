"""Summarises the reports of several runs: each figure's mean and spread.

    python -m trainers.summarize --runs=runs/a,runs/b,runs/c \
        --out=docs/results/studio.json

Runs that differ only in their seeds show how much of a figure is chance. The
first run's pictures are written beside the JSON file, as studio_samples.jpg and
the like. The output depends on the reports alone: it can be committed and
reproduced.
"""

import json
import os
import re
import shlex
from collections.abc import Mapping

from absl import flags
from PIL import Image

from lc_keras import files
from lc_keras.evaluation import summary
from trainers import program
from trainers import stages

# These must agree, or the figures of the runs are not the same quantity.
_SAME = (
  "dataset",
  "split",
  "images",
  "images of slow samplers",
  "edits per attribute and direction",
  "threshold",
)
_PICTURES = ("samples", "edits", "reconstructions")


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  options = {"flag_values": values, "required": True}
  flags.DEFINE_list(
    "runs", None, "Folders of runs that have been evaluated.", **options
  )
  flags.DEFINE_string("out", None, "JSON file to write.", **options)


def run_job(settings: flags.FlagValues) -> None:
  """Writes the summary, and prints its main figures as Markdown.

  Raises:
    ValueError: A run has no report, is named twice, or differs from the
      others in one of `_SAME`.
  """
  folders = [os.path.normpath(folder) for folder in settings.runs]
  if len(set(folders)) < len(folders):
    raise ValueError("--runs names a run twice.")
  reports = {folder: _report(folder) for folder in folders}
  facts = {folder: one["provenance"] for folder, one in reports.items()}
  for name in _SAME:
    found = {folder: one.get(name) for folder, one in facts.items()}
    if len(set(found.values())) > 1:
      told = ", ".join(
        f"{value} in {folder}" for folder, value in found.items()
      )
      raise ValueError(
        f"The runs differ in {name}: {told}. Evaluate them alike."
      )
  command = ["python", "-m", "trainers.summarize"]
  command += [f"--runs={','.join(settings.runs)}", f"--out={settings.out}"]
  result = {
    "command": shlex.join(command),
    **{name: facts[folders[0]].get(name) for name in _SAME},
    "runs": {
      folder: {
        **{name: one[name] for name in ("seed", "versions", "weights")},
        "flags": _flags(folder),
      }
      for folder, one in facts.items()
    },
    "systems": summary.of([one["systems"] for one in reports.values()]),
  }
  os.makedirs(os.path.dirname(os.path.abspath(settings.out)), exist_ok=True)
  files.write_text(settings.out, _text(result))
  # As JPEG, a third of the size: these are committed.
  stem, _ = os.path.splitext(settings.out)
  for name in _PICTURES:
    path = os.path.join(folders[0], "report", f"{name}.png")
    if os.path.exists(path):
      with files.replacing(f"{stem}_{name}.jpg") as aside:
        with Image.open(path) as picture:
          picture.convert("RGB").save(aside, quality=90)
  print(summary.table(result["systems"]))


def _report(folder):
  path = os.path.join(folder, "report", "results.json")
  if not os.path.exists(path):
    raise ValueError(
      f"{folder!r} has no report. Write it with `python -m trainers.evaluate "
      f"--run_dir={folder}`."
    )
  return files.read_json(path)


def _flags(folder):
  """Returns, as a line per stage, the flags that affect its result."""
  found = {}
  for name in sorted(os.listdir(folder)):
    lines = stages.flags_of(os.path.join(folder, name))
    if lines is not None:
      found[name] = shlex.join(
        f"--{key}={value}" if value else f"--{key}"
        for key, value in stages.settings_of(lines).items()
      )
  return found


def _text(result: Mapping) -> str:
  """Returns JSON in which every figure is one line."""
  text = json.dumps(result, indent=2, allow_nan=False) + "\n"
  return re.sub(
    r'{\s*("mean":[^{}]*?)\s*}',
    lambda found: f"{{{' '.join(found[1].split())}}}",
    text,
  )


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
