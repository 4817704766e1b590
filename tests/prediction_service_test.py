"""Tests of the RPCs over a real socket; signatures_test has more refusals."""

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import regression_pb2

from tests import running_server
from tests import serving_models

_PATIENCE = running_server.PATIENCE
_request = serving_models.request
_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)
_INVALID = grpc.StatusCode.INVALID_ARGUMENT


class PredictionServiceTest(running_server.TestCase, parameterized.TestCase):
  """Tests that share one server."""

  def _predict(self, *args, **kwargs):
    response = self.running.predict(*args, **kwargs)
    return {
      name: tf.make_ndarray(proto) for name, proto in response.outputs.items()
    }

  def _refused(self, code, text, method, request):
    return self.assert_refused(code, text, method, request, timeout=_PATIENCE)

  @parameterized.parameters({}, {"version": 10})
  def test_predict_names_its_version(self, **asked):
    response = self.running.predict(x=_X, **asked)
    self.assertEqual(response.model_spec.name, "demo")
    self.assertEqual(response.model_spec.version.value, 10)
    self.assertEqual(response.model_spec.signature_name, "serving_default")
    self.assertEqual(list(response.outputs), ["y"])
    # Typed values: some clients cannot read tensor_content.
    self.assertEqual(response.outputs["y"].tensor_content, b"")
    self.assertSequenceEqual(
      response.outputs["y"].float_val, (2 * _X).ravel().tolist()
    )

  def test_shapes(self):
    # 600,000 rows exceed gRPC's default limit.
    for shape in ((0, 2), (600_000, 2)):
      x = np.ones(shape, np.float32)
      np.testing.assert_array_equal(self._predict(x=x)["y"], 2.0 * x)

  def test_strings_and_output_filter(self):
    text = np.array([b"", b"\x00ends in zero\x00", "ünï".encode()], object)
    outputs = self._predict("echo", text=text)
    np.testing.assert_array_equal(outputs["text"], text)
    np.testing.assert_array_equal(outputs["length"], [len(t) for t in text])
    filtered = self._predict("echo", filters=["length"], text=text)
    self.assertEqual(list(filtered), ["length"])

  def test_refuses_a_request_of_no_model(self):
    for request, text in (
      (predict_pb2.PredictRequest(), "Missing ModelSpec"),
      (_request(name="", x=_X), "ModelSpec has no name specified."),
    ):
      self._refused(_INVALID, text, self.running.predictions.Predict, request)

  def test_metadata(self):
    def request(name="demo", fields=("signature_def",)):
      return get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=None if name is None else model_pb2.ModelSpec(name=name),
        metadata_field=fields,
      )

    ask = self.running.predictions.GetModelMetadata
    response = ask(request(), timeout=_PATIENCE)
    self.assertEqual(response.model_spec.version.value, 10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    self.assertTrue(response.metadata["signature_def"].Unpack(signatures))
    add = signatures.signature_def["add"]
    self.assertCountEqual(add.inputs, ["a", "b"])
    self.assertEqual(add.inputs["a"].dtype, types_pb2.DT_INT64)
    for sent, code, text in (
      (request(None), _INVALID, "Missing ModelSpec"),
      (request(fields=()), _INVALID, "GetModelMetadataRequest must specify at"),
      (request(fields=["size"]), _INVALID, "Metadata field size is not suppor"),
      (
        request("other"),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(other)",
      ),
    ):
      self._refused(code, text, ask, sent)

  def test_status(self):
    request = get_model_status_pb2.GetModelStatusRequest()
    ask = self.running.models.GetModelStatus
    self._refused(_INVALID, "Missing ModelSpec", ask, request)
    request.model_spec.name = "demo"
    response = ask(request, timeout=_PATIENCE)
    self.assertEqual(
      [(s.version, s.state) for s in response.model_version_status],
      [(10, running_server.State.AVAILABLE)],
    )
    self.assertTrue(response.model_version_status[0].HasField("status"))
    request.model_spec.version.value = 10
    self.assertEqual(ask(request, timeout=_PATIENCE), response)
    missing = grpc.StatusCode.NOT_FOUND
    request.model_spec.version.value = 99
    text = "Could not find version 99 of model demo"
    self._refused(missing, text, ask, request)
    request.model_spec.name = "other"
    request.model_spec.ClearField("version")
    text = "Could not find any versions of model other"
    self._refused(missing, text, ask, request)

  def test_rpcs_that_it_does_not_have(self):
    stub = self.running.predictions
    for method, request in (
      (stub.Classify, classification_pb2.ClassificationRequest()),
      (stub.Regress, regression_pb2.RegressionRequest()),
      (stub.MultiInference, inference_pb2.MultiInferenceRequest()),
    ):
      self._refused(grpc.StatusCode.UNIMPLEMENTED, "", method, request)
