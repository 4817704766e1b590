"""Run folders: what a run is about, and where each of its stages lies."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import os
import pathlib
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
from lc_keras import locks
from trainers import cluster
from trainers import code_version
from trainers import config_files
from trainers import preemption
from trainers import troubles

with epy.lazy_imports():
  from lc_keras import parts as parts_lib
  from lc_keras.constraints import attributes as attributes_lib
  from lc_keras.data import arrays
  from lc_keras.data import pipeline
  from lc_keras.generators import generator

# Seconds per stage as the demo measured them, start-up included.
SECONDS = "seconds.json"
_RUN = "run.json"
_DONE = "done.json"
_FLAGS = "flags.cfg"
_LOCK = "lock"
_MAX_BAD = "max_bad_examples"
# How many bad examples are told of one by one.
_SHOWN = 10
# What may differ between the command that began a stage and the one that
# goes on with it: where things lie and how fast they are made.
_FREE_FLAGS = frozenset(
  {
    "run_dir",
    "base_run",
    "data_dir",
    "replicas",
    "multi_worker",
    "nomulti_worker",
    "keep_checkpoints",
    _MAX_BAD,
  }
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
    settings: The flags of the job, if a job has opened it.
  """

  folder: str
  dataset: str | None
  data_dir: str
  image_shape: tuple[int, ...]
  attributes: attributes_lib.Attributes
  settings: flags.FlagValues | None = None

  @functools.cached_property
  def parts(self) -> parts_lib.FolderParts:
    """The models and labelled latents of the run, each loaded once."""
    return self.read_parts()

  def read_parts(self) -> parts_lib.FolderParts:
    """Returns the models and labelled latents of the run, loaded anew."""
    from trainers import latents

    return parts_lib.read(self.folder, source=latents.source(self))

  def images(self, attributes: Sequence[str] | None = None) -> arrays.Source:
    """Returns the images and labels of the run's data set.

    Args:
      attributes: Names; the run's if not given.
    """
    return arrays.source(
      self.dataset, attributes=attributes, data_dir=self.data_dir
    )

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
    ValueError, FileNotFoundError: The data set is damaged, or files of it are
      missing.
  """
  run = cluster.chief_first(
    lambda: _open_run(settings, needs_data, image_shape), settings.run_dir
  )
  return dataclasses.replace(run, settings=settings)


def _open_run(settings, needs_data, image_shape):
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
    _prepare(run, settings.max_bad_examples)
  elif needs_data:
    raise UserError(
      f"The run in {settings.run_dir!r} has no data set, and so no attributes "
      "that this job could use. Import its model into another --run_dir with "
      "--dataset, or ask for what needs none: constraints from rules."
    )
  return run


def _prepare(run, max_bad_examples):
  """Prepares a run's data set; how bad it may be is known from then on."""
  path = run.path(_RUN)
  known = _read_json(path)
  if max_bad_examples is None:
    max_bad_examples = known.get(_MAX_BAD, 0)
  elif max_bad_examples != known.get(_MAX_BAD, 0):
    files.write_json(path, known | {_MAX_BAD: max_bad_examples})
  bad = pipeline.prepare(run.dataset, run.data_dir, max_bad_examples)
  if bad:
    told = "\n  ".join([*bad[:_SHOWN], *["..."][: len(bad) > _SHOWN]])
    say(f"{run.dataset}: {len(bad)} bad examples are left out:\n  {told}")


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
      UserError: The stage was begun with other flags, or another process is at
        it.
    """
    files.check_name(name, "a stage")
    self.name = name
    self.folder = run.path(name)
    self._started = time.monotonic()
    cluster.chief_first(lambda: self._begin(settings))

  def _begin(self, settings):
    # What is done may lie where nothing can be written.
    if cluster.is_chief() and not self._is_done:
      os.makedirs(self.folder, exist_ok=True)
      lock(self.path(_LOCK))
      files.sweep(self.folder)
    try:
      self._check_flags(settings)
    except UserError:
      locks.give_back(self.path(_LOCK))
      raise

  def _check_flags(self, settings):
    """Notes the flags, or refuses other ones than were noted."""
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
    with files.replacing(path) as aside, open(aside, "w") as file:
      file.write("\n".join(given) + "\n")

  def path(self, *parts: str) -> str:
    """Returns a path below the stage's folder."""
    return os.path.join(self.folder, *parts)

  @property
  def done(self) -> bool:
    """Whether the stage has been finished; says so if it has."""
    if not self._is_done:
      return False
    say(f"{self.name} is done ({self.folder}). Delete it to do it again.")
    return True

  @property
  def _is_done(self):
    return os.path.exists(self.path(_DONE))

  def finish(self, *, seconds_before: float = 0.0, **facts) -> None:
    """Marks the stage as done.

    Args:
      seconds_before: Time that interrupted attempts took.
      **facts: What else to note; JSON values.
    """
    seconds = seconds_before + self.seconds
    files.write_json(
      self.path(_DONE),
      {
        "seconds": seconds,
        **facts,
        "machine": _machine(),
        "commit": code_version.commit(),
      },
    )
    locks.give_back(self.path(_LOCK))
    say(f"{self.name}: done in {seconds:.0f} s, in {self.folder}")

  @property
  def seconds(self) -> float:
    """Seconds since this attempt at the stage began."""
    return time.monotonic() - self._started


