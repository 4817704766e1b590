"""Run folders: what a run is about, and where each of its stages lies."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence

from absl import app
from absl import flags
from absl import logging
from etils import epy

from lc_keras import files

with epy.lazy_imports():
  from lc_keras import attributes as attributes_lib
  from lc_keras import generator
  from lc_keras.datasets import pipeline

# Seconds per stage as the demo measured them, start-up included.
SECONDS = "seconds.json"
_RUN = "run.json"
_DONE = "done.json"
_FLAGS = "flags.cfg"
# What may differ between the command that began a stage and the one that
# goes on with it: where things lie and how fast they are made.
_FREE_FLAGS = frozenset(
  {"run_dir", "base_run", "data_dir", "replicas", "keep_checkpoints"}
)


class UserError(Exception):
  """Something the user can put right; shown without a stack trace."""


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder and the data set it is about.

  Attributes:
    folder: The run folder.
    dataset: Name for `pipeline.load`; None for a run about an imported model
      and nothing else.
    data_dir: Where prepared data sets are kept.
    image_shape: (height, width, channels).
    attributes: Names and exclusions; no names without a data set.
  """

  folder: str
  dataset: str | None
  data_dir: str
  image_shape: tuple[int, ...]
  attributes: attributes_lib.Attributes

  def path(self, *parts: str) -> str:
    """Returns a path below the run folder."""
    return os.path.join(self.folder, *parts)

  def done(self, stage: str) -> dict | None:
    """Returns what a stage noted when it was finished; None if it is not."""
    path = self.path(stage, _DONE)
    return _read_json(path) if os.path.exists(path) else None


def open_run(
  settings: flags.FlagValues,
  *,
  needs_data: bool = True,
  image_shape: Sequence[int] | None = None,
) -> Run:
  """Opens a run folder, or begins one if --dataset says what it is about.

  Prepares the data set if that has not been done yet.

  Args:
    settings: The job's flags.
    needs_data: Whether the job can do nothing without a data set.
    image_shape: (height, width, channels) of a model, for which a run can be
      begun without a data set.

  Raises:
    UserError: The run is about another data set, or about none; or its images
      have another shape; or the run to share with lacks something.
  """
  path = os.path.join(settings.run_dir, _RUN)
  if not os.path.exists(path) and settings.base_run:
    _share(settings.base_run, settings.run_dir)
  if os.path.exists(path):
    run = read_run(settings.run_dir, settings.data_dir)
    if settings.dataset not in (None, run.dataset):
      raise UserError(
        f"The run in {settings.run_dir!r} is about {run.dataset or 'no data'}, "
        f"not {settings.dataset}. Leave --dataset out, or choose another "
        "--run_dir."
      )
    _check_shape(run.image_shape, image_shape, run.dataset)
  elif settings.dataset:
    spec = pipeline.describe(settings.dataset)
    _check_shape(spec.image_shape, image_shape, spec.name)
    _begin(settings.run_dir, spec.name, spec.image_shape, spec.attributes)
    run = read_run(settings.run_dir, settings.data_dir)
  elif image_shape:
    _begin(settings.run_dir, None, image_shape, attributes_lib.Attributes(()))
    run = read_run(settings.run_dir, settings.data_dir)
  else:
    raise UserError(
      f"{settings.run_dir!r} is not a run yet: give --dataset (or a --flagfile "
      "that does) to begin one, or correct --run_dir."
    )
  if run.dataset:
    pipeline.prepare(run.dataset, run.data_dir)
  elif needs_data:
    raise UserError(
      f"The run in {settings.run_dir!r} has no data set, and so no attributes "
      "that this job could use. Import its model into another --run_dir with "
      "--dataset, or ask for what needs none: constraints from rules."
    )
  return run


def _check_shape(known, image_shape, dataset):
  if image_shape is not None and tuple(image_shape) != tuple(known):
    raise UserError(
      f"The model makes images of shape {tuple(image_shape)}, but those of "
      f"{dataset or 'the run'} have {tuple(known)}. Leave --dataset out, or "
      "choose another --run_dir."
    )


