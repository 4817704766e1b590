"""Examples and results of Classify and Regress over REST, as JSON.

The types of features are those of their values: strings, decimal numbers,
whole ones. The texts of errors are those of `tensorflow_model_server`.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2
from tensorflow.core.example import feature_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import input_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import errors
from serving.server import json_outputs
from serving.server import json_values

_CONTEXT, _EXAMPLES = "context", "examples"
_quote = json_values.quote
_INT64, _UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read(document: Mapping[str, Any]) -> input_pb2.Input:
  """Reads the examples of a request, as `json_inputs.parse` returned it.

  Raises:
    ServingError: There are none, or they cannot be features.
  """
  given = input_pb2.Input()
  into = given.example_list.examples
  if _CONTEXT in document:
    into = given.example_list_with_context.examples
    _read_example(document[_CONTEXT], given.example_list_with_context.context)
  if _EXAMPLES not in document:
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} When method is classify, key "
      f"'{_EXAMPLES}' is expected and was not found"
    )
  rows = document[_EXAMPLES]
  if not isinstance(rows, list):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Expecting '{_EXAMPLES}' value to be an "
      "list/array"
    )
  if not rows:
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} '{_EXAMPLES}' value is an empty array"
    )
  for row in rows:
    _read_example(row, into.add())
  return given


def write_classes(result: classification_pb2.ClassificationResult) -> bytes:
  """Writes, for each example, a label and a score for each class."""
  if not result.classifications:
    raise errors.invalid_argument(
      "Cannot convert empty ClassificationResults to JSON"
    )
  rows = []
  for classification in result.classifications:
    scores = _numbers([one.score for one in classification.classes])
    pairs = (
      f"[{json.dumps(one.label)}, {score}]"
      for one, score in zip(classification.classes, scores)
    )
    rows.append("[" + ", ".join(pairs) + "]")
  return _results(rows)


def write_values(result: regression_pb2.RegressionResult) -> bytes:
  """Writes a number for each example."""
  if not result.regressions:
    raise errors.invalid_argument(
      "Cannot convert empty RegressionResults to JSON"
    )
  return _results(_numbers([one.value for one in result.regressions]))


def _numbers(values):
  return json_outputs.texts("", np.array(values, np.float32))


def _results(rows):
  return ('{"results": [' + ", ".join(rows) + "]}\n").encode()


def _read_example(value: Any, example: example_pb2.Example) -> None:
  if not isinstance(value, dict):
    raise errors.invalid_argument(
      f"Example must be JSON object but got JSON {json_values.type_name(value)}"
    )
  for name, content in value.items():
    feature = example.features.feature[name]
    for item in content if isinstance(content, list) else [content]:
      _add(item, name, feature)


def _add(value: Any, name: str, feature: feature_pb2.Feature) -> None:
  """Adds a value to a feature, whose first one has chosen its type.

  Raises:
    ServingError: It cannot be added.
  """
  if isinstance(value, str) or json_values.is_base64(value):
    kind = "bytes_list"
    value = json_values.to_array([value], types_pb2.DT_STRING)[0]
  elif value is None or isinstance(value, (dict, list)):
    raise errors.invalid_argument(
      f"Feature: {name} has element with unexpected JSON type: "
      f"{json_values.type_name(value)}"
    )
  elif isinstance(value, int) and _INT64.min <= value <= _UINT64.max:
    kind = "int64_list"  # True and False, too.
  else:
    # What no integer can hold is a decimal number, too.
    kind = "float_list"
  already = feature.WhichOneof("kind")
  if already not in (None, kind):
    raise errors.invalid_argument(
      f"Unexpected element type in feature: {name} expecting type: "
      f"{_KINDS[already]}"
    )
  if kind == "int64_list" and value > _INT64.max:
    raise errors.invalid_argument(
      f"Feature: {name} has uint64 element. Only int64 is supported."
    )
  if kind == "int64_list":
    value = int(value)
  elif kind == "float_list":
    value = json_values.to_array([value], types_pb2.DT_FLOAT)[0]
  getattr(feature, kind).value.append(value)
