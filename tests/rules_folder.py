"""A test case with an empty folder, for rules in files."""

import os
import pathlib
import sys

from absl.testing import parameterized


class RulesFolderCase(parameterized.TestCase):
  """Runs tests in an empty folder; removes imported modules."""

  def setUp(self):
    super().setUp()
    self.addCleanup(os.chdir, os.getcwd())
    self.addCleanup(sys.path.__setitem__, slice(None), list(sys.path))
    self.addCleanup(sys.modules.pop, "written_rules", None)
    os.chdir(self.create_tempdir().full_path)
    sys.modules.pop("written_rules", None)

  def _write(self, text):
    pathlib.Path("written_rules.py").write_text(text)
