"""Tests of REST's answers; rest_test and contract_test ask over a socket."""

import contextlib
import json
import types

import grpc
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import errors
from serving.server import rest_service

_SPEC = model_pb2.ModelSpec(name="demo", version_label="stable")
State = get_model_status_pb2.ModelVersionStatus.State


def _signature():
  signature = meta_graph_pb2.SignatureDef()
  signature.inputs["x"].name = "x:0"
  signature.inputs["x"].dtype = types_pb2.DT_FLOAT
  for name in ("y", "z_bytes"):
    signature.outputs[name].name = f"{name}:0"
  return signature


class _Manager:
  """Has one model."""

  def __init__(self):
    self.asked = []

  @contextlib.contextmanager
  def use(self, spec):
    self.asked.append(spec)
    signatures = {
      "serving_default": _signature(),
      "counter": meta_graph_pb2.SignatureDef(),
    }
    yield types.SimpleNamespace(signatures=signatures, check_methods=False)


class _Services:
  """Remembers what it is asked."""

  def __init__(self):
    self.asked = []

  def run(self, servable, feeds, fetches, interrupt=None):
    self.asked.append((feeds, interrupt))
    x = feeds["x:0"]
    return [x + 1.0, np.array([b"\xff"] * len(x), object)]

  def classify(self, request, interrupt=None):
    self.asked.append((request, interrupt))
    response = classification_pb2.ClassificationResponse()
    added = response.result.classifications.add()
    added.classes.add(label="cat", score=0.5)
    return response

  def regress(self, request, interrupt=None):
    self.asked.append((request, interrupt))
    response = regression_pb2.RegressionResponse()
    response.result.regressions.add(value=0.5)
    return response

  def get_model_status(self, request):
    self.asked.append(request)
    response = get_model_status_pb2.GetModelStatusResponse()
    added = response.model_version_status.add(version=3, state=State.END)
    added.status.error_code = grpc.StatusCode.NOT_FOUND.value[0]
    added.status.error_message = "Nothing is there."
    return response

  def get_model_metadata(self, request):
    self.asked.append(request)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = "demo"
    response.model_spec.version.value = 3
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["serving_default"].CopyFrom(_signature())
    response.metadata["signature_def"].Pack(signatures)
    return response


class RestServiceTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.manager, self.services = _Manager(), _Services()
    self.service = rest_service.RestService(self.manager, self.services)

  def _ask(self, method, body, interrupt=None):
    ask = getattr(self.service, method)
    return json.loads(ask(_SPEC, json.dumps(body).encode(), interrupt))

  def test_predict(self):
    columns = {"y": [2.0, 3.0], "z_bytes": [{"b64": "/w=="}] * 2}
    rows = [
      {"y": y, "z_bytes": z} for y, z in zip(columns["y"], columns["z_bytes"])
    ]
    self.assertEqual(
      self._ask("predict", {"instances": [1.0, 2.0]}, "interrupt"),
      {"predictions": rows},
    )
    self.assertEqual(
      self._ask("predict", {"signature_name": "", "inputs": {"x": [1, 2]}}),
      {"outputs": columns},
    )
    self.assertEqual(self.manager.asked, [_SPEC, _SPEC])
    self.assertEqual(self.services.asked[0][1], "interrupt")

  @parameterized.parameters(
    (
      "halve",
      'Serving signature name: "halve" not found in signature def',
    ),
    ("counter", "Failed to get input map for signature: counter"),
  )
  def test_predict_refuses(self, signature, text):
    with self.assertRaises(errors.ServingError) as caught:
      self._ask("predict", {"signature_name": signature, "inputs": []})
    self.assertEqual(caught.exception.text, text)
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

  @parameterized.parameters(("classify", [[["cat", 0.5]]]), ("regress", [0.5]))
  def test_examples(self, method, results):
    body = {"signature_name": "score", "examples": [{"x": 1.0}, {}]}
    self.assertEqual(self._ask(method, body, "interrupt"), {"results": results})
    ((request, interrupt),) = self.services.asked
    self.assertEqual(interrupt, "interrupt")
    self.assertEqual(request.model_spec.name, "demo")
    self.assertEqual(request.model_spec.version_label, "stable")
    self.assertEqual(request.model_spec.signature_name, "score")
    self.assertLen(request.input.example_list.examples, 2)

  @parameterized.parameters("predict", "classify", "regress")
  def test_what_is_no_request(self, method):
    for body in (b"", b"[]", b'{"signature_name": 1}', b"{}"):
      with self.assertRaises(errors.ServingError) as caught:
        getattr(self.service, method)(_SPEC, body)
      self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

  def test_status(self):
    self.assertEqual(
      json.loads(self.service.status(_SPEC)),
      {
        "model_version_status": [
          {
            "version": "3",
            "state": "END",
            "status": {
              "error_code": "NOT_FOUND",
              "error_message": "Nothing is there.",
            },
          }
        ]
      },
    )
    self.assertEqual(self.services.asked[0].model_spec, _SPEC)

  def test_metadata(self):
    answer = json.loads(self.service.metadata(_SPEC))
    self.assertEqual(
      answer["model_spec"],
      {"name": "demo", "signature_name": "", "version": "3"},
    )
    signature = answer["metadata"]["signature_def"]["signature_def"]
    self.assertEqual(
      signature["serving_default"]["inputs"],
      {"x": {"name": "x:0", "dtype": "DT_FLOAT"}},
    )
    self.assertEqual(self.services.asked[0].model_spec, _SPEC)
    self.assertEqual(self.services.asked[0].metadata_field, ["signature_def"])


if __name__ == "__main__":
  absltest.main()
