"""Tests of files: a file is whole or it is not there."""

import hashlib
import json
import os
import pathlib

from absl.testing import absltest

from lc_keras import files


class FilesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def _listing(self):
    return sorted(os.listdir(self.folder))

  def test_writes_a_file_that_appears_when_it_is_whole(self):
    path = self.folder / "a.txt"
    with files.replacing(str(path)) as aside:
      self.assertEqual(os.path.dirname(aside), str(self.folder))
      self.assertEndsWith(aside, "a.txt")
      pathlib.Path(aside).write_text("new")
      self.assertFalse(path.exists())
    self.assertEqual(path.read_text(), "new")
    self.assertEqual(self._listing(), ["a.txt"])

  def test_changes_nothing_when_the_body_raises(self):
    path = self.folder / "a.txt"
    path.write_text("old")
    with self.assertRaises(KeyboardInterrupt):
      with files.replacing(str(path)) as aside:
        pathlib.Path(aside).write_text("half")
        raise KeyboardInterrupt
    self.assertEqual(path.read_text(), "old")
    self.assertEqual(self._listing(), ["a.txt"])

  def test_replaces_a_folder_as_a_whole(self):
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

  def test_keeps_the_old_folder_when_the_body_raises(self):
    path = self.folder / "cache"
    path.mkdir()
    (path / "old").write_text("old")
    with self.assertRaisesRegex(ValueError, "stop"):
      with files.replacing(str(path)) as aside:
        os.makedirs(aside)
        pathlib.Path(aside, "half").write_text("half")
        raise ValueError("stop")
    self.assertEqual(os.listdir(path), ["old"])
    self.assertEqual(self._listing(), ["cache"])

  def test_takes_a_path_without_a_folder(self):
    before = os.getcwd()
    os.chdir(self.folder)
    self.addCleanup(os.chdir, before)
    files.write_json("here.json", 1)
    self.assertEqual(self._listing(), ["here.json"])

  def test_starts_afresh_over_what_a_killed_process_left(self):
    # Process ids come again, in containers almost surely.
    path = self.folder / "checkpoint"
    with files.replacing(str(path)) as aside:
      left = aside
      os.makedirs(aside)
    os.makedirs(left)
    pathlib.Path(left, "half").write_text("half")
    with files.replacing(str(path)) as aside:
      os.makedirs(aside)
      pathlib.Path(aside, "whole").write_text("whole")
    self.assertEqual(os.listdir(path), ["whole"])
    self.assertEqual(self._listing(), ["checkpoint"])

  def test_fails_if_nothing_was_written(self):
    with self.assertRaises(FileNotFoundError):
      with files.replacing(str(self.folder / "a.txt")):
        pass

  def test_json_round_trips(self):
    path = str(self.folder / "a.json")
    value = {"name": "x", "values": [1, 0.5, None], "nested": {"on": True}}
    files.write_json(path, value)
    with open(path, encoding="utf-8") as file:
      self.assertEqual(json.load(file), value)

  def test_refuses_what_json_has_not(self):
    path = self.folder / "a.json"
    files.write_json(str(path), "old")
    for value in (float("nan"), float("inf"), {"set": {1}}):
      with (
        self.subTest(value=value),
        self.assertRaises((ValueError, TypeError)),
      ):
        files.write_json(str(path), value)
    self.assertEqual(json.loads(path.read_text()), "old")
    self.assertEqual(self._listing(), ["a.json"])

  def test_copies_whole_files_and_removes_folders(self):
    source, copy = self.folder / "a", self.folder / "b"
    source.write_bytes(b"content")
    files.copy(str(source), str(copy))
    self.assertEqual(copy.read_bytes(), b"content")
    with self.assertRaises(FileNotFoundError):
      files.copy(str(self.folder / "c"), str(copy))
    self.assertEqual(copy.read_bytes(), b"content")
    (self.folder / "deep" / "er").mkdir(parents=True)
    for name in ("deep", "a", "never there"):
      files.remove(str(self.folder / name))
    self.assertEqual(self._listing(), ["b"])

  def test_sees_whether_there_is_room(self):
    path = str(self.folder / "big")
    files.reserve(path, 1000)
    with self.assertRaisesRegex(OSError, path):
      files.reserve(path, 1 << 62)
    self.assertEmpty(self._listing())

  def test_sweeps_what_killed_processes_left(self):
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

  def test_a_checksum_is_of_the_content(self):
    path = self.folder / "a"
    path.write_bytes(b"content")
    self.assertEqual(
      files.checksum(str(path)), hashlib.sha256(b"content").hexdigest()
    )


if __name__ == "__main__":
  absltest.main()
