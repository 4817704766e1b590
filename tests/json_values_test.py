"""Tests of single values of JSON; json_inputs_test has more of them."""

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.framework import types_pb2

from serving.server import errors
from serving.server import json_values


class JsonValuesTest(parameterized.TestCase):
  def test_values(self):
    values = json_values.to_array([1, 2.5, float("nan")], types_pb2.DT_FLOAT)
    self.assertEqual(values.dtype, np.float32)
    np.testing.assert_array_equal(values, [1.0, 2.5, np.nan])
    self.assertEqual(
      json_values.to_array(
        ["a", {"b64": "AA=="}], types_pb2.DT_STRING
      ).tolist(),
      [b"a", b"\0"],
    )
    self.assertEqual(
      json_values.to_array([], types_pb2.DT_INT64).dtype, np.int64
    )

  @parameterized.parameters(
    ({"b64": ""}, True),
    ({"b64": 1}, False),
    ({"b64": "", "a": 1}, False),
    ({}, False),
    ("b64", False),
  )
  def test_what_stands_for_bytes(self, value, stands):
    self.assertEqual(json_values.is_base64(value), stands)

  def test_parse(self):
    text = '{"Inf": [Inf, -Inf, Infinity, -Infinity, NaN, "Inf \\"Inf", "ü"]}'
    parsed = json_values.parse(text.encode())
    infinity = float("inf")
    self.assertEqual(parsed["Inf"][:2], [infinity, -infinity])
    self.assertEqual(parsed["Inf"][2:4], [infinity, -infinity])
    self.assertEqual(parsed["Inf"][5:], ['Inf "Inf', "ü"])

  @parameterized.parameters(
    ("instances = [1, 2]", "Invalid value.", 0),
    ("{1}", "Missing a name for object member.", 1),
    ('{"a" 1}', "Missing a colon after a name of object member.", 5),
    ('{"a": [1 2]}', "Missing a comma or ] after an array element.", 9),
    ('{"a": [1] 2}', "Missing a comma or } after an object member.", 10),
    (
      '{"ü]": {"[": [{}]} 2}',
      "Missing a comma or } after an object member.",
      20,
    ),
    ("{} 1", "The document root must not be followed by other values.", 3),
    ('{"a', "Missing a closing quotation mark in string.", 1),
    ('{"\\x": 1}', "Invalid escape character in string.", 2),
  )
  def test_what_is_no_json(self, text, expected, offset):
    with self.assertRaises(errors.ServingError) as caught:
      json_values.parse(text.encode())
    self.assertEqual(
      caught.exception.text, f"JSON Parse error: {expected} at offset: {offset}"
    )

  @parameterized.parameters(
    ("AP8=", True),
    ("AP8", True),
    (" A P\n8 = ", True),
    ("AP8==", False),
    ("AP8=AP8=", False),
    ("A", False),
    ("_-8=", False),
  )
  def test_base64(self, text, good):
    def decode():
      return json_values.to_array([{"b64": text}], types_pb2.DT_STRING)[0]

    if good:
      self.assertEqual(decode(), b"\0\xff")
    else:
      with self.assertRaisesRegex(errors.ServingError, "Unable to base64"):
        decode()

  def test_quotes_are_cut(self):
    # As TensorFlow Serving writes it.
    self.assertEqual(
      json_values.quote({"a": [1, None, {}]}),
      '{\n    "a": [\n        1,\n        null,\n        {}\n    ]\n}',
    )
    quote = json_values.quote(["x" * 10_000])
    self.assertLess(len(quote), 400)
    self.assertEndsWith(quote, "...")

  def test_the_largest_numbers(self):
    for value, enum in (
      (2**24 - 1, types_pb2.DT_FLOAT),
      (-(2**53) + 1, types_pb2.DT_DOUBLE),
      (2**64 - 1, types_pb2.DT_UINT64),
    ):
      self.assertEqual(json_values.to_array([value], enum)[0], value)
      with self.assertRaises(errors.ServingError):
        sign = 1 if value > 0 else -1
        json_values.to_array([value + sign], enum)
    # No integer any more, and so no whole number that loses anything.
    value = json_values.to_array([10**30], types_pb2.DT_FLOAT)[0]
    self.assertEqual(value, np.float32(1e30))


if __name__ == "__main__":
  absltest.main()
