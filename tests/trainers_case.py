"""Test case with a prepared run folder, and trainers in processes."""

import atexit
import functools
import pathlib
import shutil
import tempfile
import time

import psutil
from absl.testing import absltest

from tests import nursery

# Seconds, far more than needed: a limit, not a measurement.
PATIENCE = 240.0
_CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "tiny"


@functools.cache
def _nursery():
  """Returns a folder and a nursery, shared by all tests of a process."""
  folder = pathlib.Path(tempfile.mkdtemp())
  atexit.register(shutil.rmtree, folder)
  made = nursery.Nursery(folder)
  atexit.register(made.close)
  return folder, made


class TrainersCase(absltest.TestCase):
  """Tests of real trainers on tiny flagfiles.

  Attributes:
    folder: Folder of the runs, and of `base`, a run with an untrained model and
      its latents, to be copied.
    data: The data set's folder.
    nursery: Starts trainers.
  """

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder, cls.nursery = _nursery()
    base, cls.data = cls.folder / "base", cls.folder / "data"
    if not base.exists():
      cls.must(cls.nursery.run("untrained", str(base), str(cls.data)))
      shutil.rmtree(base / "latents")
      cls.must(cls.run_job("latents", "base"))

  @classmethod
  def flags(cls, job, name):
    """Returns the flags of a job in a run."""
    return (
      f"--flagfile={_CONFIG / job}.cfg",
      f"--run_dir={cls.folder / name}",
      f"--data_dir={cls.data}",
    )

  @classmethod
  def run_job(cls, job, name, *more, **hooks):
    """Runs a trainer; returns its exit code and output."""
    return cls.nursery.run(job, *cls.flags(job, name), *more, **hooks)

  @staticmethod
  def must(ended):
    """Raises AssertionError unless the result of `run_job` is success."""
    code, said = ended
    if code:
      raise AssertionError(f"Exit code {code}: {said}")

  def wait_until_still(self, trainer):
    """Waits until a trainer has paused by its hook `stop_at`."""
    deadline = time.monotonic() + PATIENCE
    while psutil.Process(trainer.pid).status() != psutil.STATUS_STOPPED:
      if time.monotonic() > deadline:
        self.fail(trainer.said)
      time.sleep(0.02)

  @classmethod
  def copy_base(cls, name):
    """Begins a run as a copy of `base`."""
    shutil.copytree(cls.folder / "base", cls.folder / name)
