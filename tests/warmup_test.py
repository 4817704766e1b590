"""Tests of requests that run before a version is served."""

import os

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest

from serving.server import predictor
from serving.server import servables
from serving.server import warmup
from tests import running_server
from tests import serving_models

_X = np.ones([3, 2], np.float32)
_ROWS = np.array([1, 2])


class WarmupTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.base_path = self.create_tempdir().full_path
    self.folder = self._write("1")

  def _write(self, version):
    folder = os.path.join(self.base_path, version)
    serving_models.write(folder)
    return folder

  def _run(self, **kwargs):
    servable = servables.Servable("demo", 1, self.folder)
    self.addCleanup(servable.close)
    return servable, warmup.run(servable, **kwargs)

  def test_runs_what_was_recorded(self):
    serving_models.write_warmup(
      self.folder,
      # Whatever name the model had when it was recorded.
      serving_models.request(name="another", x=_X),
      serving_models.request("add", a=_ROWS, b=_ROWS),
      serving_models.request("stop", row=_ROWS),
    )
    servable, count = self._run()
    self.assertEqual(count, 3)
    # It has been stopped before, so that this one ends.
    signature = serving_models.request("spin", row=_ROWS)
    self.assertEqual(
      predictor.answer(servable, signature)[1]["turns"].tolist(), [1, 2]
    )

  def test_without_requests(self):
    self.assertEqual(self._run()[1], 0)

  def test_a_request_that_fails(self):
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
      serving_models.write_warmup(self.folder, good, bad)
      with self.assertRaisesRegex(
        servables.LoadError, "fails its warm-up request 2 in "
      ) as caught:
        self._run()
      self.assertEqual(caught.exception.code, code)

  def test_too_many_requests(self):
    request = serving_models.request(x=_X)
    serving_models.write_warmup(self.folder, *[request] * 1001)
    with self.assertRaisesRegex(
      servables.LoadError, r"exceeds the maximum \(1000\)"
    ):
      self._run()

  def test_files_that_are_none(self):
    serving_models.write_warmup(self.folder)
    path = os.path.join(self.folder, warmup.REQUESTS)
    with tf.io.TFRecordWriter(path) as writer:
      writer.write(b"\xff\xff")
    with self.assertRaisesRegex(servables.LoadError, "parse warmup record"):
      self._run()
    with open(path, "wb") as file:
      file.write(b"no records at all")
    with self.assertRaisesRegex(servables.LoadError, "fails its warm-up"):
      self._run()

  def test_the_old_version_stays_if_the_new_one_fails(self):
    running = running_server.RunningServer(
      model_name="demo",
      model_base_path=self.base_path,
      max_num_load_retries=0,
    )
    self.addCleanup(running.stop)
    bad = serving_models.request("add", a=-_ROWS, b=_ROWS)
    folder = os.path.join(self.base_path, ".tmp-2")
    serving_models.write(folder)
    serving_models.write_warmup(folder, bad)
    os.rename(folder, os.path.join(self.base_path, "2"))
    status = running.wait_for("END", 2)
    self.assertIn("a must not be negative", status.error_message)
    self.assertEqual(running.predict(x=_X).model_spec.version.value, 1)

  def test_only_if_asked_for(self):
    bad = serving_models.request("add", a=-_ROWS, b=_ROWS)
    serving_models.write_warmup(self.folder, bad)
    running = running_server.RunningServer(
      model_name="demo",
      model_base_path=self.base_path,
      enable_model_warmup=False,
    )
    self.addCleanup(running.stop)
    self.assertEqual(running.predict(x=_X).model_spec.version.value, 1)


if __name__ == "__main__":
  absltest.main()