def _begin(run_dir, dataset, image_shape, attributes):
  """Begins a run: writes run.json."""
  os.makedirs(run_dir, exist_ok=True)
  files.write_json(
    os.path.join(run_dir, _RUN),
    {
      "dataset": dataset,
      "image_shape": list(image_shape),
      "attributes": list(attributes.names),
      "exclusive": [list(group) for group in attributes.exclusive],
      "continuous": list(attributes.continuous),
    },
  )


def _share(base_run: str, run_dir: str) -> None:
  """Begins a run with the pixels' side of another one, by relative links."""
  # All that looks at pixels. A classifier reads what a data set labels.
  shared = [generator.find(base_run), "latents"]
  known = _read_json(os.path.join(base_run, _RUN))
  if known["dataset"]:
    shared.append("classifier")
  for name in shared:
    if not os.path.exists(os.path.join(base_run, name, _DONE)):
      raise UserError(
        f"--base_run={base_run} has no finished stage {name!r}. Finish it "
        "there first."
      )
  os.makedirs(run_dir, exist_ok=True)
  for name in shared:
    link = os.path.join(run_dir, name)
    if not os.path.lexists(link):
      os.symlink(os.path.relpath(os.path.join(base_run, name), run_dir), link)
  # Last: with it, the run has begun.
  files.write_json(os.path.join(run_dir, _RUN), known)


def read_run(run_dir: str, data_dir: str) -> Run:
  """Opens a run folder that has been begun."""
  known = _read_json(os.path.join(run_dir, _RUN))
  return Run(
    run_dir,
    known["dataset"],
    data_dir,
    tuple(known["image_shape"]),
    attributes_lib.Attributes(
      known["attributes"], known["exclusive"], known.get("continuous", ())
    ),
  )


class Stage:
  """One job's folder in a run: begun, interrupted, gone on with, done."""

  def __init__(self, run: Run, name: str, settings: flags.FlagValues):
    """Begins a stage, or goes on with one.

    Args:
      run: The run.
      name: Folder name.
      settings: The job's flags; written to flags.cfg.

    Raises:
      UserError: The stage was begun with other flags.
    """
    self.name = name
    self.folder = run.path(name)
    self._started = time.monotonic()
    given = _serialized(settings)
    path = self.path(_FLAGS)
    if os.path.exists(path):
      with open(path, encoding="utf-8") as file:
        before = file.read().splitlines()
      before = settings_of(before)
      before |= settings_of(_new_flags(settings, before))
      changed = sorted(settings_of(given).items() ^ before.items())
      if changed:
        names = ", ".join(dict.fromkeys(f"--{key}" for key, _ in changed))
        raise UserError(
          f"{self.folder!r} was begun with other values of {names} (see its "
          f"{_FLAGS}). Use those, another --run_dir, or delete the folder."
        )
      return
    os.makedirs(self.folder, exist_ok=True)
    with files.replacing(path) as aside, open(aside, "w") as file:
      file.write("\n".join(given) + "\n")

  def path(self, *parts: str) -> str:
    """Returns a path below the stage's folder."""
    return os.path.join(self.folder, *parts)

  @property
  def done(self) -> bool:
    """Whether the stage has been finished; says so if it has."""
    if not os.path.exists(self.path(_DONE)):
      return False
    say(f"{self.name} is done ({self.folder}). Delete it to do it again.")
    return True

  def finish(self, *, seconds_before: float = 0.0, **facts) -> None:
    """Marks the stage as done.

    Args:
      seconds_before: Time that interrupted attempts took.
      **facts: What else to note; JSON values.
    """
    seconds = seconds_before + self.seconds
    files.write_json(
      self.path(_DONE), {"seconds": seconds, **facts, "machine": _machine()}
    )
    say(f"{self.name}: done in {seconds:.0f} s, in {self.folder}")

  @property
  def seconds(self) -> float:
    """Seconds since this attempt at the stage began."""
    return time.monotonic() - self._started


