"""Tests of which versions there are and which should be served."""

import os

from absl.testing import absltest
from absl.testing import parameterized
from google.protobuf import text_format

from serving.server import versions


def _policy(text):
  return text_format.Parse(text, versions.Policy())


class VersionsTest(parameterized.TestCase):
  def test_folders_named_by_a_number(self):
    folder = self.create_tempdir()
    for name in ("7", "0010", ".tmp-8", "-3", "1.tmp", "²", "latest", "9" * 30):
      folder.mkdir(name)
    folder.create_file("5")
    self.assertEqual(
      versions.find(folder.full_path),
      {
        7: os.path.join(folder.full_path, "7"),
        10: os.path.join(folder.full_path, "0010"),
      },
    )

  def test_a_folder_that_cannot_be_read_is_not_an_empty_one(self):
    folder = self.create_tempdir().full_path
    self.assertEqual(versions.find(folder), {})
    self.assertIsNone(versions.find(os.path.join(folder, "missing")))

  @parameterized.parameters(
    ("", {12}),
    ("latest {}", {12}),
    ("latest { num_versions: 2 }", {12, 9}),
    ("latest { num_versions: 9 }", {1, 2, 9, 12}),
    ("all {}", {1, 2, 9, 12}),
    ("specific { versions: 2 versions: 9 versions: 77 }", {2, 9}),
  )
  def test_policies(self, policy, wanted):
    found = {2: "", 12: "", 9: "", 1: ""}
    self.assertEqual(versions.aspired(_policy(policy), found), wanted)
    self.assertEqual(versions.aspired(_policy(policy), {}), set())

  @parameterized.parameters(
    ("", {12}, {12, 9}),
    ("", {12, 9}, {12, 9, 2}),
    ("", {2}, {12}),
    ("latest { num_versions: 2 }", {12}, {12, 9, 2}),
    ("specific { versions: 12 }", {12}, {12}),
  )
  def test_what_is_broken_is_replaced(self, policy, broken, wanted):
    found = {2: "", 12: "", 9: "", 1: ""}
    self.assertEqual(versions.aspired(_policy(policy), found, broken), wanted)

  def test_a_fingerprint_changes_with_any_file(self):
    folder = self.create_tempdir()
    inner = folder.mkdir("variables")
    seen = [versions.fingerprint(folder.full_path)]
    inner.create_file("data", "1")
    seen.append(versions.fingerprint(folder.full_path))
    with open(os.path.join(inner.full_path, "data"), "a") as file:
      file.write("2")
    seen.append(versions.fingerprint(folder.full_path))
    self.assertEqual(seen[-1], versions.fingerprint(folder.full_path))
    for earlier, later in zip(seen, seen[1:]):
      self.assertNotEqual(earlier, later)

  def test_forgetting_leaves_the_files_alone(self):
    folder = self.create_tempdir()
    path = folder.create_file("data", "1").full_path
    versions.forget(folder.full_path)
    with open(path) as file:
      self.assertEqual(file.read(), "1")


if __name__ == "__main__":
  absltest.main()
