"""A folder of its own for tests of rules that are written in a file."""

import os
import pathlib
import sys

from absl.testing import parameterized


class RulesFolderCase(parameterized.TestCase):
  """Its tests run in an empty folder, and leave no module behind."""

  def setUp(self):
    super().setUp()
    self.addCleanup(os.chdir, os.getcwd())
    self.addCleanup(sys.path.__setitem__, slice(None), list(sys.path))
    self.addCleanup(sys.modules.pop, "written_rules", None)
    os.chdir(self.create_tempdir().full_path)
    sys.modules.pop("written_rules", None)

  def _write(self, text):
    pathlib.Path("written_rules.py").write_text(text)
