"""The inputs of a REST request: JSON to numpy, as TensorFlow Serving reads it.

In rows (`instances`) or columns (`inputs`). The texts of errors are those of
`tensorflow_model_server`.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server import errors
from serving.server import json_values

Infos = Mapping[str, meta_graph_pb2.TensorInfo]
ROWS, COLUMNS = "instances", "inputs"
_quote = json_values.quote
# What numpy can hold, one more for rows.
_DEEPEST = 63


def parse(body: bytes) -> dict[str, Any]:
  """Reads the JSON of a request.

  Raises:
    ServingError: It is none, or no object.
  """
  if not body:
    raise errors.invalid_argument("JSON Parse error: The document is empty")
  document = json_values.parse(body)
  if not isinstance(document, dict):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Is not object"
    )
  return document


def signature_name(document: Mapping[str, Any]) -> str:
  """Returns the signature that a request asks for.

  Raises:
    ServingError: It is no text.
  """
  name = document.get("signature_name", "")
  if not isinstance(name, str):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} not formatted correctly. "
      "'signature_name' key must be a string value."
    )
  return name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def read(
  document: Mapping[str, Any], infos: Infos
) -> tuple[str, dict[str, np.ndarray]]:
  """Reads the inputs of a request.

  Args:
    document: What `parse` returned.
    infos: The inputs of the signature.

  Returns:
    The form, ROWS or COLUMNS, and the values by input.

  Raises:
    ServingError: They are not there, or not what the signature takes.
  """
  if ROWS in document and COLUMNS in document:
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Not formatted correctly expecting only "
      f"one of '{COLUMNS}' or '{ROWS}' keys to exist "
    )
  if ROWS in document:
    return ROWS, _read_rows(document, infos)
  if COLUMNS in document:
    return COLUMNS, _read_columns(document[COLUMNS], infos)
  raise errors.invalid_argument(f"Missing '{COLUMNS}' or '{ROWS}' key")


def _read_rows(document, infos):
  rows = document[ROWS]
  if not isinstance(rows, list):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Excepting '{ROWS}' to be an list/array"
    )
  if not rows:
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} No values in '{ROWS}' array"
    )
  if not isinstance(rows[0], dict) and len(infos) > 1:
    raise errors.invalid_argument(
      "instances is a plain list, but expecting list of objects as multiple "
      "input tensors required as per tensorinfo_map"
    )
  named = _is_object(rows[0])
  for number, row in enumerate(rows):
    if named and not _is_object(row):
      raise errors.invalid_argument(
        f"Expecting object but got list at item {number} of input list"
      )
    if not named and _is_object(row):
      raise errors.invalid_argument(
        f"Expecting value/list but got object at item {number} of input list"
      )
    if named:
      _check_keys(number, row, infos)
  if not named:
    name = next(iter(infos))
    return {name: _stack(rows, infos[name].dtype, "")}
  return {
    name: _stack([row[name] for row in rows], info.dtype, f" key: {name}")
    for name, info in infos.items()
  }


def _check_keys(number, row, infos):
  for name in row:
    if name not in infos:
      raise errors.invalid_argument(
        f"Failed to process element: {number} key: {name} of 'instances' list. "
        "Error: INVALID_ARGUMENT: JSON object: does not have named input: "
        f"{name}"
      )
  if set(row) != set(infos):
    raise errors.invalid_argument(
      f"Failed to process element: {number} of 'instances' list. JSON object: "
      f"{_quote(row)} keys must be equal to: {','.join(sorted(infos))}"
    )


def _read_columns(columns, infos):
  if not _is_object(columns):
    if len(infos) > 1:
      raise errors.invalid_argument(
        "inputs is a plain value/list, but expecting an object as multiple "
        "input tensors required as per tensorinfo_map"
      )
    name = next(iter(infos))
    return {name: _tensor(columns, infos[name].dtype)}
  for name in infos:
    if name not in columns:
      raise errors.invalid_argument(
        f"Missing named input: {name} in 'inputs' object."
      )
  return {
    name: _tensor(columns[name], info.dtype) for name, info in infos.items()
  }


def _stack(values, dtype, key):
  """Returns one tensor of the values of all rows."""
  try:
    return _tensor(values, dtype)
  except errors.ServingError:
    pass
  # What is wrong is said of the row that has it.
  first = None
  for number, value in enumerate(values):
    try:
      shape = _tensor(value, dtype).shape
      if first is None:
        first = shape
      if math.prod(first) != math.prod(shape):
        raise errors.invalid_argument(
          f"Expecting tensor size: {math.prod(first)} but got: "
          f"{math.prod(shape)}"
        )
      if first != shape:
        raise errors.invalid_argument(
          f"Expecting shape {_shape(first)} but got: {_shape(shape)}"
        )
    except errors.ServingError as error:
      raise errors.invalid_argument(
        f"Failed to process element: {number}{key} of 'instances' list. "
        f"Error: {error.code.name}: {error.text}"
      ) from error
  raise errors.invalid_argument("The rows of 'instances' do not agree.")


def _tensor(value, dtype):
  """Returns a tensor of nested lists, all of one depth and size a level."""
  shape = []
  inner = value
  while isinstance(inner, list):
    shape.append(len(inner))
    if not inner:
      break
    inner = inner[0]
  if len(shape) > _DEEPEST:
    raise errors.invalid_argument(
      f"Lists may be nested {_DEEPEST} deep, and are {len(shape)}."
    )
  flat = [value]
  for level, size in enumerate(shape):
    # Level by level and not recursively: most of it happens outside of Python.
    for item in flat:
      if not isinstance(item, list):
        raise errors.invalid_argument(
          f"JSON Value: {_quote(item)} found at incorrect level: {level + 1} "
          f"in the JSON DOM. Expected at level: {len(shape)}"
        )
    if set(map(len, flat)) - {size}:
      other = next(len(item) for item in flat if len(item) != size)
      raise errors.invalid_argument(
        f"Encountered list at unexpected size: {other} at level: {level} "
        f"expected size: {size}"
      )
    flat = list(itertools.chain.from_iterable(flat))
  if list in set(map(type, flat)):
    raise errors.invalid_argument(
      f"Encountered list at unexpected level: {len(shape)} expected < "
      f"{len(shape)}"
    )
  return json_values.to_array(flat, dtype).reshape(shape)


def _is_object(value):
  return isinstance(value, dict) and not json_values.is_base64(value)


def _shape(shape):
  return "[" + ",".join(map(str, shape)) + "]"
