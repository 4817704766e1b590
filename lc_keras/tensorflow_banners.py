"""Keeps TensorFlow's banners off the screen of our programs.

TensorFlow prints some lines whenever it loads, before it reads any setting of
what to print: that oneDNN is on, and that there is no GPU. And it warns of
functions that are traced again, wrongly where one Keras model is trained after
the other: each has a function of its own, of the same code.
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
# News to whoever has a GPU.
_WITHOUT_GPU = ("Could not find cuda drivers", "failed call to cuInit")
_GPU_DEVICES = ("/dev/nvidia*", "/dev/dxg", "/dev/kfd")


def hold_back() -> None:
  """Drops the banners when TensorFlow is imported, and nothing else."""
  if "tensorflow" not in sys.modules:
    sys.meta_path.insert(0, _Finder())


@contextlib.contextmanager
def no_retracing_warnings() -> Iterator[None]:
  """Drops TensorFlow's warnings of retracing meanwhile; also a decorator."""

  def is_other(record):
    return "triggered tf.function retracing" not in record.getMessage()

  logger = logging.getLogger("tensorflow")
  logger.addFilter(is_other)
  try:
    yield
  finally:
    logger.removeFilter(is_other)


class _Finder:
  """Finds TensorFlow as Python does, but loads it without its banners."""

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
          # TensorFlow looks for GPUs only now, and says that there are none.
          module.config.list_physical_devices("GPU")

      spec.loader.exec_module = load_without_banners
    return spec


@contextlib.contextmanager
def _without_banners() -> Iterator[None]:
  """Lets grep read file descriptor 2, to which C++ writes, line by line.

  It is a process of its own, so that the last words of a crash get through.
  """
  banners = list(_BANNERS)
  if not any(map(glob.glob, _GPU_DEVICES)):
    banners += _WITHOUT_GPU
  try:
    grep = subprocess.Popen(
      ["grep", "--line-buffered", "-vE", "|".join(banners)],
      stdin=subprocess.PIPE,
      stdout=2,
      # Ctrl-C is not for it.
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
