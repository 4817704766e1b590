"""Runs `bulk_cases` in .venv-beam, which has Apache Beam.

Beam needs older versions of protobuf and other packages than the lock has.
"""

import os
import pathlib
import subprocess
import sys

from absl.testing import absltest

_ROOT = pathlib.Path(__file__).parents[1]
_CASES = "tests.bulk_cases"
_PYTHON = pathlib.Path(sys.prefix).parent / ".venv-beam" / "bin" / "python"


class BulkTest(absltest.TestCase):
  def test_bulk_work_on_beam(self):
    self.assertTrue(
      _PYTHON.exists(), f"{_PYTHON} is not there: `make venv-beam` makes it."
    )
    temporary = self.create_tempdir().full_path
    finished = subprocess.run(
      [_PYTHON, "-m", _CASES, f"--test_tmpdir={temporary}"],
      cwd=_ROOT,
      # Not the paths of this venv, nor where Bazel wants its own results.
      env={
        **{
          name: value
          for name, value in os.environ.items()
          if name not in ("PYTHONPATH", "XML_OUTPUT_FILE")
          and not name.startswith("TEST_")
        },
        "PYTHONPATH": str(_ROOT),
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      check=False,
    )
    self.assertEqual(finished.returncode, 0, finished.stdout[-8000:])
    self.assertRegex(finished.stdout, r"Ran \d+ tests")
