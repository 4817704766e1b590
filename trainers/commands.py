"""Runs the jobs of one run as commands, as a user would type them."""

import contextlib
import os
import shlex
import subprocess
import sys
import time

from lc_keras import files
from trainers import children
from trainers import preemption

# In a run folder: seconds of each command, start-up included.
SECONDS = "seconds.json"
# Environment variable of TensorFlow: most threads of an operation.
_THREADS = "TF_NUM_INTRAOP_THREADS"


class Commands:
  """Runs jobs as programs and records their seconds.

  A finished job does nothing: every job checks that itself.

  Attributes:
    run_dir: The run folder.
    seconds: Seconds of each command so far, by name.
  """

  def __init__(self, run_dir: str, data_dir: str, config_dir: str):
    """Reads the seconds that an earlier attempt recorded.

    The folder of configs has a flagfile per job.
    """
    self.run_dir = run_dir
    self._data_dir = data_dir
    self._config_dir = config_dir
    self.seconds = read_seconds(run_dir) or {}

  def train(self, config: str, *arguments: str) -> None:
    """Runs a job with its flagfile, and more flags.

    The job has the name of the flagfile, or stands before it: "vae",
    "actor:actor_0".
    """
    self.run(*self._training(config), *arguments)

  def train_together(self, *configs: str) -> None:
    """Runs jobs side by side, each with its share of the cores; see `train`.

    No job may need another. Their output goes to <run_dir>/logs.

    Raises:
      KeyboardInterrupt, preemption.Terminated, ValueError: See `run`, after all
        have ended.
    """
    folder = os.path.join(self.run_dir, "logs")
    os.makedirs(folder, exist_ok=True)
    share = str(max(1, (os.cpu_count() or 1) // len(configs)))
    programs, started = {}, time.monotonic()
    try:
      for config in configs:
        name, *arguments = self._training(config)
        path = os.path.join(folder, f"{name}.txt")
        print(
          f"\n=== {name}: python {shlex.join(arguments)}\n"
          f"    beside the others; it prints to {path}",
          flush=True,
        )
        with open(path, "w", encoding="utf-8") as log:
          programs[name] = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, _THREADS: share},
          )
      for name, program in programs.items():
        _check(name, program.wait())
        self._note(name, time.monotonic() - started)
        print(f"{name}: done", flush=True)
    finally:
      _end_all(programs.values())

  def _training(self, config):
    """Returns the name of a command, and its arguments for Python."""
    job, _, name = config.rpartition(":")
    flagfile = os.path.join(self._config_dir, f"{name}.cfg")
    return (
      name,
      "-m",
      f"trainers.{job or name}",
      f"--flagfile={flagfile}",
      f"--run_dir={self.run_dir}",
      f"--data_dir={self._data_dir}",
    )

  def run(self, name: str, *arguments: str) -> None:
    """Runs a Python program; its seconds count unless it was stopped.

    Raises:
      KeyboardInterrupt: The program, or this process, was interrupted.
      preemption.Terminated: The program, or this process, received SIGTERM.
      ValueError: The program failed; it has printed the reason.
    """
    print(f"\n=== {name}: python {shlex.join(arguments)}", flush=True)
    started = time.monotonic()
    with children.running(*arguments) as program:
      _check(name, program.wait())
    self._note(name, time.monotonic() - started)

  def _note(self, name, seconds):
    # A finished job returns at once: keep the seconds of its training.
    self.seconds[name] = max(seconds, self.seconds.get(name, 0.0))
    os.makedirs(self.run_dir, exist_ok=True)
    files.write_json(os.path.join(self.run_dir, SECONDS), self.seconds)


def read_seconds(run_dir: str) -> dict[str, float] | None:
  """Returns the seconds of each command in a run; None without a record."""
  path = os.path.join(run_dir, SECONDS)
  return files.read_json(path) if os.path.exists(path) else None


def _check(name, code):
  """Raises the exception that a program's exit code stands for."""
  if code == 130:
    raise KeyboardInterrupt
  if code == preemption.RESUME_ME:
    raise preemption.Terminated
  if code:
    raise ValueError(
      f"{name} failed with exit code {code}; its message is above, or in the "
      "file that it prints to. The same command goes on from here."
    )


def _end_all(programs):
  """Sends programs SIGTERM, and waits until they have saved their state."""
  for program in programs:
    if program.poll() is None:
      program.terminate()
  for program in programs:
    with contextlib.suppress(KeyboardInterrupt):
      program.wait()
