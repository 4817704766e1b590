"""Trainers that are killed, stopped or locked out, or whose disk fails.

Real processes, see `nursery`. The files of all are equal, bit for bit, to those
of an undisturbed run. Seeds are printed; FAULTS_SEED repeats one. `make chaos`
does this for hours, with all trainers, at any time.
"""

import json
import os
import random
import signal
import time

from lc_keras import files
from tests import nursery
from tests import trainers_case

_SEED = int(os.environ.get("FAULTS_SEED", time.time_ns() % 10**6))
_JOB = "realism"
# Numbers of file changes at which to interrupt; every run makes more.
_CHANGES = range(4, 40)


class FaultsTest(trainers_case.TrainersCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    print(f"FAULTS_SEED={_SEED}")
    cls.random = random.Random(_SEED)
    cls.copy_base("whole")
    cls.must(cls._run("whole"))
    cls.whole = nursery.end_of(cls.folder / "whole" / _JOB)

  @classmethod
  def _run(cls, name, **hooks):
    return cls.run_job(_JOB, name, **hooks)

  def _start_until(self, change):
    """Starts a trainer that pauses before the n-th change of its files."""
    trainer = self.nursery.start(
      _JOB,
      *self.flags(_JOB, self.name),
      below=str(self.stage),
      stop_at=change,
    )
    self.wait_until_still(trainer)
    return trainer

  def setUp(self):
    super().setUp()
    self.name = self.id().rpartition(".")[2]
    self.stage = self.folder / self.name / _JOB
    self.copy_base(self.name)

  def _run_to_end(self):
    """Runs a trainer to its end; its files must equal the whole run's."""
    self.must(self._run(self.name))
    self.assertEqual(nursery.end_of(self.stage), self.whole)
    left = [path.name for path in self.stage.rglob(".tmp-*")]
    self.assertEmpty(left)

  def _assert_refused(self, ended, *texts):
    code, said = ended
    self.assertEqual(code, 1, said)
    self.assertNotIn("Traceback", said)
    (line,) = [one for one in said.splitlines() if one.startswith("Error: ")]
    for text in texts:
      self.assertIn(text, line)

  def test_killed_before_a_change_of_its_files(self):
    # Each attempt begins where the one before was killed.
    for change in sorted(self.random.sample(_CHANGES, 2)):
      code, said = self._run(self.name, below=str(self.stage), kill_at=change)
      if not code:
        break
      self.assertEqual(code, -signal.SIGKILL, said)
      self._assert_nothing_half()
    self._run_to_end()

  def _assert_nothing_half(self):
    """Asserts that all files with final names are complete."""
    for folder in self.stage.glob("checkpoint-*"):
      manifest = json.loads((folder / "manifest.json").read_text())
      for name, seal in manifest["files"].items():
        self.assertEqual(files.checksum(str(folder / name)), seal["sha256"])

  def test_the_second_of_two_is_refused(self):
    first = self._start_until(20)
    self._assert_refused(
      self._run(self.name), str(self.stage), f"process {first.pid}"
    )
    # Another stage is not locked, and a killed process holds no lock.
    self.must(self.run_job("linear", self.name))
    os.kill(first.pid, signal.SIGKILL)
    self.nursery.wait(first)
    self._run_to_end()

  def test_disks_that_are_full_or_lose_data(self):
    self._run(self.name, below=str(self.stage / "checkpoint-4"), kill_at=1)
    weights = self.stage / "checkpoint-2" / "model.weights.h5"
    self._assert_refused(
      self._run(self.name, file_size=weights.stat().st_size - 1000),
      "File too large",
      "What was finished is kept",
    )
    self.assertTrue(weights.exists())
    (shard,) = self.data.glob("toon_faces/tiny/*/*-train*")
    whole = shard.read_bytes()
    self.addCleanup(shard.write_bytes, whole)
    shard.write_bytes(whole[:-1])
    self._assert_refused(self._run(self.name), str(shard), "is damaged")
    shard.unlink()
    self._assert_refused(self._run(self.name), str(shard), "is missing")
    shard.write_bytes(whole)
    self._run_to_end()

  def test_a_folder_that_cannot_be_made(self):
    (self.folder / self.name / "file").touch()
    for name, what in ("file", "File exists"), ("file/in", "Not a directory"):
      self._assert_refused(self.run_job("data", f"{self.name}/{name}"), what)
