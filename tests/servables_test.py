"""Tests of loading a SavedModel, warming it up and running it."""

import functools
import os
import subprocess
import sys

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from serving import server
from tests import serving_models

_ROWS = np.array([5, 7, 9])
_X = np.ones([3, 2], np.float32)


class ServableTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = os.path.join(self.create_tempdir().full_path, "1")

  def _load(self, write=serving_models.write):
    if not os.path.exists(self.folder):
      write(self.folder)
    servable = server.load(self.folder, "demo", 1)
    self.addCleanup(servable.close)
    return servable

  def _assert_load_fails(self, text, code):
    with self.assertRaisesRegex(server.LoadError, text) as caught:
      list(self._load().warming())
    self.assertEqual(caught.exception.code, code)

  def _assert_refused(self, code, text, call, *args):
    with self.assertRaisesRegex(server.ServingError, text) as caught:
      call(*args)
    self.assertEqual(caught.exception.code, code)

  def test_runs_signatures(self):
    servable = self._load()
    inputs = {"a": _ROWS, "b": _ROWS - 1}
    outputs = servable.predict("add", inputs)
    self.assertCountEqual(outputs, ["sum", "difference"])
    np.testing.assert_array_equal(outputs["sum"], 2 * _ROWS - 1)
    self.assertEqual(list(servable.predict("add", inputs, ["sum"])), ["sum"])
    answer = servable.answer(serving_models.request(x=_X))
    np.testing.assert_array_equal(answer["y"], 2 * _X)
    self._assert_refused(
      grpc.StatusCode.FAILED_PRECONDITION,
      '^Serving signature key "halve" not found.$',
      *(servable.predict, "halve", inputs),
    )
    malformed = serving_models.request(x=_X)
    malformed.inputs["x"].tensor_shape.dim[0].size = -1
    self._assert_refused(
      grpc.StatusCode.INVALID_ARGUMENT,
      "^tensor parsing error: x$",
      *(servable.answer, malformed),
    )
    servable.close()
    self._assert_refused(
      grpc.StatusCode.UNAVAILABLE, "", servable.predict, "add", inputs
    )

  def test_a_selection_is_taken_from_what_is_prepared(self):
    servable = self._load()
    inputs = {"a": _ROWS, "b": _ROWS - 1}
    fetched = []

    def run(servable, feeds, fetches, interrupt, fails=False):
      fetched.append(len(fetches))
      if fails and len(fetches) > 1:
        raise server.ServingError(grpc.StatusCode.INTERNAL, "difference fails")
      return servable.run(feeds, fetches, interrupt)

    def ask(outputs, **options):
      how = functools.partial(run, **options)
      answer = servable.predict("add", inputs, outputs, run=how)
      self.assertCountEqual(answer, outputs)
      np.testing.assert_array_equal(answer["sum"], 2 * _ROWS - 1)

    ask(["sum"])
    ask(["sum", "difference"])
    ask(["sum"])
    self.assertEqual(fetched, [1, 2, 2])
    # Outputs that are not requested may fail.
    ask(["sum"], fails=True)

  def test_a_saved_model_of_tf1(self):
    x = np.array([2.0, 3.0, 4.0], np.float32)
    outputs = self._load(serving_models.write_tf1).predict(
      "serving_default", {"x": x}
    )
    np.testing.assert_array_equal(outputs["y"], [3.0, 3.5, 4.0])

  def test_a_folder_without_a_saved_model(self):
    for write in (os.makedirs, lambda folder: None):
      with self.assertRaisesRegex(
        server.LoadError, "Version 1 of model demo cannot be loaded from"
      ) as caught:
        self._load(write)
      self.assertEqual(caught.exception.code, grpc.StatusCode.NOT_FOUND)

  @parameterized.parameters("saved_model.pb", "variables.index", "variables.da")
  def test_damage_is_an_error_and_no_crash(self, damaged):
    serving_models.write(self.folder)
    for parent, _, names in os.walk(self.folder):
      for name in names:
        if name.startswith(damaged):
          path = os.path.join(parent, name)
          os.truncate(path, os.path.getsize(path) // 2)
    with self.assertRaises(server.LoadError):
      self._load()

  def test_memory_does_not_grow_with_loads(self):
    # In a separate process: garbage of other tests would hide a leak.
    serving_models.write(self.folder)
    program = (
      "import gc, resource, sys\n"
      "from serving import server\n"
      "def cycle():\n"
      "  server.load(sys.argv[1]).close()\n"
      "  gc.collect()\n"
      "  pages = int(open('/proc/self/statm').read().split()[1])\n"
      "  return pages * resource.getpagesize() / 2**20\n"
      "first = [cycle() for _ in range(5)][-1]\n"
      "last = [cycle() for _ in range(10)][-1]\n"
      "print(last - first)\n"
    )
    done = subprocess.run(
      [sys.executable, "-c", program, self.folder],
      capture_output=True,
      text=True,
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    # A graph of this model takes 1 MB.
    self.assertLess(float(done.stdout), 5.0)

  def test_warms_up_by_the_recorded_requests(self):
    self.assertEmpty(list(self._load().warming()))
    serving_models.write_warmup(
      self.folder,
      # The recorded name of the model is ignored.
      serving_models.request(name="another", x=_X),
      serving_models.request("stop", row=_ROWS),
    )
    servable = self._load()
    self.assertLen(list(servable.warming(iterations=2)), 2)
    # The warm-up has called `stop`, so that this call ends.
    turns = servable.predict("spin", {"row": _ROWS})["turns"]
    self.assertEqual(turns.tolist(), _ROWS.tolist())

  def test_warm_up_fails(self):
    good = serving_models.request(x=_X)
    for bad, code in (
      (
        serving_models.request("add", a=-_ROWS, b=_ROWS),
        grpc.StatusCode.INVALID_ARGUMENT,
      ),
      (
        serving_models.request("halve", x=_X),
        grpc.StatusCode.FAILED_PRECONDITION,
      ),
    ):
      self._load()
      serving_models.write_warmup(self.folder, good, bad)
      self._assert_load_fails("fails its warm-up request 2 in ", code)
    serving_models.write_warmup(self.folder, *[good] * 1001)
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    self._assert_load_fails(r"exceeds the maximum \(1000\)", invalid)
    path = os.path.join(self.folder, server.WARMUP_REQUESTS)
    with tf.io.TFRecordWriter(path) as writer:
      writer.write(b"\xff\xff")
    self._assert_load_fails("parse warmup record", invalid)
    with tf.io.TFRecordWriter(path) as writer:
      writer.write(b"\x0a\x00\x12\x00")  # A log of Classify.
    self._assert_load_fails("log_type", grpc.StatusCode.UNIMPLEMENTED)
    with open(path, "wb") as file:
      file.write(b"no records at all")
    self._assert_load_fails("fails its warm-up", grpc.StatusCode.DATA_LOSS)
