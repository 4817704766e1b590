"""Lets pytest run the tests that Bazel runs, all in one process.

pytest puts this file's folder on sys.path, from where the tests import
lc_keras, trainers, serving and `tests.testing`.
"""

from absl import flags
from absl.testing import absltest  # noqa: F401  (defines --test_tmpdir)

# Before the tests load TensorFlow: it sets what that reads.
import lc_keras as lc_keras
from tests import testing

# Nobody parses flags under pytest: they keep their defaults.
flags.FLAGS.mark_as_parsed()

# Logical devices must be set before any test starts TensorFlow.
testing.two_logical_cpus()
