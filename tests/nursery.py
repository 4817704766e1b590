"""Starts trainers in a second each: forks a process that has TensorFlow.

`Nursery` starts `python -m tests.nursery`, which imports TensorFlow and all
trainers, runs nothing, and forks a child for each job.
A child is a trainer as users run it, main function, flags, signals and all.
"""

import ctypes
import dataclasses
import gc
import importlib
import json
import os
import pathlib
import pkgutil
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence

import lc_keras
import trainers
from lc_keras import files

# Python's audit events before a file changes.
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclasses.dataclass(frozen=True)
class Trainer:
  """A running trainer.

  Attributes:
    pid: Its process.
    log: The file with its output.
  """

  pid: int
  log: pathlib.Path

  @property
  def said(self) -> str:
    """Its output so far."""
    return self.log.read_text(errors="replace")


class Nursery:
  """Starts trainers, one at a time or several."""

  def __init__(self, folder: pathlib.Path):
    """Takes some seconds; the folder gets the logs."""
    self._folder = folder
    self._count = 0
    self._process = subprocess.Popen(
      [sys.executable, "-m", "tests.nursery"],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      # Children are short, and each has many threads of TensorFlow.
      env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )

  def start(self, job: str, *flags: str, **hooks) -> Trainer:
    """Starts `python -m trainers.<job> <flags>`.

    Args:
      job: The trainer; or "untrained", which calls `faces_run.write` with
        arguments instead of flags.
      *flags: Its flags.
      **hooks: `below` and `kill_at` or `stop_at`: the trainer kills itself, or
        pauses (SIGSTOP), before the n-th change below a folder; `tell`: it
        prints each such change; `file_size`: a limit on the bytes of any file;
        `environment`: variables; `network`: the name of a network namespace.
    """
    self._count += 1
    log = self._folder / f"{self._count:04d}-{job}.txt"
    pid = self._ask(command=[job, *flags], log=str(log), hooks=hooks)
    return Trainer(pid, log)

  def wait(self, trainer: Trainer) -> int:
    """Waits for its end; returns its exit code, or the negative signal."""
    return self._ask(wait=trainer.pid)

  def run(self, job: str, *flags: str, **hooks) -> tuple[int, str]:
    """Starts a trainer and waits; returns its exit code and output."""
    trainer = self.start(job, *flags, **hooks)
    return self.wait(trainer), trainer.said

  def close(self) -> None:
    """Ends it."""
    self._process.communicate()

  def _ask(self, **request):
    self._process.stdin.write(json.dumps(request) + "\n")
    self._process.stdin.flush()
    answer = self._process.stdout.readline()
    if not answer:
      raise AssertionError("The nursery has died.")
    return json.loads(answer)


def end_of(stage: pathlib.Path) -> dict:
  """Returns the files of a stage, without times and durations.

  Equal for two runs of the same training.
  """
  end = {}
  for path in sorted(stage.rglob("*")):
    name = str(path.relative_to(stage))
    # Manifests of checkpoints have checksums that depend on the seconds.
    if path.is_dir() or path.name == "lock" or "tensorboard" in name:
      continue
    if name.startswith("checkpoint-") and path.name == "manifest.json":
      continue
    if path.suffix == ".json":
      known = json.loads(path.read_text())
      known.pop("seconds", None)
      known.get("state", {}).pop("seconds", None)
      end[name] = known
    elif path.name != "flags.cfg":
      end[name] = files.checksum(str(path))
  return end


def _serve():
  """Forks children, as commanded on stdin."""
  gc.disable()
  # Imported here: a process that starts a nursery does not need TensorFlow.
  for package in (lc_keras, trainers):
    for module in pkgutil.walk_packages(
      package.__path__, f"{package.__name__}."
    ):
      importlib.import_module(module.name)
  importlib.import_module("tests.faces_run")
  # Fonts are looked up once.
  sys.modules["lc_keras.plotting"].curves(
    [{"step": 1, "loss": 1.0, "val_loss": 1.0}], x="step"
  )
  # Children then collect garbage among their own objects only.
  gc.freeze()
  gc.set_threshold(50_000, 20, 20)
  gc.enable()
  for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
      _, status = os.waitpid(request["wait"], 0)
      answer = os.waitstatus_to_exitcode(status)
    else:
      answer = os.fork()
      if not answer:
        _be_a_trainer(request["command"], request["log"], request["hooks"])
    print(json.dumps(answer), flush=True)


def _be_a_trainer(command: Sequence[str], log: str, hooks: dict):
  """Runs a trainer's main function and ends the process."""
  code = 1
  try:
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for descriptor in (1, 2):
      os.dup2(sink, descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _hook(**hooks)
    job, *flags = command
    sys.argv = [job, *flags]
    if job == "untrained":
      sys.modules["tests.faces_run"].write(*flags)
    else:
      sys.modules[f"trainers.{job}"].main()
    code = 0
  except SystemExit as end:
    code = end.code or 0
    if isinstance(code, str):
      print(code, file=sys.stderr)
      code = 1
  except KeyboardInterrupt:  # Before its handler was installed.
    code = 130
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _hook(
  *,
  below=None,
  kill_at=None,
  stop_at=None,
  file_size=None,
  tell=None,
  environment=None,
  network=None,
):
  os.environ.update(environment or {})
  if network is not None:
    _enter(network)
  if file_size is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
  if below is None:
    return
  count = 0

  def look(event, arguments):
    nonlocal count
    changes = event in _CHANGES or (
      event == "open"
      and isinstance(arguments[2], int)
      and arguments[2] & _WRITING
    )
    # A rename has two paths.
    paths = [part for part in arguments if isinstance(part, str)]
    if not changes or not any(
      os.path.abspath(path).startswith(below) for path in paths
    ):
      return
    count += 1
    if tell:
      os.write(2, f"change {count}: {event} {arguments[0]}\n".encode())
    if count == kill_at:
      os.kill(os.getpid(), signal.SIGKILL)
    if count == stop_at:
      os.kill(os.getpid(), signal.SIGSTOP)

  sys.addaudithook(look)


def _enter(network):
  """Enters a network namespace of `ip netns`."""
  with open(f"/run/netns/{network}", encoding="utf-8") as namespace:
    # os.setns is not there before Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
      raise OSError(ctypes.get_errno(), f"Cannot enter {network}")


if __name__ == "__main__":
  _serve()
