"""Keeps TensorFlow's banners off the screen.

When TensorFlow loads, it prints that oneDNN is on and that there is no GPU,
before it reads any log level. It also warns of retracing, wrongly when several
Keras models are trained in turn: each has its own function of the same code.
"""

import contextlib
import glob
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

_BANNERS = (
  "All log messages before absl::InitializeLog\\(\\) is called",
  "oneDNN custom operations are on",
)
# Hidden only on machines without a GPU.
_WITHOUT_GPU = ("Could not find cuda drivers", "failed call to cuInit")
_GPU_DEVICES = ("/dev/nvidia*", "/dev/dxg", "/dev/kfd")


def hold_back() -> None:
  """Drops the banners when TensorFlow is imported, and nothing else.

  Not for a user who asks for TensorFlow's messages by TF_CPP_MIN_LOG_LEVEL.
  """
  shown = os.environ.get("TF_CPP_MIN_LOG_LEVEL") in ("0", "1")
  held = any(isinstance(finder, _Finder) for finder in sys.meta_path)
  if not (shown or held or "tensorflow" in sys.modules):
    sys.meta_path.insert(0, _Finder())


@contextlib.contextmanager
def no_retracing_warnings() -> Iterator[None]:
  """Drops TensorFlow's retracing warnings in a context; also a decorator."""

  def is_other(record):
    return "triggered tf.function retracing" not in record.getMessage()

  logger = logging.getLogger("tensorflow")
  logger.addFilter(is_other)
  try:
    yield
  finally:
    logger.removeFilter(is_other)


class _Finder:
  """Import hook that loads TensorFlow without its banners."""

  def find_spec(self, name, path=None, target=None):
    if name != "tensorflow":
      return None
    sys.meta_path.remove(self)
    spec = importlib.util.find_spec(name)
    if spec:
      load = spec.loader.exec_module

      def load_without_banners(module):
        with _without_banners():
          load(module)
          if not _gpu_devices():
            # This first search for GPUs prints that there are none.
            module.config.list_physical_devices("GPU")

      spec.loader.exec_module = load_without_banners
    return spec


def _gpu_devices():
  return any(map(glob.glob, _GPU_DEVICES))


@contextlib.contextmanager
def _without_banners() -> Iterator[None]:
  """Filters file descriptor 2, to which C++ writes, through grep.

  grep is a separate process, so that the messages of a crash get through.
  """
  banners = list(_BANNERS)
  if not _gpu_devices():
    banners += _WITHOUT_GPU
  try:
    grep = subprocess.Popen(
      ["grep", "--line-buffered", "-vE", "|".join(banners)],
      stdin=subprocess.PIPE,
      stdout=2,
      # Ctrl-C must not reach grep.
      start_new_session=True,
    )
  except OSError:  # No grep, or no standard error.
    yield
    return
  stderr = os.dup(2)
  os.dup2(grep.stdin.fileno(), 2)
  try:
    yield
  finally:
    sys.stderr.flush()
    os.dup2(stderr, 2)
    os.close(stderr)
    grep.stdin.close()
    grep.wait()
