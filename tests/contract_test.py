"""The tests of TensorFlow Serving's own server, for supported features.

Its models: half_plus_two of TF1, functions of TF2 whose inputs have no known
rank, and a Keras model, with and without batching.
"""

import json
import os
import tempfile
import urllib.request

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests import running_server
from tests import serving_models
from tests import testing

_BATCHING = """
max_batch_size { value: 128 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 2 }
"""
_X = np.array([2.0], np.float32)


def _write_functions(folder):
  """Writes a model of TF2 whose inputs have no known rank."""
  root = tf.train.Checkpoint(v1=tf.Variable(3.0), v2=tf.Variable(2.0))
  spec = [tf.TensorSpec(None, tf.float32)]
  root.f = tf.function(lambda x: {"y": root.v1 * root.v2 * x}, spec)
  root.g = tf.function(lambda x: {"y": 2.0}, spec)
  signatures = {"serving_default": root.f, "custom_signature_key": root.g}
  tf.saved_model.save(root, folder, signatures)


def _write_keras(folder):
  """Writes a model of Keras, trained on two replicas."""
  with testing.two_replica_strategy().scope():
    model = keras.Sequential(
      [
        keras.layers.Input((1,), name="x"),
        keras.layers.Dense(1, kernel_initializer="ones"),
      ]
    )
  # For Keras 3, tf.saved_model.save writes variables that nothing initialises.
  model.export(folder, verbose=False)


class ContractTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    base_paths = {}
    for name, write in (
      ("default", serving_models.write_tf1),
      ("functions", _write_functions),
      ("keras", _write_keras),
    ):
      base_paths[name] = os.path.join(cls.folder, name)
      write(os.path.join(base_paths[name], "00000123"))
    config = cls._file("models.txt", serving_models.config(**base_paths))
    session = cls._file("session.txt", "intra_op_parallelism_threads: 1")
    cls.servers = []
    for flags in (
      {
        "tensorflow_session_config_file": session,
        "mixed_precision": "bfloat16",
      },
      {
        "enable_batching": True,
        "batching_parameters_file": cls._file("batching.txt", _BATCHING),
      },
    ):
      running = running_server.RunningServer(
        model_config_file=config,
        rest_api_timeout_in_ms=int(1000 * running_server.PATIENCE),
        grpc_channel_arguments=(
          "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"
        ),
        **flags,
      )
      cls.addClassCleanup(running.stop)
      cls.servers.append(running)

  @classmethod
  def _file(cls, name, text):
    path = os.path.join(cls.folder, name)
    with open(path, "w") as file:
      file.write(text)
    return path

  def _verify(self, stub, expected, x=_X, output="y", **kwargs):
    for filters in ([], [output]):
      request = serving_models.request(x=x, filters=filters, **kwargs)
      response = stub.Predict(request, timeout=running_server.PATIENCE)
      value = response.outputs[output]
      self.assertEqual(value.dtype, tf.float32.as_datatype_enum)
      self.assertEqual(list(value.float_val), [expected])
      # A scalar needs a shape, too.
      self.assertTrue(value.HasField("tensor_shape"))
      self.assertEqual(response.model_spec.version.value, 123)

  def test_predict(self):
    for running in self.servers:
      stub = running.predictions
      self._verify(stub, 3.0, name="default")
      self._verify(stub, 12.0, name="functions")
      self._verify(stub, 2.0, name="keras", x=_X[:, None], output="output_0")
    # A scalar has no rows to batch.
    self._verify(
      self.servers[0].predictions,
      2.0,
      name="functions",
      signature="custom_signature_key",
      x=np.float32(2.0),
    )

  @parameterized.parameters(
    ({"instances": [2.0, 3.0, 4.0]}, {"predictions": [3.0, 3.5, 4.0]}),
    ({"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
    (
      {"signature_name": "serving_default", "inputs": {"x": [2.0, 4.0]}},
      {"outputs": [3.0, 4.0]},
    ),
  )
  def test_rest(self, body, expected):
    for running in self.servers:
      # urllib's default content type is that of a form.
      request = urllib.request.Request(
        f"http://localhost:{running.server.rest_port}"
        "/v1/models/default:predict",
        json.dumps(body).encode(),
      )
      with urllib.request.urlopen(
        request, timeout=running_server.PATIENCE
      ) as answer:
        self.assertEqual(json.load(answer), expected)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
