"""What TensorFlow Serving's own tests of its server ask, asked of ours.

Of `tensorflow_model_server_test.py`, with models like those that it serves.
"""

import json
import os
import shutil
import tempfile
import urllib.request

import grpc
import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis import regression_pb2

from tests import running_server
from tests import serving_models
from tests import testing

_PATIENCE = running_server.PATIENCE
_CLASSIFY = tf.saved_model.CLASSIFY_METHOD_NAME
_REGRESS = tf.saved_model.REGRESS_METHOD_NAME
_BATCHING = """
max_batch_size { value: 128 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 2 }
"""
_X = np.array([2.0], np.float32)

# One of the CPU's halves each, for the model of two replicas.
testing.two_logical_cpus()


def _write_functions(folder):
  """A model of TF2 whose inputs have no known rank, and two signatures."""
  root = tf.train.Checkpoint(v1=tf.Variable(3.0), v2=tf.Variable(2.0))
  spec = [tf.TensorSpec(None, tf.float32)]
  root.f = tf.function(lambda x: {"y": root.v1 * root.v2 * x}, spec)
  root.g = tf.function(lambda x: {"y": 2.0}, spec)
  signatures = {"serving_default": root.f, "custom_signature_key": root.g}
  tf.saved_model.save(root, folder, signatures)


def _write_keras(folder):
  """A model of Keras, trained on two replicas."""
  with testing.two_replica_strategy().scope():
    model = keras.Sequential(
      [
        keras.layers.Input((1,), name="x"),
        keras.layers.Dense(1, kernel_initializer="ones"),
      ]
    )
  # What tf.saved_model.save writes of Keras 3 has variables that nobody fills.
  model.export(folder, verbose=False)


def _config(**folders):
  models = "".join(
    f'config {{ name: "{name}" base_path: "{folder}" '
    'model_platform: "tensorflow" }\n'
    for name, folder in folders.items()
  )
  return f"model_config_list {{ {models} }}"


class ContractTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, cls.folder)
    models = {}
    for name, write in (
      ("default", serving_models.write_half_plus_two),
      ("functions", _write_functions),
      ("keras", _write_keras),
    ):
      models[name] = os.path.join(cls.folder, name)
      write(os.path.join(models[name], "00000123"))
    cls.config_file = cls._file("models.txt", _config(**models))
    cls.running = cls._start()
    batching = cls._file("batching.txt", _BATCHING)
    cls.batching = cls._start(
      enable_batching=True, batching_parameters_file=batching
    )

  @classmethod
  def _file(cls, name, text):
    path = os.path.join(cls.folder, name)
    with open(path, "w") as file:
      file.write(text)
    return path

  @classmethod
  def _start(cls, **flags):
    monitoring = cls._file("monitoring.txt", "prometheus_config { enable: 1 }")
    # Every server of the tests there has the same socket: the last one gets it.
    cls.socket = os.path.join(cls.folder, "grpc.sock")
    running = running_server.RunningServer(
      model_config_file=cls.config_file,
      rest_api_timeout_in_ms=5000,
      grpc_socket_path=cls.socket,
      monitoring_config_file=monitoring,
      grpc_channel_arguments=(
        "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"
      ),
      **flags,
    )
    cls.addClassCleanup(running.stop)
    return running

  def _verify_spec(self, spec, signature):
    self.assertEqual(spec.name, "default")
    self.assertEqual(spec.signature_name, signature)
    self.assertEqual(spec.version.value, 123)

  def _verify_predict(self, stub, expected, x=_X, **kwargs):
    for filters in ([], ["y"]):
      request = serving_models.request(x=x, filters=filters, **kwargs)
      response = stub.Predict(request, timeout=_PATIENCE)
      self.assertEqual(response.outputs["y"].dtype, tf.float32.as_datatype_enum)
      self.assertEqual(list(response.outputs["y"].float_val), [expected])
      self.assertEqual(response.model_spec.version.value, 123)

  def _both(self):
    return self.running, self.batching

  def test_status(self):
    ((version, (state, status)),) = self.running.states("default").items()
    self.assertEqual((version, state), (123, "AVAILABLE"))
    self.assertEqual(status.error_code, 0)

  def test_classify(self):
    request = classification_pb2.ClassificationRequest(
      input=serving_models.examples(2.0)
    )
    request.model_spec.name = "default"
    request.model_spec.signature_name = "classify_x_to_y"
    for running in self._both():
      response = running.predictions.Classify(request, timeout=_PATIENCE)
      ((one,),) = [c.classes for c in response.result.classifications]
      self.assertEqual(one.score, 3.0)
      self._verify_spec(response.model_spec, "classify_x_to_y")

  def test_regress(self):
    request = regression_pb2.RegressionRequest(
      input=serving_models.examples(2.0)
    )
    request.model_spec.name = "default"
    request.model_spec.signature_name = "regress_x_to_y"
    for running in self._both():
      response = running.predictions.Regress(request, timeout=_PATIENCE)
      self.assertEqual([v.value for v in response.result.regressions], [3.0])
      self._verify_spec(response.model_spec, "regress_x_to_y")

  def test_multi_inference(self):
    request = inference_pb2.MultiInferenceRequest(
      input=serving_models.examples(2.0)
    )
    for signature, method in (
      ("regress_x_to_y", _REGRESS),
      ("classify_x_to_y", _CLASSIFY),
    ):
      task = request.tasks.add(method_name=method)
      task.model_spec.name = "default"
      task.model_spec.signature_name = signature
    for running in self._both():
      first, second = running.predictions.MultiInference(
        request, timeout=_PATIENCE
      ).results
      self.assertEqual(first.regression_result.regressions[0].value, 3.0)
      classification = second.classification_result.classifications[0]
      self.assertEqual(classification.classes[0].score, 3.0)
      self._verify_spec(first.model_spec, "regress_x_to_y")
      self._verify_spec(second.model_spec, "classify_x_to_y")

  def test_refuses_what_names_no_model(self):
    stub = self.running.predictions
    for method, request, text in (
      (
        stub.Classify,
        classification_pb2.ClassificationRequest(),
        "Missing ModelSpec",
      ),
      (stub.Regress, regression_pb2.RegressionRequest(), "Missing ModelSpec"),
      (
        stub.MultiInference,
        inference_pb2.MultiInferenceRequest(),
        "ModelSpec has no name specified.",
      ),
    ):
      with self.assertRaises(grpc.RpcError) as caught:
        method(request, timeout=_PATIENCE)
      self.assertEqual(caught.exception.details(), text)
      self.assertEqual(
        caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT
      )

  def test_predict(self):
    for running in self._both():
      stub = running.predictions
      self._verify_predict(stub, 3.0, name="default")
      self._verify_predict(stub, 12.0, name="functions")
      self._verify_predict(
        stub, 2.0, name="functions", signature="serving_default", x=_X / 6.0
      )

  def test_predict_by_other_signatures(self):
    stub = self.running.predictions
    self._verify_predict(
      stub, 2.0, name="functions", signature="custom_signature_key"
    )
    for signature, output in (
      ("regress_x2_to_y3", "outputs"),
      ("classify_x2_to_y3", "scores"),
    ):
      # A scalar, which has a shape, too.
      response = self.running.predict(
        signature, name="default", inputs=np.float32(2.0)
      )
      self.assertEqual(list(response.outputs), [output])
      self.assertEqual(list(response.outputs[output].float_val), [4.0])
      self.assertTrue(response.outputs[output].HasField("tensor_shape"))

  def test_predict_of_keras(self):
    response = self.running.predict(name="keras", x=_X[:, None])
    self.assertEqual(list(response.outputs["output_0"].float_val), [2.0])

  def test_predict_over_a_socket(self):
    with grpc.insecure_channel(f"unix:{self.socket}") as channel:
      stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
      self._verify_predict(stub, 3.0, name="default")

  @parameterized.parameters(
    (
      "classify",
      {"signature_name": "classify_x_to_y", "examples": [{"x": 2.0}]},
      {"results": [[["", 3.0]]]},
    ),
    (
      "regress",
      {"signature_name": "regress_x_to_y", "examples": [{"x": [2.0]}]},
      {"results": [3.0]},
    ),
    (
      "regress",
      {
        "signature_name": "regress_x_to_y",
        "context": {"x": 80.0},
        "examples": [{}, {"x": 2.0}],
      },
      {"results": [42.0, 3.0]},
    ),
    (
      "predict",
      {"instances": [2.0, 3.0, 4.0]},
      {"predictions": [3.0, 3.5, 4.0]},
    ),
    ("predict", {"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
    (
      "predict",
      {"signature_name": "serving_default", "inputs": {"x": [[2.0], [4.0]]}},
      {"outputs": [[3.0], [4.0]]},
    ),
  )
  def test_rest(self, method, body, expected):
    for running in self._both():
      # By urllib as it comes: it says that it sends a form.
      request = urllib.request.Request(
        f"http://localhost:{running.server.rest_port}"
        f"/v1/models/default:{method}",
        json.dumps(body).encode(),
      )
      with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
        self.assertEqual(json.load(answer), expected)
        self.assertEqual(answer.headers["Content-Type"], "application/json")

  @parameterized.parameters(
    ("classify", {}, "JSON Value: {} When method is classify, key 'examples'"),
    (
      "regress",
      {"signature_name": "halve", "examples": [{"x": 2.0}]},
      "No signature was found with the name: halve",
    ),
    (
      "regress",
      {"signature_name": "regress_x_to_y", "examples": [{"x": 2}]},
      "",
    ),
    ("CLASSIFY", {}, "Malformed request: POST /v1/models/default:CLASSIFY"),
  )
  def test_rest_refuses(self, method, body, text):
    status, answer = self.running.json(f"/v1/models/default:{method}", body)
    self.assertEqual(status, 400)
    self.assertStartsWith(answer["error"], text)

  def test_rest_status(self):
    status = {"error_code": "OK", "error_message": ""}
    self.assertEqual(
      self.running.json("/v1/models/default"),
      (
        200,
        {
          "model_version_status": [
            {"version": "123", "state": "AVAILABLE", "status": status}
          ]
        },
      ),
    )

  def test_rest_metadata(self):
    _, answer = self.running.json("/v1/models/default/metadata")
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    self.assertEqual(
      answer["model_spec"],
      {"name": "default", "signature_name": "", "version": "123"},
    )
    dims = [{"size": "-1", "name": ""}, {"size": "1", "name": ""}]
    columns = {"dim": dims, "unknown_rank": False}
    self.assertEqual(
      signatures["classify_x_to_y"],
      {
        "inputs": {
          "inputs": {
            "dtype": "DT_STRING",
            "tensor_shape": {"dim": dims[:1], "unknown_rank": False},
            "name": "tf_example:0",
          }
        },
        "outputs": {
          "scores": {
            "dtype": "DT_FLOAT",
            "tensor_shape": columns,
            "name": "y:0",
          }
        },
        "method_name": _CLASSIFY,
        "defaults": {},
      },
    )
    self.assertCountEqual(
      signatures,
      [
        "serving_default",
        "regress_x_to_y",
        "regress_x_to_y2",
        "regress_x2_to_y3",
        "classify_x_to_y",
        "classify_x2_to_y3",
      ],
    )

  def test_metadata(self):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
      metadata_field=["signature_def"]
    )
    request.model_spec.name = "default"
    response = self.running.predictions.GetModelMetadata(
      request, timeout=_PATIENCE
    )
    self._verify_spec(response.model_spec, "")

  def test_metrics(self):
    self.test_regress()
    _, _, text = self.running.http("/monitoring/prometheus/metrics")
    self.assertIn(b"# TYPE", text)
    self.assertRegex(
      text.decode(),
      r"request_latency_count{"
      r'API="Regress",entrypoint="GRPC",model_name="default"} [1-9]',
    )

  def test_a_file_that_is_looked_at_once(self):
    path = self._file("once.txt", _config(first=f"{self.folder}/default"))
    running = running_server.RunningServer(
      model_config_file=path, model_config_file_poll_wait_seconds=0
    )
    self.addCleanup(running.stop)
    self._file("once.txt", _config(second=f"{self.folder}/default"))
    self._verify_predict(running.predictions, 3.0, name="first", x=_X[:, None])
    self.assertEmpty(running.states("second"))

  def test_methods_are_checked_if_asked_for(self):
    session = self._file("session.txt", "intra_op_parallelism_threads: 1")
    running = self._start(
      enable_signature_method_name_check=True,
      tensorflow_session_config_file=session,
      mixed_precision="bfloat16",
    )
    request = regression_pb2.RegressionRequest(
      input=serving_models.examples(2.0)
    )
    request.model_spec.name = "default"
    for signature, code, text in (
      (
        "classify_x_to_y",
        grpc.StatusCode.INVALID_ARGUMENT,
        "Expected regression signature method_name to be "
        f"{_REGRESS}. Was: {_CLASSIFY}",
      ),
      (
        "",
        grpc.StatusCode.INVALID_ARGUMENT,
        f"Expected regression signature method_name to be {_REGRESS}. Was: "
        "tensorflow/serving/predict",
      ),
    ):
      request.model_spec.signature_name = signature
      with self.assertRaises(grpc.RpcError) as caught:
        running.predictions.Regress(request, timeout=_PATIENCE)
      self.assertEqual(caught.exception.code(), code)
      self.assertEqual(caught.exception.details(), text)
    self._verify_predict(running.predictions, 3.0, name="default")
    with self.assertRaises(grpc.RpcError) as caught:
      running.predict("__saved_model_init_op", name="functions")
    self.assertEqual(caught.exception.code(), grpc.StatusCode.INTERNAL)
    self.assertStartsWith(
      caught.exception.details(),
      "Expected prediction signature method_name to be one of {",
    )

  def test_warm_up_by_examples(self):
    folder = os.path.join(self.folder, "warm", "00000123")
    serving_models.write_half_plus_two(folder)
    logs = [prediction_log_pb2.PredictionLog() for _ in range(3)]
    regress = logs[0].regress_log.request
    classify = logs[1].classify_log.request
    task = logs[2].multi_inference_log.request.tasks.add(method_name=_REGRESS)
    for spec, signature in (
      (regress.model_spec, "regress_x_to_y"),
      (classify.model_spec, "classify_x_to_y"),
      (task.model_spec, "regress_x_to_y"),
    ):
      spec.name, spec.signature_name = "warm", signature
    for request in (regress, classify, logs[2].multi_inference_log.request):
      request.input.CopyFrom(serving_models.examples(2.0))
    serving_models.write_warmup_logs(folder, *logs)
    running = running_server.RunningServer(
      model_name="warm", model_base_path=os.path.dirname(folder)
    )
    self.addCleanup(running.stop)
    self.assertEqual(running.states("warm")[123][0], "AVAILABLE")


if __name__ == "__main__":
  absltest.main()
