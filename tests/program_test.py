"""Tests of main: the flags, messages and exit codes of every job."""

import contextlib
import errno
import io
import json
import os
import signal
import sys
from unittest import mock

import tensorflow as tf
from absl import flags
from absl.testing import parameterized

from lc_keras.data import pipeline
from lc_keras.models import storage
from trainers import common_flags
from trainers import program
from trainers import runs


class ProgramTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.run_dir = self.create_tempdir().full_path

  def _main(self, job, *arguments):
    """Runs a job as a program; returns its exit code and output."""
    said = io.StringIO()
    values = flags.FlagValues()
    # absl uses the global flags; here they are replaced by a copy.
    values.append_flag_values(flags.FLAGS)
    with (
      mock.patch.object(flags, "FLAGS", values),
      mock.patch.object(program.app, "run", self._run_app(values)),
      mock.patch.object(
        sys, "argv", ["job", f"--run_dir={self.run_dir}", *arguments]
      ),
      contextlib.redirect_stderr(said),
      self.assertRaises(SystemExit) as stopped,
    ):
      program.main(common_flags.define_run_flags, job)
      sys.exit(0)
    code = stopped.exception.code
    if isinstance(code, str):  # Python prints it and exits with 1.
      return 1, code + said.getvalue()
    return code, said.getvalue()

  def _run_app(self, values):
    return lambda run, arguments, **_: run(values(arguments))

  @parameterized.product(
    stop=((signal.SIGINT, 130), (signal.SIGTERM, 75)), converts=(False, True)
  )
  def test_told_to_stop_says_how_to_go_on(self, stop, converts):
    number, end = stop

    def job(_):
      try:
        os.kill(os.getpid(), number)
        signal.pause()
      except BaseException as error:
        if converts:  # As TensorFlow does while it traces.
          raise SystemError("returned with an exception set") from error
        raise

    code, said = self._main(job)
    self.assertEqual(code, end, said)
    self.assertIn("The same command goes on", said)
    self.assertEqual("SIGTERM" in said, number == signal.SIGTERM)
    self.assertNotIn("Traceback", said)

  def test_runs_the_job_with_its_flags(self):
    seen = []
    code, _ = self._main(lambda settings: seen.append(settings.run_dir))
    self.assertEqual(code, 0)
    self.assertEqual(seen, [self.run_dir])

  @parameterized.parameters(
    ("_open_no_run", "it has no run.json"),
    ("_name_no_data_set", "toon_face"),
    ("_load_no_model", "No trained model"),
  )
  def test_what_the_user_can_put_right_is_one_line(self, mistake, text):
    code, said = self._main(lambda settings: getattr(self, mistake)())
    self.assertEqual(code, 1)
    self.assertStartsWith(said, "Error: ")
    self.assertIn(text, said)
    self.assertNotIn("Traceback", said)

  def _open_no_run(self):
    runs.Run(self.run_dir)

  def _name_no_data_set(self):
    pipeline.describe("toon_face")

  def _load_no_model(self):
    storage.load(self.run_dir)

  @parameterized.parameters(
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/log.csv"),
    OSError(errno.EROFS, os.strerror(errno.EROFS), "/read-only/lock"),
    # As the messages of HDF5 and TensorFlow.
    RuntimeError(
      "Unable to synchronously close file (errno = 28, error message = 'No "
      "space left on device')"
    ),
    tf.errors.ResourceExhaustedError(
      None, None, "/full/events.out; No space left on device"
    ),
  )
  def test_what_the_machine_fails_at_is_one_line(self, error):
    def job(settings):
      raise KeyError("something a library raises then") from error

    code, said = self._main(job)
    self.assertEqual(code, 1)
    self.assertRegex(
      said, "^Error: .*(No space|Read-only).*same command then goes on"
    )

  def test_our_own_mistakes_are_not_hidden(self):
    def job(settings):
      del settings
      raise TypeError("a bug")

    with self.assertRaisesRegex(TypeError, "a bug"):
      self._main(job)

  def test_a_library_s_mistakes_are_not_hidden(self):
    # A ValueError, but of a library: its text has no remedy.
    with self.assertRaises(json.JSONDecodeError):
      self._main(lambda settings: json.loads("no JSON"))

  def test_refuses_what_is_no_flag(self):
    with self.assertRaisesRegex(program.app.UsageError, "Not a flag: steps=3"):
      self._main(lambda settings: None, "steps=3")
