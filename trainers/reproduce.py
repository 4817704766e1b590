"""Runs again what a report was made of, and compares the figures.

    python -m trainers.reproduce runs/mine/report/results.json \
        --run_dir=runs/again

Every stage is run with the flags that were recorded, in a run folder of its
own, where it goes on after an interruption. What differs here from then is
told first: versions, commit, hardware, data. On one machine, with the same
versions, every figure comes out equal. Exits with 0 if each is equal or within
noise, and with 2 if one is not.
"""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping

from absl import flags

from lc_keras import files
from trainers import code_version
from trainers import programs
from trainers import provenance
from trainers import recorded
from trainers import runs

# Stages in the order in which they are run, and the jobs that have other names.
_BEFORE_ACTORS = (
  "vae",
  "gan",
  "generator",
  "classifier",
  "latents",
  "attributes",
  "realism",
  "flow",
  "linear",
)
_AFTER_ACTORS = ("conditional_vae", "conditional_gan", "report")
_JOBS = {"generator": "import_generator", "report": "evaluate"}
# Only the job of actors has it.
_ACTORS_FLAG = "--distance_weight="
_SHOWN = 20
_DIFFERS = 2


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  flags.DEFINE_string(
    "results",
    None,
    "The results.json of a report, or a summary of trainers.summarize; may be "
    "given without the flag's name.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "run",
    None,
    "Which run of a summary; the first if not given.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "run_dir",
    "runs/again",
    "Folder of the new run.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "data_dir",
    "data",
    "Folder in which prepared data sets are kept.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "check_only",
    False,
    "Whether to tell only what is recorded and what differs here.",
    flag_values=values,
  )
  flags.DEFINE_float(
    "tolerance",
    0.02,
    "Share of its value by which a figure that was recorded without an "
    "interval may differ and be within noise.",
    lower_bound=0.0,
    flag_values=values,
  )


def reproduce(settings: flags.FlagValues) -> dict[str, str]:
  """Runs a report's stages again; returns what became of each figure.

  Leaves reproduction.json in the run folder: differences, and by figure what
  was recorded, what came out, and the verdict of `recorded.compare`.

  Raises:
    runs.UserError: There is nothing to run again, or a stage failed.
  """
  if not settings.results:
    raise runs.UserError("Say which results to reproduce, a results.json.")
  before = recorded.read(settings.results, settings.run)
  for what in before.lacks:
    runs.say(f"Not recorded: {what}.")
  different = environment(before.provenance)
  _tell(different)
  if settings.check_only:
    return {}
  stages = order(before.flags)
  jobs = programs.Programs(settings.run_dir, settings.data_dir, "")
  dataset = before.provenance.get("dataset")
  if dataset:
    jobs.run("data", *_command(settings, "data", [f"--dataset={dataset}"]))
  for stage, job in stages:
    lines = shlex.split(before.flags[stage])
    jobs.run(stage, *_command(settings, job, lines))
  path = os.path.join(settings.run_dir, "report", "results.json")
  now = recorded.read(path)
  for part in sorted({"data", "weights"} & before.provenance.keys()):
    more = _differences(part, before.provenance[part], now.provenance)
    _tell(more)
    different += more
  verdicts = recorded.compare(before, now.figures, settings.tolerance)
  _conclude(settings, before, now, verdicts, different)
  return verdicts


def order(stages: Mapping[str, str]) -> list[tuple[str, str]]:
  """Returns stages and their jobs, in the order in which they have to run.

  Args:
    stages: Their flags, by name.

  Raises:
    runs.UserError: No report is among them.
  """
  if "report" not in stages:
    raise runs.UserError(
      "The flags of the stages were not recorded: nothing can be run again."
    )
  actors = [name for name, line in stages.items() if _ACTORS_FLAG in line]
  names = [
    name
    for name in (*_BEFORE_ACTORS, *actors, *_AFTER_ACTORS)
    if name in stages
  ]
  if left_out := sorted(stages.keys() - set(names)):
    runs.say(f"Left out, no part of the report: {', '.join(left_out)}.")
  job = dict.fromkeys(actors, "actor") | _JOBS
  return [(name, job.get(name, name)) for name in names]


def environment(known: Mapping) -> list[str]:
  """Returns what is not here as it was recorded, a sentence each."""
  here = {
    "versions": provenance.versions(),
    "commit": code_version.commit(),
    "hardware": provenance.hardware(),
  }
  said = [
    sentence
    for part in here
    if known.get(part)
    for sentence in _differences(part, known[part], here)
  ]
  for where, code in (("Then", known.get("commit")), ("Now", here["commit"])):
    if code and code["dirty"]:
      said.append(f"{where}, the code had changes that no commit has.")
  others = {
    stage["commit"]["commit"]
    for stage in known.get("stages", {}).values()
    if stage.get("commit")
  } - {(known.get("commit") or {}).get("commit")}
  if others:
    said.append(
      f"Stages were made by other commits than the report: "
      f"{', '.join(sorted(others))}."
    )
  return said


def _differences(part, before, here):
  """Compares one part of what figures come from."""
  now = here[part] or {}
  return [
    f"{part}: {name} was {value}, here it is {now.get(name, 'not known')}."
    for name, value in before.items()
    if name != "dirty" and now.get(name) != value
  ]


def _tell(different):
  for sentence in different:
    runs.say(f"Differs: {sentence}")


def _command(settings, job, lines):
  return (
    "-m",
    # Run as a program, and not depended on.
    f"{__package__}.{job}",
    *lines,
    f"--run_dir={settings.run_dir}",
    f"--data_dir={settings.data_dir}",
  )


def _conclude(settings, before, now, verdicts, different):
  """Writes and tells what came out."""
  wrong = (recorded.DIFFERS, recorded.MISSING)
  rows = {
    name: {
      "verdict": verdict,
      "recorded": before.figures[name].value,
      "now": now.figures[name].value if name in now.figures else None,
    }
    for name, verdict in verdicts.items()
  }
  path = os.path.join(settings.run_dir, "reproduction.json")
  files.write_json(
    path,
    {
      "results": settings.results,
      "not recorded": before.lacks,
      "differences": different,
      "figures": rows,
    },
  )
  told = [row for row in rows.items() if row[1]["verdict"] in wrong]
  for name, row in told[:_SHOWN]:
    runs.say(f"{row['verdict']}: {name} was {row['recorded']}, is {row['now']}")
  if len(told) > _SHOWN:
    runs.say(f"... and {len(told) - _SHOWN} more")
  counts = Counter(verdicts.values())
  runs.say(
    ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts))
    + f", of {len(verdicts)} figures; {path} has each"
  )


def _run(settings):
  verdicts = reproduce(settings).values()
  if recorded.DIFFERS in verdicts or recorded.MISSING in verdicts:
    sys.exit(_DIFFERS)


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, _run, positional="results")


if __name__ == "__main__":
  main()
