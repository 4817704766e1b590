"""Publishes an export to the folder that servers watch, if it is good enough.

  python -m serving.publish --run_dir=runs/demo --model_base_path=served/demo
  python -m serving.publish --model_base_path=served/demo --roll_back

A fresh process loads the export and compares its answers with those of Python.
Then the export and the model in service are measured, and the export is
published unless it is worse by more than the margins. If the program is killed,
or the disk is full, the versions stay as they were.
"""

import dataclasses
import functools
import os
import shutil
import sys
from collections.abc import Callable, Mapping

from absl import app
from absl import flags
from absl import logging

from lc_keras import files
from lc_keras import preset
from serving import versions_folder
from trainers import flag_errors


@dataclasses.dataclass(frozen=True)
class Margins:
  """The margins by which a model may be worse than the one in service.

  Attributes:
    f1: Each of weighted and macro F1 of samples, in [0, 1].
    fid: FID of samples, as a share of the FID of the model in service.
    read: The share of edits in which the requested value is read.
    others_changed: The share of edits that change another attribute.
  """

  f1: float = 0.01
  fid: float = 0.1
  read: float = 0.02
  others_changed: float = 0.02


class Refused(ValueError):
  """Raised if an export is not published; the text has the reasons."""


def publish(
  source: str,
  folder: versions_folder.VersionsFolder,
  measure: Callable[[str], Mapping[str, float]] | None = None,
  margins: Margins = Margins(),
  evaluation_dir: str | None = None,
) -> int:
  """Publishes a SavedModel; returns its version.

  Args:
    source: Folder of the SavedModel.
    folder: The folder that servers watch.
    measure: Maps the folder of a SavedModel to its figures, such as
      `HeldOut.measure`; None publishes any model that a server can serve.
    margins: The margins by which it may be worse.
    evaluation_dir: Folder for a copy of the note, for a pipeline.

  Raises:
    Refused: The model cannot be served, or is worse than the one in service; a
      note has the reasons.
  """
  from serving import validation  # Loads TensorFlow: not for `--help`.

  facts = {"source": os.path.abspath(source)}

  def copy(note):
    if evaluation_dir:
      with files.replacing(evaluation_dir) as aside:
        shutil.copytree(note, aside)

  def refuse(reason):
    note = folder.refuse(facts | {"reason": reason})
    copy(note)
    raise Refused(f"{reason} Nothing was published; {note} says so.")

  _say("Loading and running it in a fresh process")
  try:
    validation.check_apart(source)
  except validation.ValidationError as error:
    refuse(str(error))
  facts["infra_blessed"] = True
  if measure is not None:
    _say("Measuring it")
    facts["figures"] = measure(source)
    if found := folder.versions():
      _say(f"Measuring version {found[-1]}, which is in service")
      in_service = measure(folder.path(found[-1]))
      facts["in_service"] = {"version": found[-1], "figures": in_service}
      if reasons := objections(facts["figures"], in_service, margins):
        refuse(" ".join(reasons))
    facts["blessed"] = True
  version = folder.add(source, facts)
  copy(folder.note(version))
  return version


