"""Tests of the RPCs: what TensorFlow Serving answers, over a real socket."""

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import predict_pb2

from tests import running_server
from tests import serving_models

_PATIENCE = running_server.PATIENCE
_request = serving_models.request


def _malformed(kind):
  proto = tf.make_tensor_proto(np.ones([3, 2], np.float32))
  if kind == "short content":
    proto.tensor_content = proto.tensor_content[:-3]
  elif kind == "negative size":
    proto.tensor_shape.dim[0].size = -1
  elif kind == "unknown rank":
    proto.tensor_shape.Clear()
    proto.tensor_shape.unknown_rank = True
  elif kind == "no type":
    proto.dtype = types_pb2.DT_INVALID
  elif kind == "handle":
    proto.dtype = types_pb2.DT_RESOURCE
  elif kind == "number too large":
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT8, int_val=[300])
    proto.tensor_shape.dim.add(size=1)
  elif kind == "larger than memory":
    proto = tf.make_tensor_proto(1.0)
    proto.tensor_shape.dim.add(size=2**40)
    proto.tensor_shape.dim.add(size=2)
  return proto


_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)
_ROWS = np.array([5, 7, 9])
_INVALID = grpc.StatusCode.INVALID_ARGUMENT

# What is sent, the code, and the text or its beginning.
_ERRORS = {
  "no spec": (predict_pb2.PredictRequest(), _INVALID, "Missing ModelSpec"),
  "no name": (
    _request(name="", x=_X),
    _INVALID,
    "ModelSpec has no name specified.",
  ),
  "unknown model": (
    _request(name="other", x=_X),
    grpc.StatusCode.NOT_FOUND,
    "Servable not found for request: Latest(other)",
  ),
  "unknown version": (
    _request(version=99, x=_X),
    grpc.StatusCode.NOT_FOUND,
    "Servable not found for request: Specific(demo, 99)",
  ),
  "unknown label": (
    _request(label="canary", x=_X),
    _INVALID,
    "Unrecognized servable version label: canary",
  ),
  "unknown signature": (
    _request("halve", x=_X),
    grpc.StatusCode.FAILED_PRECONDITION,
    'Serving signature key "halve" not found.',
  ),
  "no inputs": (
    _request(),
    _INVALID,
    "input size does not match signature: 0!=1 len({}) != len({x}). "
    "Sent extra: {}. Missing but required: {x}.",
  ),
  "too many inputs": (
    _request(x=_X, z=_X, w=_X),
    _INVALID,
    "input size does not match signature: 3!=1 len({w,x,z}) != len({x}). "
    "Sent extra: {w,z}. Missing but required: {}.",
  ),
  "wrong name": (
    _request("add", a=_ROWS, c=_ROWS),
    _INVALID,
    "input tensor alias not found in signature: c. Inputs expected to be in "
    "the set {a,b}.",
  ),
  "wrong type": (
    _request(x=np.ones([3, 2])),
    _INVALID,
    "Expects arg[0] to be float but double is provided",
  ),
  "unknown output": (
    _request("add", filters=["product"], a=_ROWS, b=_ROWS),
    _INVALID,
    "output tensor alias not found in signature: product Outputs expected to "
    "be in the set {difference,sum}.",
  ),
  "output twice": (
    _request("add", filters=["sum", "sum"], a=_ROWS, b=_ROWS),
    _INVALID,
    "duplicate output tensor alias: sum",
  ),
  "rows that do not match": (
    _request("add", a=_ROWS, b=np.array([1, 2])),
    _INVALID,
    "",
  ),
} | {
  kind: (_request(x=_malformed(kind)), _INVALID, "tensor parsing error: x")
  for kind in (
    "short content",
    "negative size",
    "unknown rank",
    "no type",
    "handle",
    "number too large",
    "larger than memory",
  )
}


