"""Publishes an export to the folder that servers watch, if it is good enough.

  python -m serving.publish --run_dir=runs/demo --model_base_path=served/demo
  python -m serving.publish --model_base_path=served/demo --roll_back

A fresh process loads it and compares its answers with Python's; then it is
judged beside the model in service, and published if it is not worse by more
than the margins. Killed at any instant, or with a full disk, it leaves the
versions that there were.
"""

from __future__ import annotations

import os
import shutil
import sys

from absl import app
from absl import flags
from absl import logging
from etils import epy

from lc_keras import files
from serving import blessing

with epy.lazy_imports():
  from serving import infra_validation
  from serving import shelf as shelf_lib
  from serving.server import errors
  from serving.server import versions


class Refused(ValueError):
  """An export that is not published, and why."""


def publish(
  source: str,
  shelf: shelf_lib.Shelf,
  bench: blessing.Bench | None = None,
  margins: blessing.Margins | None = None,
  evaluation_dir: str | None = None,
) -> int:
  """Publishes a SavedModel, or notes why not; returns its version.

  Args:
    source: Folder of the SavedModel.
    shelf: Where it goes.
    bench: What it is judged by, beside the model in service; None publishes
      whatever a server can serve.
    margins: By how much it may be worse; None takes the defaults.
    evaluation_dir: Where else what is noted of it goes, for a pipeline.

  Raises:
    Refused: It cannot be served, or is worse than the model in service.
  """
  known = {"source": os.path.abspath(source)}

  def copy(note):
    if evaluation_dir:
      with files.replacing(evaluation_dir) as aside:
        shutil.copytree(note, aside)

  def refuse(reason):
    note = shelf.refuse(known | {"reason": reason})
    copy(note)
    raise Refused(f"{reason} Nothing was published; {note} says so.")

  _say("Loading and running it in a fresh process")
  try:
    infra_validation.check_apart(source)
  except infra_validation.ValidationError as error:
    refuse(str(error))
  known["infra_blessed"] = True
  if bench is not None:
    _say("Measuring it")
    known["figures"] = bench.measure(source)
    if found := shelf.versions():
      _say(f"Measuring version {found[-1]}, which is in service")
      known["in_service"] = {
        "version": found[-1],
        "figures": bench.measure(shelf.path(found[-1])),
      }
      if worse := blessing.objections(
        known["figures"],
        known["in_service"]["figures"],
        margins or blessing.Margins(),
      ):
        refuse(" ".join(worse))
    known["blessed"] = True
  version = shelf.put(source, known)
  copy(shelf.note(version))
  return version


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  flags.DEFINE_string(
    "model_base_path",
    None,
    "Folder that servers watch.",
    flag_values=values,
    required=True,
  )
  flags.DEFINE_string(
    "run_dir",
    None,
    "Folder of the run whose newest export is published, and whose classifier "
    "judges it.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "saved_model",
    None,
    "Folder of the SavedModel to publish instead.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "data_dir",
    "data",
    "Folder in which prepared data sets are kept.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "evaluate",
    True,
    "Whether it has to be as good as the model in service.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "rows",
    500,
    "Samples, and held-out images, that it is judged by.",
    lower_bound=4,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "edits",
    16,
    "Images that each attribute is switched in, for each direction.",
    lower_bound=1,
    flag_values=values,
  )
  default = blessing.Margins()
  for name, text in (
    ("f1", "Weighted or macro F1 of samples, in [0, 1],"),
    ("fid", "The FID of samples, as a share of the other one's,"),
    ("read", "The share of edits that are read as asked"),
    ("others_changed", "The share of edits that change another attribute"),
  ):
    flags.DEFINE_float(
      f"margin_{name}",
      getattr(default, name),
      f"{text} may be worse by this than of the model in service.",
      lower_bound=0.0,
      flag_values=values,
    )
  flags.DEFINE_integer(
    "keep",
    None,
    "Versions to keep, the newest; older ones are thrown away. By default all.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_string(
    "evaluation_dir",
    None,
    "Folder that is given a copy of the verdict, as TFX's Evaluator and "
    "InfraValidator leave theirs: model_blessing/BLESSED or NOT_BLESSED, "
    "infra_blessing/, results.json.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "roll_back",
    False,
    "Instead, take the newest version away, so that servers go back to the one "
    "before.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "list", False, "Instead, list the versions.", flag_values=values
  )


def run_job(args: flags.FlagValues) -> None:
  """Does what the flags say.

  Raises:
    ValueError: It cannot be done, and why.
    FileNotFoundError: A part of the run is missing.
  """
  shelf = shelf_lib.Shelf(args.model_base_path)
  if args.list:
    print("\n".join(map(str, shelf.versions())) or "There are no versions.")
    return
  if args.roll_back:
    gone, newest = shelf.withdraw()
    _say(f"Version {gone} is withdrawn; {newest} is the newest now.")
    return
  source = args.saved_model or _newest_export(args.run_dir)
  bench = None
  if args.evaluate:
    if not args.run_dir:
      raise ValueError(
        "--run_dir says what a model is judged by: give it, or --noevaluate."
      )
    bench = blessing.Bench(args.run_dir, args.data_dir, args.rows, args.edits)
  margins = blessing.Margins(
    args.margin_f1,
    args.margin_fid,
    args.margin_read,
    args.margin_others_changed,
  )
  version = publish(source, shelf, bench, margins, args.evaluation_dir)
  _say(f"Published {source} as {os.path.join(shelf.base_path, str(version))}")
  if args.keep:
    for gone in shelf.prune(args.keep):
      _say(f"Threw version {gone} away.")


def _newest_export(run_dir):
  if not run_dir:
    raise ValueError("Say what to publish, with --run_dir or --saved_model.")
  export_dir = os.path.join(run_dir, "export")
  found = versions.find(export_dir)
  if not found:
    raise ValueError(
      f"{export_dir!r} has no versions: write one first, with `python -m "
      f"serving.export --run_dir={run_dir}`."
    )
  return found[max(found)]


def _say(message):
  print(message, flush=True)


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.ERROR)
  try:
    run_job(flags.FLAGS)
  except (OSError, ValueError, errors.ServingError) as error:
    sys.exit(f"Error: {error}")


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run)


if __name__ == "__main__":
  main()
