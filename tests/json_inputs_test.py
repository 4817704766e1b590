"""Tests of reading the JSON of requests."""

import json

import grpc
import numpy as np
from absl.testing import parameterized

from serving.server import errors
from serving.server import json_inputs


def _read(document, **types):
  body = document
  if not isinstance(document, bytes):
    body = json.dumps(document).encode()
  signatures = {"serving_default": types}
  _, form, read = json_inputs.read(json_inputs.parse(body), signatures)
  return form, read


def _nested(depth):
  rows = 1.0
  for _ in range(depth):
    rows = [rows]
  return rows


class JsonInputsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("float", [[1, 2.5], [-3.0, 1e-3]], np.float32),
    ("float", [2**24 + 1, 10**30], np.float32),
    ("double", [[0.1], [1], [1 - 2**53]], np.float64),
    ("int32", [[[1], [2]], [[-3], [4]]], np.int32),
    ("int64", [2**63 - 1, -(2**63)], np.int64),
    ("uint8", [0, 255], np.uint8),
    ("uint64", [2**64 - 1], np.uint64),
    ("bool", [True, False], np.bool_),
    ("string", ["ünï", ""], object),
    ("float", [[], []], np.float32),
  )
  def test_types(self, kind, values, dtype):
    expected = np.array(values, dtype)
    if kind == "string":
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
      _, read = _read(document, a="int64", b="bool")
      self.assertEqual({k: v.tolist() for k, v in read.items()}, columns)
    self.assertEqual(_read({"inputs": 1.5}, x="float")[1]["x"].shape, ())
    self.assertEqual(_read({"inputs": []}, x="float")[1]["x"].shape, (0,))

  def test_bytes(self):
    for sent, read in (
      ("AP8=", b"\0\xff"),
      ("AP8", b"\0\xff"),
      (" A P\n8 = ", b"\0\xff"),
      ("", b""),
    ):
      for value in ({"b64": sent}, [{"b64": sent}]):
        _, made = _read({"inputs": value}, x="string")
        self.assertEqual(made["x"].item(), read)
    for sent in ("AP8==", "AP8=AP8=", "A", "_-8=", "@"):
      with self.assertRaisesRegex(errors.ServingError, "Unable to base64"):
        _read({"inputs": [{"b64": sent}]}, x="string")

  def test_numbers_that_json_does_not_have(self):
    body = b'{"inputs": [NaN, Infinity, -Infinity, Inf, -Inf]}'
    inf = np.inf
    np.testing.assert_array_equal(
      _read(body, x="double")[1]["x"], [np.nan, inf, -inf, inf, -inf]
    )
    _, read = _read(b'{"inputs": ["Inf \\"Inf"]}', x="string")
    self.assertEqual(read["x"].item(), b'Inf "Inf')
    for number in (b"1e400", b"9" * 400, b"9" * 10_000):
      with self.assertRaisesRegex(errors.ServingError, "Number too big to be"):
        _read(b'{"inputs": [1, %s]}' % number, x="double")

  @parameterized.parameters(
    ("float", [True], "true Type: True is not of expected type: float"),
    ("float", [None], "null Type: Null is not of expected type: float"),
    ("float", [{"b64": "AA=="}], r"\} Type: Object is not of expected type"),
    ("float", ["1"], '"1" Type: String is not of expected type: float'),
    ("int32", [1.0], "1.0 Type: Number is not of expected type: int32"),
    ("int32", [2**31], "2147483648 Type: Number is not of"),
    ("uint32", [-1], "not of expected type: uint32"),
    ("int64", [2**63], "not of expected type: int64"),
    ("bool", [1], "not of expected type: bool"),
    ("string", [1], "not of expected type: string"),
    ("string", [[{"b64": 1}]], "not formatted correctly for base64 data"),
    ("float", [[1, 2], [3]], "Expecting tensor size: 2 but got: 1"),
    ("float", [[[1, 2]], [[1], [2]]], r"shape \[1,2\] but got: \[2,1\]"),
    ("float", [[1, [2]]], "list at unexpected level: 1 expected < 1"),
    (
      "float",
      [[[1, 2], [1]]],
      "list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    (
      "float",
      [[[1], 2]],
      "2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    ("half", [1.0], "Conversion of JSON Value: 1.0 to type: half"),
  )
  def test_refuses_values(self, kind, rows, text):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      _read({"instances": rows}, x=kind)
    self.assertStartsWith(caught.exception.text, "Failed to process element: ")
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
    with self.assertRaises(errors.ServingError) as caught:
      _read({"inputs": rows}, x=kind)
    code = grpc.StatusCode.INVALID_ARGUMENT
    if kind == "half":
      code = grpc.StatusCode.UNIMPLEMENTED
    self.assertEqual(caught.exception.code, code)

  @parameterized.parameters(
    (b"", "JSON Parse error: The document is empty"),
    (b"{", "JSON Parse error: Missing a name for object .* at offset: 1"),
    (b'{"a"', "JSON Parse error: Missing a colon after .* at offset: 4"),
    (b"{]", "JSON Parse error: "),
    (b'{"a": x}', "JSON Parse error: Invalid value. at offset: 6"),
    (b"\xff", "JSON Parse error: "),
    (b"[" * 10**5, "JSON Parse error: "),
    (b"[1, 2.5]", r"JSON Value: \[1, 2.5\] Is not object"),
    (
      {"signature_name": [], "a": {"b": [{"c": 1e39}]}},
      r"""JSON Value: {
    "signature_name": \[\],
    "a": {
        "b": \[{
                "c": 1e39
            }\]
    }
} not formatted correctly""",
    ),
    ({"signature_name": "no"}, 'Serving signature name: "no" not found in sig'),
    ({}, "Missing 'inputs' or 'instances' key"),
    ({"inputs": [], "instances": []}, "expecting only one of 'inputs' or"),
    ({"instances": 1}, "Expecting 'instances' to be an list/array"),
    ({"instances": []}, "No values in 'instances' array"),
    ({"instances": [1, 2]}, "instances is a plain list, but expecting list of"),
    ({"inputs": [1, 2]}, "inputs is a plain value/list, but expecting an obj"),
    ({"inputs": {"a": [1]}}, "Missing named input: b in 'inputs' object."),
    ({"instances": [{"a": 1}]}, "keys must be equal to: a,b"),
    ({"instances": [{"a": 1, "c": 3}]}, "does not have named input: c"),
    ({"instances": [{"a": 1, "b": 2, "c": 3}]}, "ent: 0 key: c of 'instances'"),
    (
      {"instances": [{"a": 1, "b": 1}, 2]},
      "Expecting object but got list at item 1 of input list",
    ),
  )
  def test_refuses_documents(self, document, text):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      _read(document, a="int64", b="int64")
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
    self.assertLess(len(caught.exception.text), 1000)

  def test_what_follows_the_document_is_ignored(self):
    _, read = _read(b' {"inputs": 1} {', x="int64")
    self.assertEqual(read["x"], 1)

  def test_long_values_are_not_quoted_whole(self):
    for value in ([[0] * 1000], [["a"] * 1000], _nested(300)):
      with self.assertRaises(errors.ServingError) as caught:
        _read({"instances": [value]}, x="bool")
      self.assertLess(len(caught.exception.text), 500)
