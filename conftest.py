"""Lets pytest run the tests, each file alone or all of them in one process.

pytest puts this file's folder on sys.path, from where the tests import
lc_keras, trainers, serving and `tests.testing`.
"""

import gc
import sys

from absl import flags
from absl.testing import absltest  # noqa: F401  (defines --test_tmpdir)

# First: it sets environment variables that TensorFlow reads when it loads.
import lc_keras as lc_keras

# pytest parses no absl flags: they keep their defaults.
flags.FLAGS.mark_as_parsed()
# Modules are never garbage, and scanning TensorFlow's again and again would
# take a seventh of the tests' time.
gc.disable()


def pytest_collection_finish():
  """Sets logical devices, before any test starts TensorFlow."""
  gc.freeze()
  gc.set_threshold(50_000, 20, 20)
  gc.enable()
  if "tensorflow" in sys.modules:
    from tests import testing

    testing.two_logical_cpus()
    testing.keep_kernels()
