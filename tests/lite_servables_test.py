"""Tests of models of TensorFlow Lite, also behind a server's sockets."""

import os
import shutil
import tempfile
from concurrent import futures

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from serving.server import errors
from serving.server import lite_servables
from serving.server import servables
from tests import running_server
from tests import serving_models

_X = np.array([[2.0], [4.0]], np.float32)


def _write(folder, old=False):
  """Writes half of x, plus two, as of TF2 or as files have been before."""
  module = tf.Module()
  function = tf.function(
    lambda x: {"y": 0.5 * x + 2.0},
    [tf.TensorSpec([1, 1], tf.float32, name="x")],
    autograph=False,
  )
  if old:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      x = tf.compat.v1.placeholder(tf.float32, [1, 1], name="x")
      y = tf.add(0.5 * x, 2.0, name="y")
      converter = tf.compat.v1.lite.TFLiteConverter.from_session(
        session, [x], [y]
      )
      content = converter.convert()
  else:
    content = tf.lite.TFLiteConverter.from_concrete_functions(
      [function.get_concrete_function()], module
    ).convert()
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, lite_servables.FILE), "wb") as file:
    file.write(content)


class LiteServablesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.base_path = tempfile.mkdtemp()
    self.addCleanup(shutil.rmtree, self.base_path)
    self.folder = os.path.join(self.base_path, "00000123")

  @parameterized.parameters(False, True)
  def test_predict_over_a_socket(self, old):
    # As TensorFlow Serving's own test.
    _write(self.folder, old)
    running = running_server.RunningServer(
      model_base_path=self.base_path,
      **{"use_tflite_model" if old else "prefer_tflite_model": True},
    )
    self.addCleanup(running.stop)
    for x, filters in ((_X[:1], []), (_X[0], ["y"]), (_X, [])):
      response = running.predict(name="default", x=x, filters=filters)
      self.assertEqual(
        list(response.outputs["y"].float_val), (x.ravel() / 2 + 2).tolist()
      )
      self.assertEqual(response.model_spec.version.value, 123)
      self.assertEqual(response.model_spec.signature_name, "serving_default")
    self.assertEqual(
      running.json("/v1/models/default:predict", {"instances": [[2.0]]}),
      (200, {"predictions": [[3.0]]}),
    )

  def test_another_version_may_be_of_tensorflow(self):
    serving_models.write_half_plus_two(self.folder)
    running = running_server.RunningServer(
      model_base_path=self.base_path, prefer_tflite_model=True
    )
    self.addCleanup(running.stop)
    response = running.predict(name="default", x=_X)
    self.assertEqual(list(response.outputs["y"].float_val), [3.0, 4.0])

  def test_several_at_once(self):
    _write(self.folder)
    servable = lite_servables.LiteServable("demo", 123, self.folder, 2)
    (x,) = servable.signature("serving_default").inputs.values()
    (y,) = servable.signature("serving_default").outputs.values()

    def run(number):
      return servable.run({x.name: np.full([3, 1], number)}, [y.name])[0]

    numbers = np.arange(20, dtype=np.float32)
    with futures.ThreadPoolExecutor(4) as pool:
      for number, value in zip(numbers, pool.map(run, numbers)):
        np.testing.assert_array_equal(value, np.full([3, 1], number / 2 + 2))
    with self.assertRaises(errors.ServingError):
      servable.run({x.name: np.full([3, 1], "a", object)}, [y.name])
    servable.close()

  def test_what_is_none(self):
    os.makedirs(self.folder)
    with open(os.path.join(self.folder, lite_servables.FILE), "wb") as file:
      file.write(b"nothing")
    with self.assertRaisesRegex(servables.LoadError, "cannot be loaded"):
      lite_servables.LiteServable("demo", 123, self.folder)


if __name__ == "__main__":
  absltest.main()
