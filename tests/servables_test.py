"""Tests of loading a SavedModel and running it."""

import os
import subprocess
import sys

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.protobuf import saved_model_pb2

from serving.server import errors
from serving.server import predictor
from serving.server import servables
from tests import serving_models

_ROWS = np.array([5, 7, 9])


class ServableTest(parameterized.TestCase):
  def _load(self, write=serving_models.write, **kwargs):
    folder = os.path.join(self.create_tempdir().full_path, "1")
    write(folder)
    servable = servables.Servable("demo", 1, folder, **kwargs)
    self.addCleanup(servable.close)
    return servable

  def test_a_saved_model_of_tf1(self):
    servable = self._load(serving_models.write_tf1)
    signature = servable.signature("serving_default")
    x = np.array([2.0, 3.0, 4.0], np.float32)
    outputs = predictor.predict(servable, signature, {"x": x})
    np.testing.assert_array_equal(outputs["y"], [3.0, 3.5, 4.0])

  def test_defaults_are_filled_in(self):
    def write(folder):
      serving_models.write(folder)
      path = os.path.join(folder, "saved_model.pb")
      model = saved_model_pb2.SavedModel()
      with open(path, "rb") as file:
        model.ParseFromString(file.read())
      add = model.meta_graphs[0].signature_def["add"]
      add.defaults["b"].CopyFrom(tf.make_tensor_proto([1, 1, 1], tf.int64))
      with open(path, "wb") as file:
        file.write(model.SerializeToString())

    servable = self._load(write)
    signature = servable.signature("add")
    outputs = predictor.predict(servable, signature, {"a": _ROWS})
    np.testing.assert_array_equal(outputs["sum"], _ROWS + 1)
    with self.assertRaisesRegex(errors.ServingError, "required: {a}"):
      predictor.predict(servable, signature, {"b": _ROWS})

  def test_not_a_saved_model(self):
    for folder in (self.create_tempdir().full_path, "missing"):
      with self.assertRaisesRegex(
        servables.LoadError, "Version 1 of model demo cannot be loaded from"
      ) as caught:
        servables.Servable("demo", 1, folder)
      self.assertEqual(caught.exception.code, grpc.StatusCode.NOT_FOUND)

  @parameterized.parameters("saved_model.pb", "variables.index", "variables.da")
  def test_damage_is_an_error_and_no_crash(self, damaged):
    folder = os.path.join(self.create_tempdir().full_path, "1")
    serving_models.write(folder)
    for parent, _, names in os.walk(folder):
      for name in names:
        if name.startswith(damaged):
          path = os.path.join(parent, name)
          os.truncate(path, os.path.getsize(path) // 2)
    with self.assertRaises(servables.LoadError):
      servables.Servable("demo", 1, folder)

  def test_tags(self):
    with self.assertRaisesRegex(servables.LoadError, "cannot be loaded"):
      self._load(tags=["train"])

  def test_what_is_closed_is_unavailable(self):
    servable = self._load()
    servable.close()
    with self.assertRaises(errors.ServingError) as caught:
      predictor.answer(servable, serving_models.request("ticks", row=_ROWS))
    self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)

  def test_memory_does_not_grow_with_loads(self):
    # In a process of its own: what others have left would hide it.
    folder = os.path.join(self.create_tempdir().full_path, "1")
    serving_models.write(folder)
    program = (
      "import gc, resource, sys\n"
      "from serving import servables\n"
      "def cycle():\n"
      "  servables.Servable('demo', 1, sys.argv[1]).close()\n"
      "  gc.collect()\n"
      "  pages = int(open('/proc/self/statm').read().split()[1])\n"
      "  return pages * resource.getpagesize() / 2**20\n"
      "first = [cycle() for _ in range(12)][-1]\n"
      "last = [cycle() for _ in range(24)][-1]\n"
      "print(last - first)\n"
    )
    done = subprocess.run(
      [sys.executable, "-c", program, folder], capture_output=True, text=True
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    # A graph of this model takes 1 MB.
    self.assertLess(float(done.stdout), 12.0)


if __name__ == "__main__":
  absltest.main()
