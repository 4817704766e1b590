"""The inputs of a REST request: JSON to numpy, as in TensorFlow Serving.

In rows (`instances`) or columns (`inputs`); {"b64": ...} stands for bytes.
numpy converts valid values at once; only if that fails, values are checked one
by one, in the order of TensorFlow Serving, for its error message.

Does not import TensorFlow: `json_process` runs this in a separate process.
"""

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from serving.server import errors

# By input, the name of its type, such as float or string.
Types = Mapping[str, str]
ROWS, COLUMNS = "instances", "inputs"
_BASE64 = "b64"
_DEFAULT_SIGNATURE = "serving_default"
_LONGEST_QUOTE = 256
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
_DTYPES = {"float": np.float32, "double": np.float64, "bool": np.bool_} | {
  name: np.dtype(name) for name in _INTEGERS
}
# `Inf` outside of strings, which the first alternative matches.
_SHORT_INFINITY = re.compile(r'"(?:[^"\\]|\\.)*"|\bInf\b')
_WHITE = dict.fromkeys(b" \t\n\v\f\r")
_TOO_BIG = "JSON Parse error: Number too big to be stored in double."
# Python's messages, and the equivalent ones of RapidJSON.
_PARSE_ERRORS = {
  "Expecting value": "Invalid value.",
  "Expecting property name enclosed in double quotes": (
    "Missing a name for object member."
  ),
  "Illegal trailing comma before end of object": (
    "Missing a name for object member."
  ),
  "Expecting ':' delimiter": "Missing a colon after a name of object member.",
  "Invalid \\escape": "Invalid escape character in string.",
  "Invalid control character at": "Invalid encoding in string.",
  "Unterminated string starting at": (
    "Missing a closing quotation mark in string."
  ),
}
_KINDS = {
  type(None): "Null",
  dict: "Object",
  list: "Array",
  str: "String",
}


class _Constant(float):
  """NaN, Infinity or -Infinity in JSON.

  An infinite float of another type was a number that is too large.
  """


class _Unfit(ValueError):
  """Raised if values are not a tensor of the type."""


def parse(body: bytes) -> dict[str, Any]:
  """Parses the JSON of a request, including NaN, Infinity and Inf.

  Text after the object is ignored.

  Raises:
    ServingError: The body is not JSON, or not an object.
  """
  try:
    text = body.decode(json.detect_encoding(body)).lstrip()
    if "Inf" in text:
      text = _SHORT_INFINITY.sub(
        lambda found: found[0] if found[0][0] == '"' else "Infinity", text
      )
    if not text:
      raise errors.invalid_argument("JSON Parse error: The document is empty")
    decoder = json.JSONDecoder(parse_constant=_Constant)
    document, _ = decoder.raw_decode(text)
  except json.JSONDecodeError as error:
    reason = _PARSE_ERRORS.get(error.msg, error.msg)
    raise errors.invalid_argument(
      f"JSON Parse error: {reason} at offset: {error.pos}"
    ) from error
  except RecursionError as error:
    raise errors.invalid_argument(
      "JSON Parse error: Invalid value. It is nested too deeply."
    ) from error
  except UnicodeDecodeError as error:
    raise errors.invalid_argument(
      f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
    ) from error
  except ValueError as error:  # An integer of more than 4,300 digits.
    raise errors.invalid_argument(_TOO_BIG) from error
  if not isinstance(document, dict):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Is not object"
    )
  return document


def read(
  document: Mapping[str, Any], signatures: Mapping[str, Types]
) -> tuple[str, str, dict[str, np.ndarray]]:
  """Reads the signature and the inputs of a request.

  Args:
    document: The parsed request.
    signatures: The inputs of each signature.

  Returns:
    The name of the signature; the form, ROWS or COLUMNS; values by input.

  Raises:
    ServingError: There is no such signature, or its inputs are missing or do
      not match.
  """
  given = document.get("signature_name", "")
  if not isinstance(given, str):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} not formatted correctly. "
      "'signature_name' key must be a string value."
    )
  name = given or _DEFAULT_SIGNATURE
  if name not in signatures:
    raise errors.invalid_argument(
      f'Serving signature name: "{name}" not found in signature def'
    )
  types = signatures[name]
  if not types:
    raise errors.invalid_argument(
      f"Failed to get input map for signature: {given or 'DEFAULT'}"
    )
  if ROWS in document and COLUMNS in document:
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Not formatted correctly expecting only "
      f"one of '{COLUMNS}' or '{ROWS}' keys to exist "
    )
  if ROWS in document:
    return name, ROWS, _read_rows(document, types)
  if COLUMNS in document:
    return name, COLUMNS, _read_columns(document[COLUMNS], types)
  raise errors.invalid_argument(f"Missing '{COLUMNS}' or '{ROWS}' key")


