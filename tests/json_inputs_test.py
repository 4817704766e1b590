"""Tests of reading the JSON of requests."""

import json

import grpc
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server import errors
from serving.server import json_inputs


def _read(document, **types):
  infos = {
    name: meta_graph_pb2.TensorInfo(dtype=getattr(types_pb2, f"DT_{kind}"))
    for name, kind in types.items()
  }
  body = document
  if not isinstance(document, bytes):
    body = json.dumps(document).encode()
  return json_inputs.read(json_inputs.parse(body), infos)


def _nested(depth):
  rows = 1.0
  for _ in range(depth):
    rows = [rows]
  return rows


class JsonInputsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("FLOAT", [[1, 2.5], [-3.0, 1e-3]], np.float32),
    ("FLOAT", [2**24 - 1, 10**30], np.float32),
    ("DOUBLE", [[0.1], [1], [1 - 2**53]], np.float64),
    ("INT32", [[[1], [2]], [[-3], [4]]], np.int32),
    ("INT64", [2**63 - 1, -(2**63)], np.int64),
    ("UINT8", [0, 255], np.uint8),
    ("UINT64", [2**64 - 1], np.uint64),
    ("BOOL", [True, False], np.bool_),
    ("STRING", ["ünï", ""], object),
    ("FLOAT", [[], []], np.float32),
  )
  def test_types(self, kind, values, dtype):
    expected = np.array(values, dtype)
    if kind == "STRING":
      expected = np.array([text.encode() for text in values], object)
    for key in ("instances", "inputs"):
      form, read = _read({key: values}, x=kind)
      self.assertEqual(form, key)
      self.assertEqual(read["x"].dtype, expected.dtype)
      np.testing.assert_array_equal(read["x"], expected)

  def test_forms(self):
    rows = [{"a": 5, "b": [True]}, {"b": [False], "a": 7}]
    columns = {"a": [5, 7], "b": [[True], [False]]}
    for document in ({"instances": rows}, {"inputs": columns}):
      _, read = _read(document, a="INT64", b="BOOL")
      self.assertEqual({k: v.tolist() for k, v in read.items()}, columns)
    self.assertEqual(_read({"inputs": 1.5}, x="FLOAT")[1]["x"].shape, ())
    self.assertEqual(_read({"inputs": []}, x="FLOAT")[1]["x"].shape, (0,))

  def test_bytes(self):
    for sent, read in (
      ("AP8=", b"\0\xff"),
      ("AP8", b"\0\xff"),
      (" A P\n8 = ", b"\0\xff"),
      ("", b""),
    ):
      for value in ({"b64": sent}, [{"b64": sent}]):
        _, made = _read({"inputs": value}, x="STRING")
        self.assertEqual(made["x"].item(), read)
    for sent in ("AP8==", "AP8=AP8=", "A", "_-8=", "@"):
      with self.assertRaisesRegex(errors.ServingError, "Unable to base64"):
        _read({"inputs": [{"b64": sent}]}, x="STRING")

  def test_numbers_that_json_does_not_have(self):
    body = b'{"inputs": [NaN, Infinity, -Infinity, Inf, -Inf]}'
    inf = np.inf
    np.testing.assert_array_equal(
      _read(body, x="DOUBLE")[1]["x"], [np.nan, inf, -inf, inf, -inf]
    )
    _, read = _read(b'{"inputs": ["Inf \\"Inf"]}', x="STRING")
    self.assertEqual(read["x"].item(), b'Inf "Inf')
    with self.assertRaisesRegex(errors.ServingError, "loss of precision"):
      _read(b'{"inputs": [1e400]}', x="DOUBLE")

  @parameterized.parameters(
    ("FLOAT", [True], "true is not of expected type: float"),
    ("FLOAT", [None], "null is not of expected type"),
    ("FLOAT", [{"b64": "AA=="}], "is not of expected type"),
    ("FLOAT", [2**24], "16777216 to float without loss of precision"),
    ("FLOAT", [1e39], "1e.39 to float without loss of precision"),
    ("DOUBLE", [2**53], "to double without loss of precision"),
    ("INT32", [1.0], "1.0 is not of expected type: int32"),
    ("INT32", [2**31], "2147483648 is not of"),
    ("UINT32", [-1], "not of expected type: uint32"),
    ("INT64", [2**63], "not of expected type: int64"),
    ("BOOL", [1], "not of expected type: bool"),
    ("STRING", [1], "not of expected type: string"),
    ("STRING", [[{"b64": 1}]], "not formatted correctly for base64 data"),
    ("FLOAT", [[1, 2], [3]], r"Expecting shape \[2\] but got: \[1\]"),
    ("FLOAT", [[[1, 2]], [[1], [2]]], r"\[1, 2\] but got: \[2, 1\]"),
    ("FLOAT", [[1, [2]]], "lists of unexpected size"),
    ("FLOAT", [[[1, 2], [1]]], "lists of unexpected size"),
    ("FLOAT", [_nested(200)], "lists of unexpected size"),
    ("HALF", [1.0], "Conversion of JSON Value: 1.0 to type: half"),
  )
  def test_refuses_values(self, kind, rows, text):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      _read({"instances": rows}, x=kind)
    self.assertStartsWith(caught.exception.text, "Failed to process element: ")
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
    with self.assertRaises(errors.ServingError) as caught:
      _read({"inputs": rows}, x=kind)
    code = grpc.StatusCode.INVALID_ARGUMENT
    if kind == "HALF":
      code = grpc.StatusCode.UNIMPLEMENTED
    self.assertEqual(caught.exception.code, code)

  @parameterized.parameters(
    (b"", "JSON Parse error: "),
    (b"{", "JSON Parse error: .* at offset: 1"),
    (b"\xff", "JSON Parse error: "),
    (b"[" * 10**5, "JSON Parse error: "),
    (b"[1]", r"JSON Value: \[1\] Is not object"),
    ({}, "Missing 'inputs' or 'instances' key"),
    ({"inputs": [], "instances": []}, "expecting only one of 'inputs' or"),
    ({"instances": 1}, "Excepting 'instances' to be an list/array"),
    ({"instances": []}, "No values in 'instances' array"),
    ({"instances": [1, 2]}, "instances is a plain list, but expecting list of"),
    ({"inputs": [1, 2]}, "inputs is a plain value/list, but expecting an obj"),
    ({"inputs": {"a": [1]}}, "Missing named input: b in 'inputs' object."),
    ({"instances": [{"a": 1}]}, "keys must be equal to: a,b"),
    ({"instances": [{"a": 1, "b": 2, "c": 3}]}, "keys must be equal to: a,b"),
    (
      {"instances": [{"a": 1, "b": 1}, 2]},
      "Expecting object but got list at item 1 of input list",
    ),
  )
  def test_refuses_documents(self, document, text):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      _read(document, a="INT64", b="INT64")
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
    self.assertLess(len(caught.exception.text), 1000)

  def test_names_of_signatures(self):
    self.assertEqual(json_inputs.signature_name({}), "serving_default")
    self.assertEqual(json_inputs.signature_name({"signature_name": "a"}), "a")
    with self.assertRaisesRegex(errors.ServingError, "must be a string value"):
      json_inputs.signature_name({"signature_name": 100})


if __name__ == "__main__":
  absltest.main()
