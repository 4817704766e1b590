"""Summarises the reports of several runs: each figure's mean and spread.

    python -m trainers.summarize --runs=runs/a,runs/b,runs/c \
        --out=docs/results/studio.json

Runs that differ in their seeds say how much of a figure is chance. The first
one's pictures are put beside the numbers: studio_samples.jpg and the like. The
output depends on the reports alone, so that it can be committed and made again.
"""

import json
import os
import re
import shlex
import statistics

from absl import flags
from PIL import Image

from lc_keras import files
from trainers import program

# What must agree, or the figures of the runs are not the same quantity.
_SAME = (
  "dataset",
  "split",
  "images",
  "images of slow samplers",
  "edits per attribute and direction",
  "threshold",
)
# What is about single rows or about one run.
_LEFT_OUT = frozenset(
  {
    "changes",
    "failures",
    "figures",
    "intervals",
    "rows",
    "seed",
    "threshold",
    "weights",
  }
)
_PICTURES = ("samples", "edits", "reconstructions")
_SHOWN = {
  "Weighted F1": ("natural", "weighted_f1"),
  "Macro F1": ("natural", "macro_f1"),
  "Unseen: weighted F1": ("unseen", "weighted_f1"),
  "FID": ("fidelity", "fid"),
  "Diversity": ("diversity", "ratio"),
  "Edits read": ("transformations", "mean_read"),
  "Least read": ("transformations", "min_read"),
  "Others changed": ("transformations", "mean_others_changed"),
  "Sample, ms": ("cost", "milliseconds"),
  "Edit, ms": ("transformations", "milliseconds"),
  "One more attribute, s": ("training", "new_attribute_seconds"),
}


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  flags.DEFINE_list(
    "runs",
    None,
    "Folders of runs that have been evaluated.",
    flag_values=values,
    required=True,
  )
  flags.DEFINE_string(
    "out", None, "JSON file to write.", flag_values=values, required=True
  )


def summarize(settings: flags.FlagValues) -> None:
  """Writes the summary, and prints its main figures as Markdown.

  Raises:
    ValueError: A run has no report, is named twice, or differs from the
      others in what was measured.
  """
  folders = [os.path.normpath(folder) for folder in settings.runs]
  if len(set(folders)) < len(folders):
    raise ValueError("--runs names a run twice.")
  reports = {folder: _report(folder) for folder in folders}
  first = reports[folders[0]]
  for name in _SAME:
    found = {
      folder: report["provenance"].get(name)
      for folder, report in reports.items()
    }
    if len(set(found.values())) > 1:
      raise ValueError(
        f"The runs differ in {name}: "
        + ", ".join(f"{value} in {folder}" for folder, value in found.items())
        + ". Evaluate them alike."
      )
  names = dict.fromkeys(
    name for report in reports.values() for name in report["systems"]
  )
  summary = {
    "command": shlex.join(
      [
        "python",
        "-m",
        "trainers.summarize",
        f"--runs={','.join(settings.runs)}",
        f"--out={settings.out}",
      ]
    ),
    **{name: first["provenance"].get(name) for name in _SAME},
    "runs": {
      folder: {
        "seed": report["provenance"]["seed"],
        "versions": report["provenance"]["versions"],
        "weights": report["provenance"]["weights"],
        "flags": _flags(folder),
      }
      for folder, report in reports.items()
    },
    "systems": {
      name: _summary(
        [
          report["systems"][name]
          for report in reports.values()
          if name in report["systems"]
        ]
      )
      for name in names
    },
  }
  os.makedirs(os.path.dirname(os.path.abspath(settings.out)), exist_ok=True)
  with files.replacing(settings.out) as aside:
    with open(aside, "w", encoding="utf-8") as file:
      file.write(_text(summary))
  _copy_pictures(folders[0], settings.out)
  print(table(summary))


def table(summary: dict) -> str:
  """Returns the main figures of a summary as a Markdown table."""
  lines = [
    ["", "Runs", *_SHOWN],
    ["---", *["---:"] * (1 + len(_SHOWN))],
  ]
  for system in summary["systems"].values():
    cells = (_cell(system, keys) for keys in _SHOWN.values())
    lines.append([system["title"], str(system["runs"]), *cells])
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _report(folder):
  path = os.path.join(folder, "report", "results.json")
  if not os.path.exists(path):
    raise ValueError(
      f"{folder!r} has no report. Write it with `python -m trainers.evaluate "
      f"--run_dir={folder}`."
    )
  with open(path, encoding="utf-8") as file:
    return json.load(file)


def _copy_pictures(folder, out):
  """Copies what a report has of `_PICTURES` beside the summary.

  As JPEG, a third of the size: these are committed.
  """
  stem, _ = os.path.splitext(out)
  for name in _PICTURES:
    path = os.path.join(folder, "report", f"{name}.png")
    if os.path.exists(path):
      with files.replacing(f"{stem}_{name}.jpg") as aside:
        with Image.open(path) as picture:
          picture.convert("RGB").save(aside, quality=90)


def _flags(folder):
  """Returns the flags of every stage of a run, each as one line.

  Where things lay is left out: it says nothing of the figures.
  """
  stages = {}
  for name in sorted(os.listdir(folder)):
    lines = stages.flags_of(os.path.join(folder, name))
    if lines is not None:
      settings = stages.settings_of(lines)
      stages[name] = shlex.join(
        f"--{key}={value}" if value else f"--{key}"
        for key, value in settings.items()
      )
  return stages


def _summary(systems):
  """Returns the figures of one system, over the runs that have it."""
  return {"runs": len(systems), **_merged(systems)}


def _merged(values):
  """Merges the same part of several reports.

  Numbers become their mean, standard deviation (over n - 1), least and most;
  mappings and lists of one length are merged part by part; other values are
  kept where all agree, and are None where not.
  """
  first = values[0]
  if all(isinstance(value, dict) for value in values):
    names = dict.fromkeys(name for value in values for name in value)
    return {
      name: _merged([value.get(name) for value in values])
      for name in names
      if name not in _LEFT_OUT
    }
  if all(isinstance(value, list) for value in values):
    if len({len(value) for value in values}) > 1:
      return None
    return [_merged(list(parts)) for parts in zip(*values)]
  numbers = [value for value in values if _is_number(value)]
  if numbers:
    figure = {
      "mean": statistics.fmean(numbers),
      "std": statistics.stdev(numbers) if len(numbers) > 1 else 0.0,
      "min": min(numbers),
      "max": max(numbers),
    }
    # More digits than any figure has, and fewer than make a file unreadable.
    return {name: float(f"{value:.6g}") for name, value in figure.items()}
  return first if all(value == first for value in values) else None


def _text(summary):
  """Returns JSON in which every figure is one line."""
  text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
  return re.sub(
    r'{\s*("mean":[^{}]*?)\s*}',
    lambda found: f"{{{' '.join(found[1].split())}}}",
    text,
  )


def _is_number(value):
  return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(system, keys):
  """Returns a mean and its standard deviation, as text."""
  for key in keys:
    system = (system or {}).get(key)
  if system is None:
    return "–"
  digits = 3 if system["mean"] < 10 else 1
  text = f"{system['mean']:.{digits}f}"
  return f"{text} ± {system['std']:.{digits}f}" if system["std"] else text


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, summarize)


if __name__ == "__main__":
  main()
