"""Tests of tensorflow_banners: only banners are dropped."""

import logging
import os
import subprocess
import sys

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
tensorflow_banners.hold_back()
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
    self.assertLen(self._run(_PROGRAM, "/dev/null", path=path), 5)

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

  def test_programs_load_tensorflow_quietly(self):
    program = "import trainers, tensorflow as tf; print(tf.zeros([2]))"
    banners = [line for line in self._run(program) if "0000 00:00" in line]
    self.assertEmpty(banners)