def _read_rows(document, types):
  rows = document[ROWS]
  if not isinstance(rows, list):
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} Expecting '{ROWS}' to be an list/array"
    )
  if not rows:
    raise errors.invalid_argument(
      f"JSON Value: {_quote(document)} No values in '{ROWS}' array"
    )
  if not isinstance(rows[0], dict) and len(types) > 1:
    raise errors.invalid_argument(
      "instances is a plain list, but expecting list of objects as multiple "
      "input tensors required as per tensorinfo_map"
    )
  named = _is_object(rows[0])
  try:
    if not named:
      name = next(iter(types))
      return {name: _array(rows, types[name])}
    if not all(_is_object(row) and len(row) == len(types) for row in rows):
      raise _Unfit
    return {
      name: _array([row[name] for row in rows], kind)
      for name, kind in types.items()
    }
  except (KeyError, _Unfit):
    return _refuse_rows(rows, types, named)


def _refuse_rows(rows, types, named):
  """Raises the error of the first invalid row."""
  shapes = {}
  for number, row in enumerate(rows):
    where = f"Failed to process element: {number}"
    if named and not _is_object(row):
      raise errors.invalid_argument(
        f"Expecting object but got list at item {number} of input list"
      )
    if not named and _is_object(row):
      raise errors.invalid_argument(
        f"Expecting value/list but got object at item {number} of input list"
      )
    for name, value in (row if named else {next(iter(types)): row}).items():
      try:
        if name not in types:
          raise errors.invalid_argument(
            f"JSON object: does not have named input: {name}"
          )
        _check(value, types[name])
        _check_shape(_shape(value), shapes.setdefault(name, _shape(value)))
      except errors.ServingError as error:
        key = f" key: {name}" if named else ""
        raise errors.invalid_argument(
          f"{where}{key} of 'instances' list. Error: {error.code.name}: "
          f"{error.text}"
        ) from error
    if named and set(row) != set(types):
      raise errors.invalid_argument(
        f"{where} of 'instances' list. JSON object: {_quote(row)} keys must be "
        f"equal to: {','.join(sorted(types))}"
      )
  raise errors.invalid_argument("The rows of 'instances' are no tensor.")


def _read_columns(columns, types):
  if not _is_object(columns):
    if len(types) > 1:
      raise errors.invalid_argument(
        "inputs is a plain value/list, but expecting an object as multiple "
        "input tensors required as per tensorinfo_map"
      )
    columns = {next(iter(types)): columns}
  inputs = {}
  for name, kind in types.items():
    if name not in columns:
      raise errors.invalid_argument(
        f"Missing named input: {name} in 'inputs' object."
      )
    try:
      inputs[name] = _array(columns[name], kind)
    except _Unfit as error:
      _check(columns[name], kind)
      raise errors.invalid_argument(f"{name} is no tensor.") from error
  return inputs


def _array(value, kind):
  """Converts nested lists of equal lengths to a tensor.

  Raises:
    _Unfit: The lengths differ, or a value is not of the type.
    ServingError: A number is too large.
  """
  array = np.array(value, object)
  flat = array.ravel().tolist()
  kinds = set(map(type, flat))
  if list in kinds:  # Ragged, or too deep for numpy.
    raise _Unfit
  if kind == "string":
    leaves = np.empty(len(flat), object)
    leaves[:] = [_bytes(leaf) for leaf in flat]
    return leaves.reshape(array.shape)
  if kind not in _DTYPES or kinds - _allowed(kind):
    raise _Unfit
  try:
    # Numbers too large for float32 are infinite, as in TensorFlow Serving.
    with np.errstate(over="ignore"):
      read = np.array(flat, _DTYPES[kind])
  except OverflowError as error:
    if kind in _INTEGERS:
      raise _Unfit from error
    raise errors.invalid_argument(_TOO_BIG) from error
  if float in kinds and np.isinf(read).any():
    if any(type(leaf) is float and np.isinf(leaf) for leaf in flat):
      raise errors.invalid_argument(_TOO_BIG)
  return read.reshape(array.shape)


def _allowed(kind):
  if kind == "bool":
    return {bool}
  return {int} if kind in _INTEGERS else {int, float, _Constant}


