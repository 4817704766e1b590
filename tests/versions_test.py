"""Tests of finding versions, and of the choice of those to serve."""

import os

from absl.testing import parameterized
from google.protobuf import text_format

from serving.server import versions

_FOUND = {2: "", 12: "", 9: "", 1: ""}


class VersionsTest(parameterized.TestCase):
  def test_folders_named_by_a_number(self):
    folder = self.create_tempdir()
    for name in ("7", "0010", ".tmp-8", "-3", "1.tmp", "²", "latest", "9" * 30):
      folder.mkdir(name)
    folder.create_file("5")
    self.assertEqual(
      versions.find_versions(folder.full_path),
      {
        7: os.path.join(folder.full_path, "7"),
        10: os.path.join(folder.full_path, "0010"),
      },
    )

  def test_an_unreadable_folder_is_not_an_empty_one(self):
    folder = self.create_tempdir().full_path
    self.assertEqual(versions.find_versions(folder), {})
    self.assertIsNone(versions.find_versions(os.path.join(folder, "missing")))

  def test_says_what_a_folder_without_versions_is(self):
    folder = self.create_tempdir()
    path = folder.full_path
    self.assertIn("but nothing. A server takes", versions.problem(path))
    for name in ("v0.1", "v0.2"):
      folder.mkdir(name)
    self.assertIn("no versions, but v0.1, v0.2. A", versions.problem(path))
    folder.create_file("saved_model.pb")
    self.assertIn("itself a SavedModel", versions.problem(path))
    folder.mkdir("3").create_file("saved_model.pb")
    inner = os.path.join(path, "3")
    self.assertEndsWith(versions.problem(inner), f"number: give {path}.")
    missing = versions.problem(os.path.join(path, "missing"))
    self.assertIn("cannot be read: No such file", missing)

  @parameterized.parameters(
    ("", {}, {12}),
    ("latest {}", {}, {12}),
    ("latest { num_versions: 2 }", {}, {12, 9}),
    ("latest { num_versions: 9 }", {}, {1, 2, 9, 12}),
    ("all {}", {}, {1, 2, 9, 12}),
    ("specific { versions: 2 versions: 9 versions: 77 }", {}, {2, 9}),
    # Broken versions are retried; `latest` serves older ones meanwhile.
    ("", {12}, {12, 9}),
    ("", {12, 9}, {12, 9, 2}),
    ("", {2}, {12}),
    ("latest { num_versions: 2 }", {12}, {12, 9, 2}),
    ("specific { versions: 12 }", {12}, {12}),
  )
  def test_policies(self, text, broken, wanted):
    policy = text_format.Parse(text, versions.Policy())
    self.assertEqual(versions.aspired(policy, _FOUND, broken), wanted)
    self.assertEqual(versions.aspired(policy, {}), set())

  def test_a_fingerprint_changes_with_any_file(self):
    folder = self.create_tempdir()
    inner = folder.mkdir("variables")
    seen = [versions.fingerprint(folder.full_path)]
    path = inner.create_file("data", "1").full_path
    seen.append(versions.fingerprint(folder.full_path))
    versions.drop_from_cache(folder.full_path)
    self.assertEqual(seen[-1], versions.fingerprint(folder.full_path))
    with open(path, "a") as file:
      file.write("2")
    seen.append(versions.fingerprint(folder.full_path))
    self.assertNotEqual(seen[0], seen[1])
    self.assertNotEqual(seen[1], seen[2])
