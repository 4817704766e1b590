"""Tests of tensorflow_banners: only banners are dropped."""

import logging
import os
import subprocess
import sys
from unittest import mock

from absl.testing import parameterized

from lc_keras import tensorflow_banners

# Writes as C++ does, past sys.stderr.
_TENSORFLOW = """
import os, types
os.write(2, b'''\
I0000 00:00:1.2   3 port.cc:153] oneDNN custom operations are on. You may see
before
I0000 00:00:1.2   3 cudart_stub.cc:31] Could not find cuda drivers on your
''')
def _list_physical_devices(kind):
  os.write(2, b"E0000 00:00:1.2   3 cuda.cc:52] failed call to cuInit: 303\\n")
  os.write(2, b"E0000 00:00:1.2   3 gpu.cc:1] an error without end of line")
  ENDING
config = types.SimpleNamespace(list_physical_devices=_list_physical_devices)
"""
_PROGRAM = """
import sys
from lc_keras import tensorflow_banners
tensorflow_banners._GPU_DEVICES = [sys.argv[1]]
import tensorflow
print("after", file=sys.stderr)
"""


class TensorFlowBannersTest(parameterized.TestCase):
  def _run(self, program, *arguments, path=()):
    done = subprocess.run(
      [sys.executable, "-c", program, *arguments],
      env={**os.environ, "PYTHONPATH": os.pathsep.join([*path, *sys.path])},
      stderr=subprocess.PIPE,
      text=True,
    )
    return done.stderr.splitlines()

  def _tensorflow(self, ending):
    folder = self.create_tempdir()
    text = _TENSORFLOW.replace("ENDING", ending)
    folder.create_file("tensorflow.py", content=text)
    return [folder.full_path]

  def test_drops_banners_alone(self):
    path = self._tensorflow("pass")
    error = "E0000 00:00:1.2   3 gpu.cc:1] an error without end of line"
    self.assertEqual(
      self._run(_PROGRAM, "/nowhere", path=path), ["before", error, "after"]
    )
    # With a GPU, nothing is hidden about it, and it is not yet asked for.
    self.assertLen(self._run(_PROGRAM, "/dev/null", path=path), 3)

  @parameterized.parameters("os.abort()", "raise ImportError('of ours')")
  def test_shows_the_last_words(self, ending):
    lines = self._run(_PROGRAM, "/nowhere", path=self._tensorflow(ending))
    self.assertIn("an error without end of line", "\n".join(lines))
    if "ImportError" in ending:
      self.assertEqual(lines[-1], "ImportError: of ours")

  def test_warnings_of_retracing_are_dropped_meanwhile(self):
    logger = logging.getLogger("tensorflow")
    retracing = "5 out of the last 5 calls triggered tf.function retracing."
    with self.assertLogs(logger) as seen:
      with tensorflow_banners.no_retracing_warnings():
        logger.warning(retracing)
        logger.warning("other")
      logger.warning(retracing)
    messages = [record.getMessage() for record in seen.records]
    self.assertEqual(messages, ["other", retracing])

  @parameterized.parameters((None, False), ("0", True))
  def test_the_library_loads_tensorflow_as_quietly_as_asked(self, level, shown):
    change = {} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level}
    program = "import lc_keras, tensorflow"
    with mock.patch.dict(os.environ, change):
      if level is None:
        os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
      said = "\n".join(self._run(program))
    self.assertEqual("oneDNN" in said, shown, said)
