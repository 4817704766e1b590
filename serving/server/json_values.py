"""Single values of a REST request: JSON to numpy."""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf

from serving.server import errors
from serving.server import tensors

_BASE64 = "b64"
_LONGEST_QUOTE = 300


class Constant(float):
  """NaN, Infinity or -Infinity, as they stand in JSON.

  A float that is infinite and none of them was a number too large.
  """


# What rapidjson says, which reads JSON for TensorFlow Serving, and Python does.
_PARSE_ERRORS = {
  "Expecting property name": "Missing a name for object member.",
  "Expecting ':'": "Missing a colon after a name of object member.",
  "Extra data": "The document root must not be followed by other values.",
  "Unterminated string": "Missing a closing quotation mark in string.",
  "Invalid control": "Invalid encoding in string.",
  "Invalid \\escape": "Invalid escape character in string.",
  "Invalid \\u": "Incorrect hex digit after \\u escape in string.",
}
_STRING = r'"(?:[^"\\]|\\.)*"'
_SHORT_INFINITY = re.compile(_STRING + r"|\bInf\b")
_WHITE = dict.fromkeys(b" \t\n\v\f\r")
_JSON_TYPES = {
  type(None): "Null",
  dict: "Object",
  list: "Array",
  str: "String",
  int: "Number",
  float: "Number",
  Constant: "Number",
}


def parse(body: bytes) -> Any:
  """Reads JSON, NaN, Infinity and Inf included.

  Raises:
    ServingError: It is none; says where that shows.
  """
  try:
    text = body.decode(json.detect_encoding(body))
    if "Inf" in text:
      # Inside of strings it stays.
      text = _SHORT_INFINITY.sub(
        lambda found: found[0] if found[0][0] == '"' else "Infinity", text
      )
    return json.loads(text, parse_constant=Constant)
  except json.JSONDecodeError as error:
    offset = len(error.doc[: error.pos].encode("utf-8", "replace"))
    raise errors.invalid_argument(
      f"JSON Parse error: {_parse_error(error)} at offset: {offset}"
    ) from error
  except (ValueError, RecursionError) as error:
    raise errors.invalid_argument(
      f"JSON Parse error: Invalid value. {error}"
    ) from error


def _parse_error(error):
  for beginning, text in _PARSE_ERRORS.items():
    if error.msg.startswith(beginning):
      return text
  if not error.msg.startswith("Expecting ','"):
    return "Invalid value."
  # Python does not say what it is in: what is open, and not closed again.
  brackets = re.sub(_STRING + r"|[^][{}]", "", error.doc[: error.pos])
  while brackets != (fewer := re.sub(r"\[\]|{}", "", brackets)):
    brackets = fewer
  if brackets.endswith("["):
    return "Missing a comma or ] after an array element."
  return "Missing a comma or } after an object member."


def to_array(flat: Sequence[Any], enum: int) -> np.ndarray:
  """Returns values as an array, [len(flat)].

  Args:
    flat: The values, no lists.
    enum: Their type.

  Raises:
    ServingError: A value is not of that type, or none of JSON can be.
  """
  dtype = tf.as_dtype(enum)
  types = set(map(type, flat))
  if dtype == tf.string:
    leaves = np.empty(len(flat), object)
    leaves[:] = [_bytes(leaf, enum) for leaf in flat]
    return leaves
  if dtype == tf.bool:
    allowed = {bool}
  elif dtype in (tf.float32, tf.float64):
    allowed = {int, float, Constant}
  elif dtype.is_integer and not dtype.is_quantized:
    allowed = {int}
  else:
    raise errors.ServingError(
      grpc.StatusCode.UNIMPLEMENTED,
      f"Conversion of JSON Value: {quote(flat[0] if flat else [])} to type: "
      f"{tensors.type_name(enum)}",
    )
  if types - allowed:
    raise _type_error(next(x for x in flat if type(x) not in allowed), enum)
  if dtype.is_integer:
    for leaf in flat:
      if not dtype.min <= leaf <= dtype.max:
        raise _type_error(leaf, enum)
  elif dtype.is_floating:
    _check_lossless(flat, dtype, int in types)
  return np.array(flat, dtype.as_numpy_dtype)


def _check_lossless(flat, dtype, has_integers):
  limit = float(dtype.max)
  exact = 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1) - 1
  for leaf in flat:
    # What no integer can hold is a decimal number.
    if has_integers and type(leaf) is int and -(2**63) <= leaf < 2**64:
      lost = abs(leaf) > exact
    else:
      lost = abs(leaf) > limit and type(leaf) is not Constant
    if lost:
      raise errors.invalid_argument(
        f"Cannot convert JSON value: {quote(leaf)} to "
        f"{'float' if dtype == tf.float32 else 'double'} without loss of "
        "precision."
      )


def _bytes(leaf, enum):
  if isinstance(leaf, str):
    # Half of a pair of surrogates is no character, and has no bytes.
    return leaf.encode("utf-8", "replace")
  if not isinstance(leaf, dict):
    raise _type_error(leaf, enum)
  if not is_base64(leaf):
    raise errors.invalid_argument(
      f"JSON Value: {quote(leaf)} not formatted correctly for base64 data"
    )
  try:
    text = leaf[_BASE64].translate(_WHITE)
    # All of the padding, or nothing of it.
    if "=" not in text:
      text += "=" * (-len(text) % 4)
    return base64.b64decode(text, validate=True)
  except (ValueError, binascii.Error) as error:
    raise errors.invalid_argument("Unable to base64 decode") from error


def is_base64(value: Any) -> bool:
  """Returns whether a value is {"b64": ...}, which stands for bytes."""
  return (
    isinstance(value, dict)
    and len(value) == 1
    and isinstance(value.get(_BASE64), str)
  )


def quote(value: Any) -> str:
  """Returns JSON as it stands in a message, cut if it is long."""
  text = json.dumps(value, indent=4, ensure_ascii=False)
  if len(text) > _LONGEST_QUOTE:
    text = text[:_LONGEST_QUOTE] + "..."
  return text


def type_name(value: Any) -> str:
  """Returns what JSON calls the type of a value."""
  # True and False are types of their own there.
  return _JSON_TYPES.get(type(value), str(value))


def _type_error(value, enum):
  return errors.invalid_argument(
    f"JSON Value: {quote(value)} Type: {type_name(value)} is not of expected "
    f"type: {tensors.type_name(enum)}"
  )
