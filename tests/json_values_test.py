"""Tests of single values of JSON; json_inputs_test has more of them."""

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from tensorflow.core.framework import types_pb2

from serving import errors
from serving import json_values


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

  def test_quotes_are_cut(self):
    self.assertEqual(json_values.quote({"a": [1, None]}), '{"a": [1, null]}')
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


if __name__ == "__main__":
  absltest.main()
