"""A run folder that is ready to be trained in, and trainers in processes."""

import pathlib
import shutil
import time

import psutil
from absl.testing import absltest

from tests import nursery

# Far more than is needed: a bound, not a measurement.
PATIENCE = 240.0
_CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "tiny"


class TrainersCase(absltest.TestCase):
  """Tests of real trainers on tiny flagfiles.

  Attributes:
    folder: Of the class. Run folders lie in it, and `base`, a run with an
      untrained model and its latents, to be copied.
    data: The data set's folder.
    nursery: What starts trainers.
  """

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(absltest.get_default_test_tmpdir()) / cls.__name__
    shutil.rmtree(cls.folder, ignore_errors=True)
    cls.folder.mkdir(parents=True)
    cls.nursery = nursery.Nursery(cls.folder)
    cls.addClassCleanup(cls.nursery.close)
    base, cls.data = cls.folder / "base", cls.folder / "data"
    cls.must(cls.nursery.run("untrained", str(base), str(cls.data)))
    shutil.rmtree(base / "latents")
    cls.must(cls.run_job("latents", "base"))

  @classmethod
  def flags(cls, job, name):
    """Returns the flags of a job in the run of a name."""
    return (
      f"--flagfile={_CONFIG / job}.cfg",
      f"--run_dir={cls.folder / name}",
      f"--data_dir={cls.data}",
    )

  @classmethod
  def run_job(cls, job, name, *more, **hooks):
    """Runs a trainer; returns its exit code and what it has said."""
    return cls.nursery.run(job, *cls.flags(job, name), *more, **hooks)

  @staticmethod
  def must(ended):
    """Raises AssertionError unless what `run_job` returned is success."""
    code, said = ended
    if code:
      raise AssertionError(f"Exit code {code}: {said}")

  def wait_until_still(self, trainer):
    """Waits until a trainer stands still, as its hook `stop_at` says."""
    deadline = time.monotonic() + PATIENCE
    while psutil.Process(trainer.pid).status() != psutil.STATUS_STOPPED:
      if time.monotonic() > deadline:
        self.fail(trainer.said)
      time.sleep(0.02)

  @classmethod
  def copy_base(cls, name):
    """Begins a run as a copy of `base`."""
    shutil.copytree(cls.folder / "base", cls.folder / name)