def objections(
  candidate: Mapping[str, float],
  in_service: Mapping[str, float],
  margins: Margins,
) -> list[str]:
  """Returns a sentence for each figure that is worse than in service.

  Figures are those of `measurement.HeldOut.measure`, on the same images.
  """
  bounds = {
    "weighted_f1": in_service["weighted_f1"] - margins.f1,
    "macro_f1": in_service["macro_f1"] - margins.f1,
    "fid": in_service["fid"] * (1.0 + margins.fid),
  }
  if "read" in in_service:
    bounds["read"] = in_service["read"] - margins.read
    bounds["others_changed"] = (
      in_service["others_changed"] + margins.others_changed
    )
  found = []
  for name, bound in bounds.items():
    value = candidate.get(name)
    sign = -1.0 if name in ("fid", "others_changed") else 1.0
    # Written so that NaN is worse, too.
    if value is None or not sign * value >= sign * bound:
      told = "missing" if value is None else f"{value:.4g}"
      found.append(
        f"{name} is {told}; the model in service has {in_service[name]:.4g}, "
        f"and {bound:.4g} is the limit."
      )
  return found


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  string, integer, number, switch = (
    functools.partial(define, flag_values=values)
    for define in (
      flags.DEFINE_string,
      flags.DEFINE_integer,
      flags.DEFINE_float,
      flags.DEFINE_bool,
    )
  )
  string("model_base_path", None, "Folder that servers watch.", required=True)
  string(
    "run_dir",
    None,
    "Folder of the run whose newest export is published, and whose held-out "
    "images and classifier measure it.",
  )
  string("saved_model", None, "Folder of the SavedModel to publish instead.")
  string("data_dir", "data", "Folder in which prepared data sets are kept.")
  switch(
    "evaluate",
    True,
    "Whether to compare the model with the one in service.",
  )
  integer(
    "rows", 500, "Held-out images, and samples, to measure.", lower_bound=4
  )
  integer(
    "edits",
    16,
    "Images in which each attribute is switched, for each direction.",
    lower_bound=1,
  )
  for name, text in (
    ("f1", "Weighted or macro F1 of samples, in [0, 1],"),
    ("fid", "The FID of samples, as a share of the other one's,"),
    ("read", "The share of edits that are read as asked"),
    ("others_changed", "The share of edits that change another attribute"),
  ):
    number(
      f"margin_{name}",
      getattr(Margins, name),
      f"{text} may be worse by this than of the model in service.",
      lower_bound=0.0,
    )
  integer(
    "keep",
    None,
    "Versions to keep, the newest; older ones are removed. By default all.",
    lower_bound=1,
  )
  string(
    "evaluation_dir",
    None,
    "Folder for a copy of the verdict, as TFX's Evaluator and InfraValidator "
    "leave theirs: model_blessing/BLESSED or NOT_BLESSED, infra_blessing/, "
    "results.json.",
  )
  switch(
    "roll_back",
    False,
    "Instead, withdraw the newest version, so that servers go back to the one "
    "before.",
  )
  switch("list", False, "Instead, list the versions.")


def run_job(args: flags.FlagValues) -> None:
  """Publishes, rolls back or lists versions.

  Raises:
    ValueError: Flags are missing, or the model is refused.
    FileNotFoundError: A part of the run is missing.
  """
  folder = versions_folder.VersionsFolder(args.model_base_path)
  if args.list:
    print("\n".join(map(str, folder.versions())) or "There are no versions.")
    return
  if args.roll_back:
    gone, newest = folder.withdraw()
    _say(f"Version {gone} is withdrawn; {newest} is the newest now.")
    return
  if args.run_dir:
    args.run_dir = preset.writable(args.run_dir)
  source = args.saved_model or _newest_export(args.run_dir)
  measure = None
  if args.evaluate:
    if not args.run_dir:
      raise ValueError(
        "--run_dir says which images measure a model: give it, or --noevaluate."
      )
    from serving import measurement

    measure = measurement.HeldOut(
      args.run_dir, args.data_dir, args.rows, args.edits
    ).measure
  margins = Margins(
    args.margin_f1,
    args.margin_fid,
    args.margin_read,
    args.margin_others_changed,
  )
  version = publish(source, folder, measure, margins, args.evaluation_dir)
  _say(f"Published {source} as {os.path.join(folder.base_path, str(version))}")
  if args.keep:
    for gone in folder.prune(args.keep):
      _say(f"Removed version {gone}.")


def _newest_export(run_dir):
  if not run_dir:
    raise ValueError("Say what to publish, with --run_dir or --saved_model.")
  export_dir = os.path.join(run_dir, "export")
  exports = versions_folder.VersionsFolder(export_dir)
  found = exports.versions()
  if not found:
    raise ValueError(
      f"{export_dir!r} has no versions: write one first, with `python -m "
      f"serving.export --run_dir={run_dir}`."
    )
  return exports.path(found[-1])


def _say(message):
  print(message, flush=True)


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.ERROR)
  try:
    run_job(flags.FLAGS)
  except (OSError, ValueError) as error:
    sys.exit(f"Error: {error}")


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run, flags_parser=flag_errors.parse)


if __name__ == "__main__":
  main()
