"""Tests of versions_folder: versions are complete or absent after any kill."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

from absl.testing import parameterized

from serving import versions_folder

_BLESSED = {"blessed": True, "infra_blessed": True}
_FILES = 40
# Publishes models until it is killed.
_PUBLISHER = """
import sys
from serving import versions_folder
there = versions_folder.VersionsFolder(sys.argv[1])
while True:
  there.add(sys.argv[2], {"blessed": True, "infra_blessed": True})
  print("put", flush=True)
"""


class _Killed(BaseException):
  """Stands for the end of a process."""


class VersionsFolderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = pathlib.Path(self.create_tempdir().full_path)
    self.source = folder / "model"
    (self.source / "variables").mkdir(parents=True)
    for number in range(_FILES):
      (self.source / "variables" / str(number)).write_text(str(number))
    self.base = folder / "base"
    self.folder = versions_folder.VersionsFolder(str(self.base))

  def _put(self, **known):
    return self.folder.add(str(self.source), _BLESSED | known)

  def _assert_all_whole(self):
    for version in self.folder.versions():
      found = os.listdir(self.base / str(version) / "variables")
      self.assertLen(found, _FILES)
      marks = self.base / ".published" / str(version)
      self.assertTrue((marks / "model_blessing" / "BLESSED").exists())
      self.assertTrue((marks / "infra_blessing" / "INFRA_BLESSED").exists())
    visible = [p for p in os.listdir(self.base) if not p.startswith(".")]
    self.assertCountEqual(visible, map(str, self.folder.versions()))

  def test_versions_are_unix_times_and_never_the_same(self):
    self.assertEqual(self.folder.versions(), [])
    before = int(time.time())
    numbers = [self._put() for _ in range(3)]
    self.assertEqual(self.folder.versions(), numbers)
    self.assertLen(set(numbers), 3)
    self.assertBetween(numbers[0], before, time.time())
    self._assert_all_whole()

  def test_one_is_newer_than_what_is_there_whatever_the_clock_says(self):
    later = int(time.time()) + 10**6
    (self.base / f"0{later}").mkdir(parents=True)
    self.assertEqual(self._put(), later + 1)
    self.assertEqual(self.folder.path(later), str(self.base / f"0{later}"))

  def test_rolls_back_and_says_when_it_cannot(self):
    first, second = self._put(), self._put()
    self.assertEqual(self.folder.withdraw(), (second, first))
    self.assertEqual(self.folder.versions(), [first])
    kept = self.base / ".withdrawn" / str(second) / "variables"
    self.assertLen(os.listdir(kept), _FILES)
    with self.assertRaisesRegex(ValueError, "1 versions: there is none to go"):
      self.folder.withdraw()
    with self.assertRaisesRegex(ValueError, f"no version {second}"):
      self.folder.path(second)

  def test_prunes_by_number_and_not_by_name(self):
    for name in ("9", "10", "008", "100"):
      (self.base / name).mkdir(parents=True)
    self.assertEqual(self.folder.prune(2), [8, 9])
    self.assertEqual(self.folder.versions(), [10, 100])
    self.assertEqual(self.folder.prune(5), [])
    with self.assertRaisesRegex(ValueError, "has to stay"):
      self.folder.prune(0)
    self.assertEqual(self.folder.versions(), [10, 100])

  def test_what_is_refused_is_noted_and_not_served(self):
    note = pathlib.Path(self.folder.refuse({"reason": "worse"}))
    self.assertIn("worse", (note / "results.json").read_text())
    self.assertTrue((note / "model_blessing" / "NOT_BLESSED").exists())
    self.assertTrue((note / "infra_blessing" / "INFRA_NOT_BLESSED").exists())
    self.assertEqual(self.folder.versions(), [])

  @parameterized.parameters(
    "shutil.copytree",
    "serving.versions_folder.files.sync_tree",
    "serving.versions_folder.files.write_json",
    "serving.versions_folder.os.rename",
    "serving.versions_folder.files.sync",
  )
  def test_a_publisher_that_is_killed_leaves_the_versions(self, where):
    # A full disk is the same, with another exception.
    first = self._put()
    with mock.patch(where, side_effect=_Killed), self.assertRaises(_Killed):
      self._put()
    self.assertIn(first, self.folder.versions())
    self._assert_all_whole()
    # The next publisher succeeds, and removes the remains.
    self._put()
    self._assert_all_whole()
    self.assertEqual(os.listdir(self.base / ".publishing"), ["lock"])

  def test_nobody_is_lost_of_several_at_once(self):
    found = []
    threads = [
      threading.Thread(target=lambda: found.append(self._put()))
      for _ in range(8)
    ]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    self.assertLen(set(found), 8)
    self.assertEqual(self.folder.versions(), sorted(found))
    self._assert_all_whole()

  def test_a_publisher_that_dies_lets_the_next_one_in(self):
    for _ in range(3):
      process = subprocess.Popen(
        [sys.executable, "-c", _PUBLISHER, self.base, self.source],
        stdout=subprocess.PIPE,
      )
      process.stdout.readline()  # It now adds its second version.
      process.send_signal(signal.SIGKILL)
      process.communicate()
      self._assert_all_whole()
    self._put()
    self.assertGreaterEqual(len(self.folder.versions()), 4)
    self._assert_all_whole()
