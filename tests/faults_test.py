"""Trainers that are killed, told to stop, locked out and let down by disks.

Real processes: see `nursery`. All end as one that nothing had happened to, to
the last bit of every file. Seeds are printed; FAULTS_SEED replays one. `make
chaos` does this for hours, with all trainers.
"""

import json
import os
import random
import shutil
import signal
import time

from absl.testing import absltest

from lc_keras import files
from tests import nursery
from tests import trainers_case

_SEED = int(os.environ.get("FAULTS_SEED", time.time_ns() % 10**6))
_JOB = "realism"
# Changes of files that a whole run of it makes, at least.
_CHANGES = 40


class FaultsTest(trainers_case.TrainersCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    print(f"FAULTS_SEED={_SEED}")
    cls.random = random.Random(_SEED)
    started = time.monotonic()
    cls.copy_base("whole")
    cls.must(cls._run("whole"))
    cls.seconds = time.monotonic() - started
    cls.whole = nursery.end_of(cls.folder / "whole" / _JOB)

  @classmethod
  def _run(cls, name, **hooks):
    return cls.run_job(_JOB, name, **hooks)

  @classmethod
  def _start(cls, name):
    return cls.nursery.start(_JOB, *cls.flags(_JOB, name))

  def setUp(self):
    super().setUp()
    self.name = self.id().rpartition(".")[2]
    self.stage = self.folder / self.name / _JOB
    self.copy_base(self.name)

  def _run_to_end(self):
    """Runs it to its end, which must be that of the whole run."""
    self.must(self._run(self.name))
    self.assertEqual(nursery.end_of(self.stage), self.whole)
    left = [path.name for path in self.stage.rglob(".tmp-*")]
    self.assertEmpty(left)

  def _make_one_checkpoint(self):
    """Has a run be killed after its first epoch."""
    for change in range(20, 30):
      self._run(self.name, below=str(self.stage), kill_at=change)
      if (self.stage / "checkpoint-2").exists():
        return
    self.fail("There is no checkpoint.")

  def _assert_refused(self, ended, *texts):
    code, said = ended
    self.assertEqual(code, 1, said)
    self.assertNotIn("Traceback", said)
    (line,) = [one for one in said.splitlines() if one.startswith("Error: ")]
    for text in texts:
      self.assertIn(text, line)

  def test_killed_before_a_change_of_its_files(self):
    # Each attempt begins where the one before was killed. Odd changes or even
    # ones: all of them would take twice as long.
    for change in range(4 + self.random.randrange(2), _CHANGES, 2):
      code, said = self._run(self.name, below=str(self.stage), kill_at=change)
      if not code:
        break
      self.assertEqual(code, -signal.SIGKILL, said)
      self._assert_nothing_half()
    self._run_to_end()

  def test_killed_at_any_moment(self):
    kills = 0
    while kills < 8:
      trainer = self._start(self.name)
      time.sleep(self.random.uniform(0.0, 1.0) * self.seconds)
      os.kill(trainer.pid, signal.SIGKILL)
      if self.nursery.wait(trainer):
        kills += 1
        self._assert_nothing_half()
      else:  # It was faster than when the whole run was timed.
        type(self).seconds *= 0.5
        self._run_to_end()
        shutil.rmtree(self.stage)
    self._run_to_end()

  def _assert_nothing_half(self):
    """Asserts that what has its final name is whole."""
    for folder in self.stage.glob("checkpoint-*"):
      manifest = json.loads((folder / "manifest.json").read_text())
      for name, seal in manifest["files"].items():
        self.assertEqual(files.checksum(str(folder / name)), seal["sha256"])

  def test_told_to_stop(self):
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
    while numbers:
      trainer = self._start(self.name)
      # From here on, it knows what a signal means.
      self._wait_for_lock(trainer)
      time.sleep(self.random.uniform(0.0, 0.5) * self.seconds)
      os.kill(trainer.pid, numbers[-1])
      code = self.nursery.wait(trainer)
      if not code:  # It was faster than when the whole run was timed.
        type(self).seconds *= 0.5
        self._run_to_end()
        shutil.rmtree(self.stage)
        continue
      self.assertEqual(code, 75 if numbers.pop() == signal.SIGTERM else 130)
      self.assertIn("The same command goes on", trainer.said)
      self.assertNotIn("Traceback", trainer.said)
    self._run_to_end()

  def _wait_for_lock(self, trainer):
    """Waits until a trainer has its stage, or has ended."""
    lock = self.stage / "lock"
    owner = f"process {trainer.pid} "
    while not (lock.exists() and lock.read_text().startswith(owner)):
      if (self.stage / "done.json").exists():
        return
      time.sleep(0.02)

  def test_the_second_of_two_is_refused(self):
    first = self.nursery.start(
      _JOB,
      *self.flags(_JOB, self.name),
      below=str(self.stage),
      stop_at=20,
    )
    self.wait_until_still(first)
    self._assert_refused(
      self._run(self.name), str(self.stage), f"process {first.pid}"
    )
    # Another stage of the run is free, and a killed process holds nothing.
    self.must(self.run_job("linear", self.name))
    os.kill(first.pid, signal.SIGKILL)
    self.nursery.wait(first)
    self._run_to_end()

  def test_files_that_cannot_be_written(self):
    self._make_one_checkpoint()
    weights = self.stage / "checkpoint-2" / "model.weights.h5"
    self._assert_refused(
      self._run(self.name, file_size=weights.stat().st_size - 1000),
      "File too large",
      "What was finished is kept",
    )
    self.assertTrue(weights.exists())
    self._run_to_end()

  def test_a_folder_that_cannot_be_made(self):
    (self.folder / self.name / "file").touch()
    self._assert_refused(self._run(f"{self.name}/file"), "File exists")
    self._assert_refused(
      self._run(f"{self.name}/file/deeper"), "Not a directory"
    )

  def test_lost_data(self):
    self._make_one_checkpoint()
    (shard,) = self.data.glob("toon_faces/tiny/*/*-train*")
    whole = shard.read_bytes()
    self.addCleanup(shard.write_bytes, whole)
    shard.write_bytes(whole[:-1])
    self._assert_refused(self._run(self.name), str(shard), "is damaged")
    shard.unlink()
    self._assert_refused(self._run(self.name), str(shard), "is missing")
    shard.write_bytes(whole)
    self._run_to_end()


if __name__ == "__main__":
  absltest.main()
