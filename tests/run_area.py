"""Runs test files in one process, as Bazel's targets do.

  python tests/run_area.py tests/vae_test.py tests/gan_test.py

TensorFlow is loaded once for all of them. Bazel's `--test_filter` picks cases
as pytest's `-k` does.
"""

import os
import sys

import pytest


def main() -> int:
  args = [*sys.argv[1:], "-p", "no:cacheprovider"]
  if os.environ.get("TESTBRIDGE_TEST_ONLY"):
    args += ["-k", os.environ["TESTBRIDGE_TEST_ONLY"]]
  if os.environ.get("XML_OUTPUT_FILE"):
    args += ["--junitxml", os.environ["XML_OUTPUT_FILE"]]
  return pytest.main(args)


if __name__ == "__main__":
  sys.exit(main())
