"""Latent constraints for any frozen generative model.

After Engel, Hoffman and Roberts, "Latent Constraints: Learning to Generate
Conditionally from Unconditional Generative Models", ICLR 2018,
https://arxiv.org/abs/1711.05772.
"""

import importlib
import os

# TensorFlow reads these when it loads, so they are set here, before any module
# of ours imports it. oneDNN is off by default on many CPUs although a training
# step is up to 1.9 times faster with it (docs/results/performance.md).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from lc_keras.version import __version__ as __version__  # noqa: E402


def load(run_dir: str, constraints=None):
  """Opens a run folder as a `control.ControlledGenerator`.

  Args:
    run_dir: What a trainer, or `trainers.import_generator`, has written.
    constraints: Names of the learnt constraints to know; None is all of them.
  """
  # By name and not on import: TensorFlow takes seconds to load, and not
  # everything in this package is to depend on all of it.
  control = importlib.import_module("lc_keras.control")
  return control.ControlledGenerator(run_dir, constraints)
