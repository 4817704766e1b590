"""Runs test files in one process, as Bazel's targets do.

  python tests/run_area.py tests/vae_test.py tests/gan_test.py

TensorFlow is loaded once for all files. With --without-tensorflow, it is an
error to load it. Bazel's `--test_filter` selects cases as pytest's `-k`.
"""

import os
import sys

import pytest

_WITHOUT = "--without-tensorflow"


def main() -> int:
  args = [arg for arg in sys.argv[1:] if arg != _WITHOUT]
  args += ["-p", "no:cacheprovider"]
  if os.environ.get("TESTBRIDGE_TEST_ONLY"):
    args += ["-k", os.environ["TESTBRIDGE_TEST_ONLY"]]
  if os.environ.get("XML_OUTPUT_FILE"):
    args += ["--junitxml", os.environ["XML_OUTPUT_FILE"]]
  status = pytest.main(args)
  if _WITHOUT in sys.argv and "tensorflow" in sys.modules:
    sys.exit(
      "Error: one of these tests has loaded TensorFlow. Name it in another "
      "area of tests/BUILD, or in none."
    )
  return status


if __name__ == "__main__":
  sys.exit(main())
