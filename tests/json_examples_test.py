"""Tests of the JSON of Classify and Regress; contract_test asks a server."""

import json

from absl.testing import absltest
from absl.testing import parameterized
from google.protobuf import text_format
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import input_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import errors
from serving.server import json_examples
from serving.server import json_values

_FEATURES = """
feature {{ key: "names" value {{ bytes_list {{ value: {} }} }} }}
feature {{ key: "ratings" value {{ float_list {{ value: {} }} }} }}
feature {{ key: "ages" value {{ int64_list {{ value: {} }} }} }}
"""


def _read(text):
  return json_examples.read(json_values.parse(text.encode()))


class JsonExamplesTest(parameterized.TestCase):
  def test_examples(self):
    first = _FEATURES.format("['foo', 'hello']", "[8, -inf]", "[1, 0, -20]")
    second = _FEATURES.format("'bar'", "6", f"{2**63 - 1}")
    self.assertEqual(
      _read(
        """{"examples": [
          {"names": ["foo", {"b64": "aGVsbG8="}],
           "ratings": [8.0, -Infinity], "ages": [true, false, -20]},
          {"names": "bar", "ratings": 6.0, "ages": 9223372036854775807}
        ]}"""
      ),
      text_format.Parse(
        f"""example_list {{
          examples {{ features {{ {first} }} }}
          examples {{ features {{ {second} }} }}
        }}""",
        input_pb2.Input(),
      ),
    )

  def test_context(self):
    read = _read('{"context": {"query": "pizza"}, "examples": [{}, {}]}')
    feature = 'feature { key: "query" value { bytes_list { value: "pizza" } } }'
    self.assertEqual(
      read,
      text_format.Parse(
        f"""example_list_with_context {{
          context {{ features {{ {feature} }} }}
          examples {{ }} examples {{ }}
        }}""",
        input_pb2.Input(),
      ),
    )

  @parameterized.parameters(
    (
      "{}",
      "JSON Value: {} When method is classify, key 'examples' is expected and "
      "was not found",
    ),
    (
      '{"examples": 1}',
      "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be "
      "an list/array",
    ),
    (
      '{"examples": []}',
      'JSON Value: {\n    "examples": []\n} '
      "'examples' value is an empty array",
    ),
    (
      '{"examples": [[]]}',
      "Example must be JSON object but got JSON Array",
    ),
    (
      '{"context": 1, "examples": [{}]}',
      "Example must be JSON object but got JSON Number",
    ),
    (
      '{"examples": [{"x": [1, null]}]}',
      "Feature: x has element with unexpected JSON type: Null",
    ),
    (
      '{"examples": [{"x": {"b": 1}}]}',
      "Feature: x has element with unexpected JSON type: Object",
    ),
    (
      '{"examples": [{"x": [[1]]}]}',
      "Feature: x has element with unexpected JSON type: Array",
    ),
    (
      '{"examples": [{"x": [10, 10.0]}]}',
      "Unexpected element type in feature: x expecting type: int64",
    ),
    (
      '{"examples": [{"x": [1.0, "a"]}]}',
      "Unexpected element type in feature: x expecting type: float",
    ),
    (
      '{"examples": [{"x": ["a", true]}]}',
      "Unexpected element type in feature: x expecting type: bytes",
    ),
    (
      '{"examples": [{"x": [20, 18446744073709551603]}]}',
      "Feature: x has uint64 element. Only int64 is supported.",
    ),
    (
      '{"examples": [{"x": 1e308}]}',
      "Cannot convert JSON value: 1e+308 to float without loss of precision.",
    ),
    ('{"examples": [{"x": {"b64": "@"}}]}', "Unable to base64 decode"),
  )
  def test_refuses(self, text, expected):
    with self.assertRaises(errors.ServingError) as caught:
      _read(text)
    self.assertEqual(caught.exception.text, expected)

  def test_classes(self):
    result = text_format.Parse(
      """
      classifications {
        classes { label: "c\\303\\244r" score: 0.2 }
        classes { label: "b\\"s" score: 0.7 }
      }
      classifications { }
      """,
      classification_pb2.ClassificationResult(),
    )
    written = json_examples.write_classes(result)
    self.assertEqual(
      json.loads(written), {"results": [[["cär", 0.2], ['b"s', 0.7]], []]}
    )

  def test_values(self):
    result = regression_pb2.RegressionResult()
    for value in (0.2, float("inf"), 1.0, float("-inf"), float("nan")):
      result.regressions.add(value=value)
    self.assertEqual(
      json_examples.write_values(result),
      b'{"results": [0.2, Infinity, 1.0, -Infinity, NaN]}\n',
    )

  def test_nothing(self):
    for write, result, text in (
      (
        json_examples.write_classes,
        classification_pb2.ClassificationResult(),
        "Cannot convert empty ClassificationResults to JSON",
      ),
      (
        json_examples.write_values,
        regression_pb2.RegressionResult(),
        "Cannot convert empty RegressionResults to JSON",
      ),
    ):
      with self.assertRaisesRegex(errors.ServingError, text):
        write(result)


if __name__ == "__main__":
  absltest.main()