def _bytes(leaf):
  if isinstance(leaf, str):
    # A lone surrogate is not a character, and cannot be encoded.
    return leaf.encode("utf-8", "replace")
  if not isinstance(leaf, dict) or _is_object(leaf):
    raise _Unfit
  try:
    text = leaf[_BASE64].translate(_WHITE)
    # The padding must be complete or absent.
    if "=" not in text:
      text += "=" * (-len(text) % 4)
    return base64.b64decode(text, validate=True)
  except (ValueError, binascii.Error) as error:
    raise errors.invalid_argument("Unable to base64 decode") from error


def _shape(value):
  """Returns the lengths of nested lists, along their first elements."""
  shape = []
  while isinstance(value, list):
    shape.append(len(value))
    value = value[0] if value else None
  return shape


def _check_shape(shape, first):
  size, expected = (int(np.prod(lengths)) for lengths in (shape, first))
  if size != expected:
    raise errors.invalid_argument(
      f"Expecting tensor size: {expected} but got: {size}"
    )
  if shape != first:
    listed = [f"[{','.join(map(str, lengths))}]" for lengths in (first, shape)]
    raise errors.invalid_argument(
      f"Expecting shape {listed[0]} but got: {listed[1]}"
    )


def _check(value, kind):
  """Raises the error of the first invalid value, if any."""
  shape = _shape(value)
  # Without recursion: a stack of iterators over the remaining items.
  pending = [iter([value])]
  while pending:
    try:
      item = next(pending[-1])
    except StopIteration:
      pending.pop()
      continue
    level = len(pending) - 1
    if not isinstance(item, list):
      if level != len(shape):
        raise errors.invalid_argument(
          f"JSON Value: {_quote(item)} found at incorrect level: {level + 1} "
          f"in the JSON DOM. Expected at level: {len(shape)}"
        )
      _check_leaf(item, kind)
      continue
    if level >= len(shape):
      raise errors.invalid_argument(
        f"Encountered list at unexpected level: {level} expected < {len(shape)}"
      )
    if len(item) != shape[level]:
      raise errors.invalid_argument(
        f"Encountered list at unexpected size: {len(item)} at level: {level} "
        f"expected size: {shape[level]}"
      )
    pending.append(iter(item))


def _check_leaf(leaf, kind):
  if isinstance(leaf, dict):
    if kind != "string":
      raise _type_error(leaf, kind)
    if _is_object(leaf):
      raise errors.invalid_argument(
        f"JSON Value: {_quote(leaf)} not formatted correctly for base64 data"
      )
    _bytes(leaf)
  elif kind == "string":
    if not isinstance(leaf, str):
      raise _type_error(leaf, kind)
  elif kind not in _DTYPES:
    raise errors.unimplemented(
      f"Conversion of JSON Value: {_quote(leaf)} to type: {kind}"
    )
  elif type(leaf) not in _allowed(kind):
    raise _type_error(leaf, kind)
  elif kind in _INTEGERS:
    limits = np.iinfo(_DTYPES[kind])
    if not limits.min <= leaf <= limits.max:
      raise _type_error(leaf, kind)


def _is_object(value):
  """Returns whether a value is an object other than {"b64": ...}."""
  return isinstance(value, dict) and not (
    len(value) == 1 and isinstance(value.get(_BASE64), str)
  )


def _type_error(value, kind):
  named = str(value) if isinstance(value, bool) else "Number"
  return errors.invalid_argument(
    f"JSON Value: {_quote(value)} Type: {_KINDS.get(type(value), named)} is "
    f"not of expected type: {kind}"
  )


def _quote(value):
  """Returns the beginning of a value's JSON, as RapidJSON prints it."""
  text = ""
  for piece in _pieces(value, 0):
    if len(text) >= _LONGEST_QUOTE:
      break
    text += piece
  return text


def _pieces(value: Any, level: int) -> Iterator[str]:
  """Yields the pieces of pretty JSON, with lists on one line."""
  if isinstance(value, dict):
    yield "{"
    comma = ""
    for key, member in value.items():
      yield f"{comma}\n{'    ' * (level + 1)}{_text(key)}: "
      yield from _pieces(member, level + 1)
      comma = ","
    yield f"\n{'    ' * level}}}" if value else "}"
  elif isinstance(value, list):
    yield "["
    for position, item in enumerate(value):
      if position:
        yield ", "
      yield from _pieces(item, level + 1)
    yield "]"
  elif isinstance(value, float) or (
    isinstance(value, int) and not -(2**63) <= value < 2**64
  ):
    with contextlib.suppress(OverflowError):
      yield repr(float(value)).replace("e+", "e")
  else:
    yield _text(value)


def _text(value):
  return json.dumps(value, ensure_ascii=False)
