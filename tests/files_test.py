"""Tests of files: a file is complete, or it is not there."""

import hashlib
import json
import os
import pathlib

from absl.testing import parameterized

from lc_keras import files


class FilesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def _listing(self):
    return sorted(os.listdir(self.folder))

  def test_a_file_appears_when_it_is_complete(self):
    path = self.folder / "a.txt"
    with files.replacing(str(path)) as aside:
      self.assertEqual(os.path.dirname(aside), str(self.folder))
      self.assertEndsWith(aside, "a.txt")
      pathlib.Path(aside).write_text("new")
      self.assertFalse(path.exists())
    self.assertEqual(path.read_text(), "new")
    self.assertEqual(self._listing(), ["a.txt"])

  def test_a_folder_is_replaced_as_one(self):
    path = self.folder / "cache"
    path.mkdir()
    (path / "stale").write_text("old")
    with files.replacing(str(path)) as aside:
      os.makedirs(os.path.join(aside, "deep"))
      pathlib.Path(aside, "deep", "fresh").write_text("new")
      self.assertTrue((path / "stale").exists())
    self.assertEqual((path / "deep" / "fresh").read_text(), "new")
    self.assertFalse((path / "stale").exists())
    self.assertEqual(self._listing(), ["cache"])

  @parameterized.parameters(KeyboardInterrupt, ValueError)
  def test_nothing_changes_when_the_body_raises(self, error):
    file, folder = self.folder / "a.txt", self.folder / "cache"
    file.write_text("old")
    folder.mkdir()
    (folder / "old").write_text("old")
    with self.assertRaises(error), files.replacing(str(file)) as aside:
      pathlib.Path(aside).write_text("half")
      raise error
    with self.assertRaises(error), files.replacing(str(folder)) as aside:
      os.makedirs(aside)
      pathlib.Path(aside, "half").write_text("half")
      raise error
    with self.assertRaises(FileNotFoundError), files.replacing(str(file)):
      pass  # Nothing was written.
    self.assertEqual(file.read_text(), "old")
    self.assertEqual(os.listdir(folder), ["old"])
    self.assertEqual(self._listing(), ["a.txt", "cache"])

  def test_takes_a_path_without_a_folder(self):
    before = os.getcwd()
    os.chdir(self.folder)
    self.addCleanup(os.chdir, before)
    files.write_json("here.json", 1)
    self.assertEqual(self._listing(), ["here.json"])

  def test_replaces_the_rest_of_a_killed_process(self):
    # Process ids are reused, in containers almost always.
    path = self.folder / "checkpoint"
    with files.replacing(str(path)) as aside:
      os.makedirs(aside)
    os.makedirs(aside)
    pathlib.Path(aside, "half").write_text("half")
    with files.replacing(str(path)) as aside:
      os.makedirs(aside)
      pathlib.Path(aside, "whole").write_text("whole")
    self.assertEqual(os.listdir(path), ["whole"])
    self.assertEqual(self._listing(), ["checkpoint"])

  def test_json_round_trips_and_refuses_what_it_has_not(self):
    path = self.folder / "a.json"
    value = {"name": "x", "values": [1, 0.5, None], "nested": {"on": True}}
    files.write_json(str(path), value)
    for other in (float("nan"), float("inf"), {"set": {1}}):
      with self.assertRaises((ValueError, TypeError)):
        files.write_json(str(path), other)
    self.assertEqual(json.loads(path.read_text()), value)
    self.assertEqual(self._listing(), ["a.json"])

  def test_copies_and_removes(self):
    source, copy = self.folder / "a", self.folder / "b"
    source.write_bytes(b"content")
    files.copy(str(source), str(copy))
    with self.assertRaises(FileNotFoundError):
      files.copy(str(self.folder / "c"), str(copy))
    self.assertEqual(
      files.checksum(str(copy)), hashlib.sha256(b"content").hexdigest()
    )
    (self.folder / "deep" / "er").mkdir(parents=True)
    for name in ("deep", "a", "never there"):
      files.remove(str(self.folder / name))
    self.assertEqual(self._listing(), ["b"])

  def test_says_beforehand_what_cannot_be_written(self):
    (self.folder / "file").touch()
    files.check_writable(str(self.folder / "file"), "--out")
    files.check_writable(str(self.folder / "new" / "er" / "a.png"), "--out")
    for path, text in (
      (self.folder, "that is a folder. Name a file in it"),
      (self.folder / "file" / "deep" / "a.png", "file is a file and no folder"),
    ):
      with self.assertRaisesRegex(ValueError, f"^--out={path} .*{text}"):
        files.check_writable(str(path), "--out")
    self.assertEqual(self._listing(), ["file"])

  def test_checks_that_there_is_room(self):
    path = str(self.folder / "big")
    files.reserve(path, 1000)
    with self.assertRaisesRegex(OSError, path):
      files.reserve(path, 1 << 62)
    self.assertEmpty(self._listing())

  def test_sweeps_the_rest_of_killed_processes(self):
    half = self.folder / "pictures" / ".tmp-7-curves.png"
    half.parent.mkdir()
    half.touch()
    (self.folder / ".tmp-8-checkpoint-2" / "deep").mkdir(parents=True)
    (self.folder / "whole").touch()
    files.sweep(str(self.folder))
    self.assertEqual(self._listing(), ["pictures", "whole"])
    self.assertEmpty(os.listdir(self.folder / "pictures"))
    for name in (".tmp-7-mine", ".tmp-8-older-mine", ".tmp-9-not-mine"):
      (self.folder / name).mkdir()
    files.sweep(str(self.folder), "mine")
    self.assertEqual(self._listing(), [".tmp-9-not-mine", "pictures", "whole"])
