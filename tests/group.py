"""Runs the cases of several test files in one process.

  python -m tests.group tests.vae_test tests.gan_test

TensorFlow is loaded once for all of them. Bazel's `--test_filter` picks cases
by name, as it does in one file.
"""

from absl.testing import absltest

from tests import testing

if __name__ == "__main__":
  # Logical devices must be set before any test starts TensorFlow.
  testing.two_logical_cpus()
  absltest.main(module=None)
