"""Stages: the folders of jobs in a run, with locks, flags and done.json."""

import os
import platform
import time
from collections.abc import Iterable

from absl import flags

from lc_keras import files
from lc_keras import locks
from trainers import cluster
from trainers import code_version
from trainers import messages

DONE = "done.json"
FLAGS = "flags.cfg"
_LOCK = "lock"
# Flags that may differ between the command that began a stage and the one that
# resumes it: paths, and settings that affect the speed but not the result.
_FREE_FLAGS = frozenset(
  {
    "run_dir",
    "base_run",
    "dataset",  # Compared with the run's; need not be given again.
    "data_dir",
    "source_dir",
    "replicas",
    "multi_worker",
    "nomulti_worker",
    "keep_checkpoints",
    "max_bad_examples",
  }
)


class Stage:
  """One job's folder in a run.

  Attributes:
    name: Its name.
    folder: Its path.
  """

  def __init__(self, run, name: str, settings: flags.FlagValues):
    """Begins or resumes a stage; says so if it is finished.

    The flags of the job are written to flags.cfg.

    Raises:
      ValueError: The stage was begun with other flags, or another process
        writes it.
    """
    files.check_name(name, "a stage")
    self.name = name
    self.folder = run.path(name)
    self._started = time.monotonic()
    cluster.chief_first(lambda: self._begin(settings))
    if self.done:
      messages.info(
        f"{name} is done ({self.folder}). Delete it to do it again."
      )

  def _begin(self, settings):
    # A finished stage may be in a read-only folder.
    if cluster.is_chief() and not self.done:
      os.makedirs(self.folder, exist_ok=True)
      lock(self.path(_LOCK))
      files.sweep(self.folder)
    try:
      self._check_flags(settings)
    except ValueError:
      locks.give_back(self.path(_LOCK))
      raise

  def _check_flags(self, settings):
    """Writes the flags, or compares them with those that made its files."""
    given = sorted(settings.flags_into_string().splitlines())
    before = flags_of(self.folder)
    made = {*os.listdir(self.folder)} - {FLAGS, _LOCK}
    # An error before the first step may ask for other flags.
    if before is None or (not made and cluster.is_chief()):
      path = self.path(FLAGS)
      with files.replacing(path) as aside, open(aside, "w") as file:
        file.writelines(f"{line}\n" for line in given)
      return
    changed = settings_of(given).items() ^ settings_of(before).items()
    if changed:
      names = ", ".join(sorted({f"--{name}" for name, _ in changed}))
      raise ValueError(
        f"{self.folder!r} was begun with other values of {names} (see its "
        f"{FLAGS}). Use those, another --run_dir, or delete the folder."
      )

  def path(self, *parts: str) -> str:
    """Returns a path below the stage's folder."""
    return os.path.join(self.folder, *parts)

  @property
  def done(self) -> bool:
    """Whether the stage is finished."""
    return os.path.exists(self.path(DONE))

  @property
  def seconds(self) -> float:
    """Seconds since this attempt at the stage began."""
    return time.monotonic() - self._started

  def finish(self, *, seconds_before: float = 0.0, **facts) -> None:
    """Marks the stage as done; done.json has the facts and all seconds.

    Those of interrupted attempts come before this one's.
    """
    seconds = seconds_before + self.seconds
    files.write_json(
      self.path(DONE),
      {
        "seconds": seconds,
        **facts,
        "machine": {
          "processor": platform.machine(),
          "cpus": os.cpu_count(),
        },
        "commit": code_version.commit(),
      },
    )
    locks.give_back(self.path(_LOCK))
    messages.info(f"{self.name}: done in {seconds:.0f} s, in {self.folder}")


def lock(path: str) -> None:
  """Takes a lock file, and so its folder, until the process ends.

  Raises:
    ValueError: Another process holds it.
  """
  try:
    locks.take(path)
  except locks.Busy as error:
    raise ValueError(
      f"{os.path.dirname(path)!r} is being written by {error}. Wait until it "
      "has ended, end it, or choose another --run_dir."
    ) from error


def read_done(folder: str) -> dict | None:
  """Returns a stage's done.json; None if the stage is not finished."""
  path = os.path.join(folder, DONE)
  return files.read_json(path) if os.path.exists(path) else None


def flags_of(folder: str) -> list[str] | None:
  """Returns the lines of a stage's flagfile; None if the folder has none."""
  path = os.path.join(folder, FLAGS)
  if not os.path.exists(path):
    return None
  with open(path, encoding="utf-8") as file:
    return file.read().splitlines()


def settings_of(lines: Iterable[str]) -> dict[str, str]:
  """Returns the flags of a stage that affect its result, values by name.

  The lines are "--name=value" or "--name".
  """
  pairs = (line.lstrip("-").partition("=") for line in lines)
  return {name: value for name, _, value in pairs if name not in _FREE_FLAGS}