def generator_stage(run: Run, name: str, settings: flags.FlagValues) -> Stage:
  """Begins the stage of a run's generative model, or goes on with it.

  Raises:
    UserError: As `Stage`; or the run has another one, trained or begun.
  """
  for other in generator.STAGES:
    if other != name and os.path.lexists(run.path(other)):
      raise UserError(
        f"The run in {run.folder!r} has a generative model, in its stage "
        f"{other!r}, and can have only one. Choose another --run_dir."
      )
  return Stage(run, name, settings)


def stage_seconds(run_dir: str) -> dict[str, float]:
  """Returns the seconds every finished stage of a run took, by name."""
  measured = os.path.join(run_dir, SECONDS)
  if os.path.exists(measured):
    return _read_json(measured)
  seconds = {}
  for name in sorted(os.listdir(run_dir)):
    path = os.path.join(run_dir, name, _DONE)
    if os.path.exists(path):
      seconds[name] = _read_json(path)["seconds"]
  return seconds


def say(message: str) -> None:
  """Tells the user something, beside the progress bars."""
  print(message, file=sys.stderr, flush=True)


def main(
  define_flags: Callable[[flags.FlagValues], None],
  job: Callable[[flags.FlagValues], None],
  again: str = "goes on from the last checkpoint",
) -> None:
  """Runs a job as a program: flags, messages, exit codes.

  Exits with 1 and one sentence for what the user can put right, and with 130
  after Ctrl-C.

  Args:
    define_flags: Defines the job's flags.
    job: Does it.
    again: What the same command does after Ctrl-C.
  """
  define_flags(flags.FLAGS)
  flags.declare_key_flag("flagfile")

  def run(arguments):
    # tfds tells of every file that it opens.
    if not flags.FLAGS["verbosity"].present:
      logging.set_verbosity(logging.WARNING)
    if len(arguments) > 1:
      raise app.UsageError(f"Not a flag: {' '.join(arguments[1:])}")
    try:
      job(flags.FLAGS)
    except (UserError, FileNotFoundError, ValueError) as error:
      if not _is_ours(error):
        raise
      sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
      say(f"\nInterrupted. The same command {again}.")
      sys.exit(130)

  app.run(run)


def _is_ours(error: Exception) -> bool:
  """Whether our own code raised it: then its message says what to do."""
  if isinstance(error, UserError):
    return True
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  module = frame.f_globals.get("__name__", "")
  return module.startswith(("lc_keras", "trainers", "__main__"))


def _of_job(settings: flags.FlagValues) -> list[flags.Flag]:
  """Returns the flags that the job defines."""
  return [
    settings[name]
    for module, defined in settings.flags_by_module_dict().items()
    if module.startswith("trainers.") or module == sys.argv[0]
    for name in sorted(flag.name for flag in defined)
  ]


def _new_flags(
  settings: flags.FlagValues, before: Collection[str]
) -> list[str]:
  """Returns the defaults of flags that a stage's flagfile does not know.

  The program has got them since it was written, and did the same without.
  """
  fresh = [
    copy.deepcopy(flag)
    for flag in _of_job(settings)
    if flag.name not in before and f"no{flag.name}" not in before
  ]
  for flag in fresh:
    flag.unparse()
  return _lines(fresh)


def _serialized(settings: flags.FlagValues) -> list[str]:
  """Returns the flags of the job, as lines of a flagfile."""
  return _lines(_of_job(settings))


def _lines(given: Iterable[flags.Flag]) -> list[str]:
  lines = (flag.serialize() for flag in given if flag.value is not None)
  return sorted(line for line in lines if line)


def settings_of(lines: Iterable[str]) -> dict[str, str]:
  """Returns the flags of a stage's flagfile, but for where things lie.

  Args:
    lines: "--name=value" or "--name".

  Returns:
    Values by name, without dashes.
  """
  pairs = (line.lstrip("-").partition("=") for line in lines)
  return {key: value for key, _, value in pairs if key not in _FREE_FLAGS}


def _machine() -> dict[str, str | int | None]:
  return {"processor": platform.machine(), "cpus": os.cpu_count()}


def _read_json(path: str) -> dict:
  with open(path, encoding="utf-8") as file:
    return json.load(file)
