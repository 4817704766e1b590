"""Tests of reading the JSON of requests; rest_test has more, over a socket."""

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
  return json_inputs.read(
    json_inputs.parse(json.dumps(document).encode()), infos
  )


class JsonInputsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("FLOAT", [[1, 2.5], [-3.0, 1e-3]], np.float32),
    ("DOUBLE", [[0.1], [1]], np.float64),
    ("INT32", [[[1], [2]], [[-3], [4]]], np.int32),
    ("INT64", [2**63 - 1, -(2**63)], np.int64),
    ("UINT8", [0, 255], np.uint8),
    ("UINT64", [2**64 - 1], np.uint64),
    ("BOOL", [True, False], np.bool_),
    ("STRING", ["ünï", ""], object),
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

  def test_scalars_and_nothing(self):
    self.assertEqual(_read({"inputs": 1.5}, x="FLOAT")[1]["x"].shape, ())
    self.assertEqual(_read({"inputs": []}, x="FLOAT")[1]["x"].shape, (0,))
    self.assertEqual(
      _read({"instances": [[], []]}, x="FLOAT")[1]["x"].shape, (2, 0)
    )

  def test_bytes(self):
    _, read = _read(
      {"instances": [{"b64": "AP8="}, {"b64": "AP8"}, {"b64": ""}, "b64"]},
      x="STRING",
    )
    self.assertEqual(read["x"].tolist(), [b"\0\xff", b"\0\xff", b"", b"b64"])
    _, read = _read({"inputs": {"b64": "AP8="}}, x="STRING")
    self.assertEqual(read["x"].item(), b"\0\xff")

  @parameterized.parameters(
    ("FLOAT", [True], "Type: True is not of expected type: float"),
    ("FLOAT", [None], "JSON Value: null Type: Null is not of expected"),
    ("FLOAT", ["x"], 'JSON Value: "x" Type: String is not of'),
    ("FLOAT", [{"b64": "AA=="}], "Type: Object is not of expected type"),
    ("FLOAT", [2**24], "16777216 to float without loss of precision"),
    ("FLOAT", [1e39], "1e.39 to float without loss of precision"),
    ("DOUBLE", [2**53], "to double without loss of precision"),
    ("INT32", [1.0], "Type: Number is not of expected type: int32"),
    ("INT32", [2**31], "2147483648 Type: Number is not of"),
    ("INT8", [128], "not of expected type: int8"),
    ("UINT32", [-1], "not of expected type: uint32"),
    ("INT64", [2**63], "not of expected type: int64"),
    ("BOOL", [1], "not of expected type: bool"),
    ("STRING", [1], "not of expected type: string"),
    ("STRING", [{"b64": "@"}], "Unable to base64 decode"),
    ("STRING", [[{"b64": 1}]], "not formatted correctly for base64 data"),
    ("FLOAT", [[1, 2], [3]], "Expecting tensor size: 2 but got: 1"),
    (
      "FLOAT",
      [[[1, 2]], [[1], [2]]],
      r"Expecting shape \[1,2\] but got: \[2,1\]",
    ),
    ("FLOAT", [[1, [2]]], "unexpected level: 1 expected < 1"),
    ("FLOAT", [[[1], 2]], "found at incorrect level: 2 in the JSON DOM"),
    (
      "FLOAT",
      [[[1, 2], [1]]],
      "unexpected size: 1 at level: 1 expected size: 2",
    ),
    ("HALF", [1.0], "Conversion of JSON Value: 1.0 to type: half"),
  )
  def test_refuses(self, kind, rows, text):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      _read({"instances": rows}, x=kind)
    self.assertStartsWith(caught.exception.text, "Failed to process element: ")
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

  def test_what_is_no_number_and_what_is_too_large_a_one(self):
    body = b'{"inputs": [NaN, Infinity, -Infinity]}'
    infos = {"x": meta_graph_pb2.TensorInfo(dtype=types_pb2.DT_DOUBLE)}
    _, read = json_inputs.read(json_inputs.parse(body), infos)
    np.testing.assert_array_equal(read["x"], [np.nan, np.inf, -np.inf])
    with self.assertRaisesRegex(errors.ServingError, "loss of precision"):
      json_inputs.read(json_inputs.parse(b'{"inputs": [1e400]}'), infos)

  def test_types_that_json_does_not_have(self):
    with self.assertRaisesRegex(
      errors.ServingError, "^Conversion of JSON Value: 1.0 to type: half"
    ) as caught:
      _read({"inputs": [1.0]}, x="HALF")
    self.assertEqual(caught.exception.code, grpc.StatusCode.UNIMPLEMENTED)

  def test_refuses_what_is_nested_too_deep(self):
    rows = 1.0
    for _ in range(200):
      rows = [rows]
    with self.assertRaisesRegex(errors.ServingError, "nested 63 deep"):
      _read({"inputs": rows}, x="FLOAT")

  def test_refuses_mixed_rows(self):
    with self.assertRaisesRegex(
      errors.ServingError, "Expecting object but got list at item 1 of input"
    ):
      _read({"instances": [{"x": 1}, 2]}, x="FLOAT")
    with self.assertRaisesRegex(
      errors.ServingError, "Expecting value/list but got object at item 1 of"
    ):
      _read({"instances": [1, {"x": 2}]}, x="FLOAT")


if __name__ == "__main__":
  absltest.main()
