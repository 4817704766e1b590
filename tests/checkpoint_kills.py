"""Kills a process that writes checkpoints, before each change of a file.

  python -m tests.checkpoint_kills

A simulated training writes them as a real one does: it is stopped within an
epoch, then killed, and then resumed to its end. Its files must be equal to
those of an undisturbed training. Each kill has its own process, forked from one
in which TensorFlow has never run.
"""

import json
import os
import pathlib
import sys
import tempfile
from unittest import mock

from lc_keras import files
from tests import nursery
from trainers import checkpoints

_MEMORY = "/dev/shm"
_STEPS, _STEPS_PER_EPOCH, _BEST, _KEEP, _STOP = 6, 2, 2, 2, 5


class _Model:
  """A model whose weights are the sum of its steps."""

  def __init__(self):
    self.weights = {"sum": 0}

  def load_weights(self, path):
    self.weights = json.loads(pathlib.Path(path).read_text())


def _write(model, path):
  pathlib.Path(path).write_text(json.dumps(model.weights))


def _write_best(model, folder):
  os.makedirs(folder)
  for name in (checkpoints.storage.WEIGHTS, checkpoints.storage.DESCRIPTION):
    _write(model, os.path.join(folder, name))


def _train(folder, stop_at=None):
  """Resumes a training; finishes it, or stops within an epoch."""
  files.sweep(folder)  # As a stage does when it begins.
  kept, model = checkpoints.Checkpoints(folder, _KEEP), _Model()
  found = kept.restore(model)
  for step in range(found["step"] + 1 if found else 1, _STEPS + 1):
    model.weights["sum"] += step
    if step == stop_at:
      kept.save(model, step, {}, metrics=[])
      return
    if step % _STEPS_PER_EPOCH == 0:
      kept.save(model, step, {}, is_best=step == _BEST)
  kept.publish()


def _run(folder, kill_at=None, **options):
  """Trains in a forked process; returns whether it was killed."""
  pid = os.fork()
  if pid:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (0, -9):
      sys.exit(f"The training ended with {code}.")
    return code != 0
  try:
    nursery._hook(below=folder, kill_at=kill_at)
    _train(folder, **options)
  except BaseException as error:
    os.write(2, f"{error!r}\n".encode())
    os._exit(1)
  os._exit(0)


def main() -> None:
  """Exits with a message if a result differs from an undisturbed run's."""
  with (
    mock.patch.object(checkpoints.storage, "write_weights", _write),
    mock.patch.object(checkpoints.storage, "save", _write_best),
    _folder() as whole,
  ):
    _run(whole)
    expected = nursery.end_of(pathlib.Path(whole))
    kills = sum(_kill(expected, stop_at) for stop_at in (None, _STOP))
  print(f"{kills} kills, and every end is that of a whole run")


def _kill(expected, stop_at):
  """Kills a training, optionally one stopped before, at each change."""
  kills, was_killed = 0, True
  while was_killed:
    with _folder() as folder:
      if stop_at:
        _run(folder, stop_at=stop_at)
      was_killed = _run(folder, kill_at=kills + 1)
      _run(folder)
      found = nursery.end_of(pathlib.Path(folder))
    kills += was_killed
    if found != expected:
      differ = sorted(found.keys() ^ expected.keys()) or "contents"
      sys.exit(f"Stopped at {stop_at}, killed before change {kills}: {differ}")
  return kills


def _folder():
  # In memory if possible: checkpoints sync to disk at every change.
  return tempfile.TemporaryDirectory(
    dir=_MEMORY if os.path.isdir(_MEMORY) else None
  )


if __name__ == "__main__":
  main()
