"""The inputs of a REST request: JSON to numpy, as TensorFlow Serving reads it.

In rows (`instances`) or columns (`inputs`); {"b64": ...} stands for bytes.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving import tensors
from serving.server import errors

Infos = Mapping[str, meta_graph_pb2.TensorInfo]
ROWS, COLUMNS = "instances", "inputs"
_BASE64 = "b64"
_LONGEST_QUOTE = 300
# `Inf` outside of strings, which the first alternative takes.
_SHORT_INFINITY = re.compile(r'"(?:[^"\\]|\\.)*"|\bInf\b')
_WHITE = dict.fromkeys(b" \t\n\v\f\r")


class _Constant(float):
  """NaN, Infinity or -Infinity, as they stand in JSON.

  A float that is infinite and none of them was a number too large.
  """


def parse(body: bytes) -> dict[str, Any]:
  """Reads the JSON of a request, NaN, Infinity and Inf included.

  Raises:
    ServingError: It is none, or no object.
  """
  try:
    text = body.decode(json.detect_encoding(body))
    if "Inf" in text:
      text = _SHORT_INFINITY.sub(
        lambda found: found[0] if found[0][0] == '"' else "Infinity", text
      )
    document = json.loads(text, parse_constant=_Constant)
  except json.JSONDecodeError as error:
    raise errors.invalid_argument(
      f"JSON Parse error: {error.msg} at offset: {error.pos}"
    ) from error
  except (ValueError, RecursionError) as error:
    raise errors.invalid_argument(
      f"JSON Parse error: Invalid value. {error}"
    ) from error
  if not isinstance(document, dict):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Is not object"
    )
  return document


def signature_name(document: Mapping[str, Any]) -> str:
  """Returns the signature that a request names.

  Raises:
    ServingError: The name is no text.
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
    document: The parsed request.
    infos: The inputs of the signature.

  Returns:
    The form, ROWS or COLUMNS, and the values by input.

  Raises:
    ServingError: The inputs are missing, or do not fit the signature.
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
  named = _is_object(rows[0])
  if not named and len(infos) > 1:
    raise errors.invalid_argument(
      "instances is a plain list, but expecting list of objects as multiple "
      "input tensors required as per tensorinfo_map"
    )
  for number, row in enumerate(rows):
    if named != _is_object(row):
      expected, given = ("object", "list") if named else ("list", "object")
      raise errors.invalid_argument(
        f"Expecting {expected} but got {given} at item {number} of input list"
      )
    if named and set(row) != set(infos):
      names = ",".join(sorted(infos))
      raise errors.invalid_argument(
        f"Failed to process element: {number} of 'instances' list. JSON "
        f"object: {_quote(row)} keys must be equal to: {names}"
      )
  if not named:
    name = next(iter(infos))
    return {name: _stack(rows, infos[name].dtype, "")}
  return {
    name: _stack([row[name] for row in rows], info.dtype, f" key: {name}")
    for name, info in infos.items()
  }


def _read_columns(columns, infos):
  if not _is_object(columns):
    if len(infos) > 1:
      raise errors.invalid_argument(
        "inputs is a plain value/list, but expecting an object as multiple "
        "input tensors required as per tensorinfo_map"
      )
    columns = {next(iter(infos)): columns}
  for name in infos:
    if name not in columns:
      raise errors.invalid_argument(
        f"Missing named input: {name} in 'inputs' object."
      )
  return {
    name: _tensor(columns[name], info.dtype) for name, info in infos.items()
  }


def _stack(rows, dtype, key):
  """Returns one tensor of the values of all rows; an error names the row."""
  try:
    return _tensor(rows, dtype)
  except errors.ServingError as error:
    problem = error
  first = None
  for number, row in enumerate(rows):
    try:
      shape = _tensor(row, dtype).shape
      first = shape if first is None else first
      if shape != first:
        raise errors.invalid_argument(
          f"Expecting shape {list(first)} but got: {list(shape)}"
        )
    except errors.ServingError as error:
      problem = errors.invalid_argument(
        f"Failed to process element: {number}{key} of 'instances' list. "
        f"Error: {error.code.name}: {error.text}"
      )
      break
  raise problem


def _tensor(value, dtype):
  """Returns a tensor of nested lists, which must have the same lengths."""
  array = np.array(value, object)
  flat = array.ravel().tolist()
  if list in set(map(type, flat)):  # numpy could not go deeper.
    raise errors.invalid_argument(
      f"JSON Value: {_quote(value)} has lists of unexpected size: the lists of "
      "a level must have the same length."
    )
  return _convert(flat, dtype).reshape(array.shape)


def _convert(flat, enum):
  """Returns values as an array, [len(flat)], of a type without any loss."""
  dtype = tf.as_dtype(enum)
  types = set(map(type, flat))
  if dtype == tf.string:
    leaves = np.empty(len(flat), object)
    leaves[:] = [_bytes(leaf, enum) for leaf in flat]
    return leaves
  if dtype == tf.bool:
    allowed = {bool}
  elif dtype in (tf.float32, tf.float64):
    allowed = {int, float, _Constant}
  elif dtype.is_integer and not dtype.is_quantized:
    allowed = {int}
  else:
    raise errors.unimplemented(
      f"Conversion of JSON Value: {_quote(flat[0] if flat else [])} to type: "
      f"{tensors.type_name(enum)}"
    )
  if types - allowed:
    raise _type_error(next(x for x in flat if type(x) not in allowed), enum)
  if dtype.is_integer:
    for leaf in flat:
      if not dtype.min <= leaf <= dtype.max:
        raise _type_error(leaf, enum)
  elif dtype.is_floating:
    _check_lossless(flat, dtype)
  return np.array(flat, dtype.as_numpy_dtype)


def _check_lossless(flat, dtype):
  limit = float(dtype.max)
  exact = 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1) - 1
  for leaf in flat:
    # An integer that 64 bits cannot hold counts as a decimal number.
    if type(leaf) is int and -(2**63) <= leaf < 2**64:
      lost = abs(leaf) > exact
    else:
      lost = abs(leaf) > limit and type(leaf) is not _Constant
    if lost:
      raise errors.invalid_argument(
        f"Cannot convert JSON value: {_quote(leaf)} to "
        f"{'float' if dtype == tf.float32 else 'double'} without loss of "
        "precision."
      )


def _bytes(leaf, enum):
  if isinstance(leaf, str):
    # Half of a pair of surrogates is no character, and has no bytes.
    return leaf.encode("utf-8", "replace")
  if not isinstance(leaf, dict):
    raise _type_error(leaf, enum)
  if _is_object(leaf):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(leaf)} not formatted correctly for base64 data"
    )
  try:
    text = leaf[_BASE64].translate(_WHITE)
    # The padding must be complete, or left out.
    if "=" not in text:
      text += "=" * (-len(text) % 4)
    return base64.b64decode(text, validate=True)
  except (ValueError, binascii.Error) as error:
    raise errors.invalid_argument("Unable to base64 decode") from error


def _is_object(value):
  """Returns whether a value is an object other than {"b64": ...}."""
  return isinstance(value, dict) and not (
    len(value) == 1 and isinstance(value.get(_BASE64), str)
  )


def _quote(value):
  """Returns JSON as it stands in a message, cut if it is long."""
  text = json.dumps(value, ensure_ascii=False)
  return text[:_LONGEST_QUOTE] + "..." * (len(text) > _LONGEST_QUOTE)


def _type_error(value, enum):
  return errors.invalid_argument(
    f"JSON Value: {_quote(value)} is not of expected type: "
    f"{tensors.type_name(enum)}"
  )
