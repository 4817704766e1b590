"""Tests of the selection of tests by `make check`."""

import pathlib
import subprocess

from absl.testing import absltest

from tools import check


class CheckTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir())
    for name in ("lc_keras/vae.py", "lc_keras/gan.py", "tests/vae_test.py"):
      self._write(name)
    self._git("init", "--quiet", "--initial-branch=main")
    self._commit()

  def _write(self, name):
    path = self.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{name} {path.exists()}")

  def _git(self, *arguments):
    subprocess.run(
      ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
      cwd=self.root,
      check=True,
    )

  def _commit(self):
    self._git("add", ".")
    self._git("commit", "--quiet", "--message=m")

  def test_finds_what_was_committed_changed_and_added(self):
    self.assertEmpty(check.changed_files(self.root))
    self._git("checkout", "--quiet", "-b", "work")
    self._write("lc_keras/vae.py")
    self._commit()
    self._write("lc_keras/gan.py")
    self._write("tests/gan_test.py")
    self.assertCountEqual(
      check.changed_files(self.root),
      ["lc_keras/vae.py", "lc_keras/gan.py", "tests/gan_test.py"],
    )

  def test_a_test_is_named_after_a_file(self):
    files = ["a/vae.py", "b/vae.py", "tests/vae_test.py", "lc_keras/gan.py"]
    self.assertEqual(check.tests_of(files, self.root), ["tests/vae_test.py"])

  def test_reads_the_quick_area(self):
    text = 'f()\narea(\n name = "quick",\n tests = ["a_test", "b_test"],\n)\n'
    self.assertEqual(
      check.quick_tests(text), ["tests/a_test.py", "tests/b_test.py"]
    )