class PredictionServiceTest(running_server.TestCase, parameterized.TestCase):
  """Over one server that every test shares."""

  def _predict(self, *args, **kwargs):
    request = _request(*args, **kwargs)
    response = self.running.predictions.Predict(request, timeout=_PATIENCE)
    return {
      name: tf.make_ndarray(proto) for name, proto in response.outputs.items()
    }

  def _refused(self, code, text, method, request):
    return self.assert_refused(code, text, method, request, timeout=_PATIENCE)

  def test_predict_answers_and_says_who_did(self):
    response = self.running.predictions.Predict(
      _request(x=_X), timeout=_PATIENCE
    )
    self.assertEqual(response.model_spec.name, "demo")
    self.assertEqual(response.model_spec.version.value, 10)
    self.assertEqual(response.model_spec.signature_name, "serving_default")
    self.assertEqual(list(response.outputs), ["y"])
    # Typed values, since some clients read nothing else.
    self.assertEqual(response.outputs["y"].tensor_content, b"")
    self.assertSequenceEqual(
      response.outputs["y"].float_val, (2 * _X).ravel().tolist()
    )

  def test_version_by_number(self):
    request = _request(version=10, x=_X)
    response = self.running.predictions.Predict(request, timeout=_PATIENCE)
    self.assertEqual(response.model_spec.version.value, 10)

  def test_several_inputs_and_outputs(self):
    outputs = self._predict("add", a=_ROWS, b=_ROWS - 1)
    np.testing.assert_array_equal(outputs["sum"], 2 * _ROWS - 1)
    np.testing.assert_array_equal(outputs["difference"], [1, 1, 1])

  def test_output_filter(self):
    outputs = self._predict("add", filters=["sum"], a=_ROWS, b=_ROWS)
    self.assertEqual(list(outputs), ["sum"])

  def test_a_shape_that_the_signature_does_not_say(self):
    x = np.ones([3, 5], np.float32)
    np.testing.assert_array_equal(self._predict(x=x)["y"], 2.0 * x)

  def test_no_rows(self):
    outputs = self._predict(x=np.zeros([0, 2], np.float32))
    self.assertEqual(outputs["y"].shape, (0, 2))

  def test_one_value_for_a_whole_shape(self):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.5])
    for size in (3, 2):
      proto.tensor_shape.dim.add(size=size)
    np.testing.assert_array_equal(
      self._predict(x=proto)["y"], np.full([3, 2], 3.0)
    )

  def test_strings(self):
    text = np.array([b"", b"\x00ends in zero\x00", "ünï".encode()], object)
    outputs = self._predict("echo", text=text)
    np.testing.assert_array_equal(outputs["text"], text)
    np.testing.assert_array_equal(outputs["length"], [len(t) for t in text])

  def test_more_than_grpc_takes_by_default(self):
    x = np.ones([600_000, 2], np.float32)
    np.testing.assert_array_equal(self._predict(x=x)["y"], 2 * x)

  @parameterized.named_parameters(
    (key.replace(" ", "_"), *case) for key, case in _ERRORS.items()
  )
  def test_refuses(self, request, code, text):
    details = self._refused(
      code, text, self.running.predictions.Predict, request
    )
    self.assertNotEmpty(details)

  def test_the_graphs_own_errors_arrive(self):
    request = _request("add", a=-_ROWS, b=_ROWS)
    details = self._refused(
      _INVALID, "assertion failed", self.running.predictions.Predict, request
    )
    self.assertIn("a must not be negative", details)

  def test_long_texts_are_cut(self):
    request = _request("x" * 2000)
    details = self._refused(
      grpc.StatusCode.FAILED_PRECONDITION,
      "Serv",
      self.running.predictions.Predict,
      request,
    )
    self.assertLen(details, 1024)
    self.assertEndsWith(details, "...TRUNCATED")

  def test_metadata(self):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
      model_spec=model_pb2.ModelSpec(name="demo"),
      metadata_field=["signature_def"],
    )
    response = self.running.predictions.GetModelMetadata(
      request, timeout=_PATIENCE
    )
    self.assertEqual(response.model_spec.version.value, 10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    self.assertTrue(response.metadata["signature_def"].Unpack(signatures))
    add = signatures.signature_def["add"]
    self.assertCountEqual(add.inputs, ["a", "b"])
    self.assertEqual(add.inputs["a"].dtype, types_pb2.DT_INT64)

  def test_metadata_refuses(self):
    def request(name="demo", fields=("signature_def",)):
      return get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=None if name is None else model_pb2.ModelSpec(name=name),
        metadata_field=fields,
      )

    for sent, code, text in (
      (request(None), _INVALID, "Missing ModelSpec"),
      (
        request(fields=()),
        _INVALID,
        "GetModelMetadataRequest must specify at least one metadata_field",
      ),
      (
        request(fields=["size"]),
        _INVALID,
        "Metadata field size is not supported",
      ),
      (
        request("other"),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(other)",
      ),
    ):
      self._refused(code, text, self.running.predictions.GetModelMetadata, sent)

  def test_status(self):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "demo"
    response = self.running.models.GetModelStatus(request, timeout=_PATIENCE)
    self.assertEqual(
      [(s.version, s.state) for s in response.model_version_status],
      [(10, running_server.State.AVAILABLE)],
    )
    self.assertTrue(response.model_version_status[0].HasField("status"))
    request.model_spec.version.value = 10
    again = self.running.models.GetModelStatus(request, timeout=_PATIENCE)
    self.assertEqual(again, response)

  def test_status_refuses(self):
    request = get_model_status_pb2.GetModelStatusRequest()
    method = self.running.models.GetModelStatus
    self._refused(_INVALID, "Missing ModelSpec", method, request)
    request.model_spec.name = "other"
    self._refused(
      grpc.StatusCode.NOT_FOUND,
      "Could not find any versions of model other",
      method,
      request,
    )
    request.model_spec.name = "demo"
    request.model_spec.version.value = 99
    self._refused(
      grpc.StatusCode.NOT_FOUND,
      "Could not find version 99 of model demo",
      method,
      request,
    )


if __name__ == "__main__":
  absltest.main()