def lock(path: str) -> None:
  """Takes a folder's lock until the process ends.

  Args:
    path: The file that stands for it.

  Raises:
    UserError: Another process has it.
  """
  try:
    locks.take(path)
  except locks.Busy as error:
    raise UserError(
      f"{os.path.dirname(path)!r} is being written by {error}. Wait until it "
      "has ended, end it, or choose another --run_dir."
    ) from error


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
  positional: str | None = None,
) -> None:
  """Runs a job as a program: flags, messages, exit codes.

  Exits with 1 and one sentence for what the user can put right, with 130 after
  Ctrl-C, and with 75 after SIGTERM or if another machine of several has gone.

  Args:
    define_flags: Defines the job's flags.
    job: Does it.
    again: What the same command does after it has been stopped.
    positional: Flag that an argument without a name gives.
  """
  known = set(flags.FLAGS)
  define_flags(flags.FLAGS)
  flags.DEFINE_string(
    "config",
    None,
    "Name of configs, such as celeb_a: --config=NAME is the same as "
    "--flagfile=configs/NAME/<job>.cfg, and --config=NAME/FILE as "
    "--flagfile=configs/NAME/FILE.cfg.",
    flag_values=flags.FLAGS,
  )
  flags.declare_key_flag("flagfile")
  for name in set(flags.FLAGS) - known:
    # --help lists the key flags of the program.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
  # "trainers/vae.py", or "lc-keras train vae".
  job_name = pathlib.Path(sys.argv[0]).stem.rpartition(" ")[2]
  try:
    arguments = [*config_files.expand(sys.argv[1:], job_name)]
  except ValueError as error:
    sys.exit(f"Error: {error}")

  def run(arguments):
    # tfds tells of every file that it opens.
    if not flags.FLAGS["verbosity"].present:
      logging.set_verbosity(logging.WARNING)
    if positional and len(arguments) == 2:
      flags.FLAGS[positional].value = arguments.pop()
    if len(arguments) > 1:
      raise app.UsageError(f"Not a flag: {' '.join(arguments[1:])}")
    with cluster.leaving():
      _run(job, again)

  app.run(run, [sys.argv[0], *arguments])


def _run(job, again):
  try:
    with preemption.raising():
      cluster.join(flags.FLAGS)
      job(flags.FLAGS)
      cluster.wait_for_chief()
  except KeyboardInterrupt:
    say(f"\nInterrupted. The same command {again}.")
    sys.exit(130)
  except preemption.Terminated:
    say(f"\nTold to stop by SIGTERM. The same command {again}.")
    raise
  except Exception as error:
    gone = cluster.explain(error)
    if gone is not None:
      say(
        f"\nError: {gone}. Stopped, too; the same command on all machines "
        f"{again}."
      )
      sys.exit(preemption.RESUME_ME)
    told = _message(error, flags.FLAGS, again)
    if told is None:
      raise
    sys.exit(f"Error: {told}")


def _message(error, settings, again):
  """Returns what to tell the user of an error; None if it is ours to mend."""
  if isinstance(error, (UserError, FileNotFoundError, ValueError)):
    if _is_ours(error):
      return str(error)
  if troubles.is_lost_data(error):
    damage = _lost_data(settings)
    if damage:
      return f"{damage} The same command then {again}."
  told = troubles.explain(error)
  return told and (
    f"{told}; the same command then {again}. What was finished is kept."
  )


def _lost_data(settings):
  """Returns which file of the run's data set is lost; None if all are well."""
  if "run_dir" not in settings:
    return None
  path = os.path.join(settings.run_dir, _RUN)
  if not os.path.exists(path) or not _read_json(path)["dataset"]:
    return None
  run = read_run(settings.run_dir, settings.data_dir)
  try:
    pipeline.verify(run.dataset, run.data_dir)
  except (FileNotFoundError, ValueError) as error:
    return str(error)
  return None


def _is_ours(error: Exception) -> bool:
  """Whether our own code raised it: then its message says what to do."""
  if isinstance(error, UserError):
    return True
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  module = frame.f_globals.get("__name__", "")
  return module.startswith(("bulk", "lc_keras", "trainers", "__main__"))


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


def flags_of(stage_dir: str) -> list[str] | None:
  """Returns the lines of a stage's flagfile; None if it is no stage's folder.

  Args:
    stage_dir: The stage's folder.
  """
  path = os.path.join(stage_dir, _FLAGS)
  if not os.path.exists(path):
    return None
  with open(path, encoding="utf-8") as file:
    return file.read().splitlines()


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
