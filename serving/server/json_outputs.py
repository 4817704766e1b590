"""The outputs of a REST answer: numpy to JSON, as in TensorFlow Serving.

In rows (`predictions`) or columns (`outputs`), like the request. Does not
import TensorFlow: `json_process` runs this in a separate process.
"""

import base64
import json
import math
from collections.abc import Mapping

import numpy as np

from serving.server import errors
from serving.server import json_inputs

_KEYS = {json_inputs.ROWS: "predictions", json_inputs.COLUMNS: "outputs"}
_BYTES_SUFFIX = "_bytes"
# Values, which take a few milliseconds and half a megabyte.
_AT_ONCE = 4096
_FLOATS = np.float32, np.float64
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def write(form: str, outputs: Mapping[str, np.ndarray]) -> bytes:
  """Writes the outputs of a signature.

  Floats are written as the shortest text that parses to the same value. The GIL
  is held for a few thousand values at a time, so that other calls proceed.

  Args:
    form: ROWS or COLUMNS of `json_inputs`.
    outputs: Values by output; a single one is written without its name.

  Raises:
    ServingError: The outputs cannot be written in that form, or as JSON.
  """
  pieces = _rows(outputs) if form == json_inputs.ROWS else _columns(outputs)
  return f'{{"{_KEYS[form]}": {"".join(pieces)}}}\n'.encode()


def _rows(outputs):
  count = _count_rows(outputs)
  rows = zip(*(_each_row(name, value) for name, value in outputs.items()))
  for number, row in enumerate(rows, 1):
    before = "" if number > 1 else "["
    after = "]" if number == count else ",\n"
    yield before + _object(dict(zip(outputs, row))) + after


def _columns(outputs):
  before, after = ("{", "}") if len(outputs) > 1 else ("", "")
  for name, value in outputs.items():
    if len(outputs) > 1:
      before += f"{json.dumps(name)}: "
    value = np.asarray(value) if not isinstance(value, bytes) else value
    if np.ndim(value) == 0 or not value.size:
      yield before + _nested(_texts(name, value), np.shape(value))
    else:
      yield before + "["
      for number, row in enumerate(_each_row(name, value)):
        yield ", " * (number > 0) + row
      yield "]"
    before = ",\n"
  yield after


def _each_row(name, value):
  """Yields the JSON of each row of an output."""
  size, shape = math.prod(value.shape[1:]), value.shape[1:]
  step = max(1, _AT_ONCE // max(1, size))
  for start in range(0, len(value), step):
    part = value[start : start + step]
    texts = _texts(name, part)
    for row in range(len(part)):
      yield _nested(texts[size * row : size * (row + 1)], shape)


def _count_rows(outputs):
  """Returns the number of rows, which all outputs must share."""
  count = 0
  for name, value in outputs.items():
    if np.ndim(value) == 0:
      raise errors.invalid_argument(
        f"Tensor name: {name} has no shape information "
      )
    rows = len(value)
    if rows < 1:
      raise errors.invalid_argument(
        f"Tensor name: {name} has invalid batch size: {rows}"
      )
    if count and rows != count:
      raise errors.invalid_argument(
        f"Tensor name: {name} has inconsistent batch size: {rows} expecting: "
        f"{count}"
      )
    count = rows
  return count


def _object(texts):
  if len(texts) == 1:
    return next(iter(texts.values()))
  members = [f"{json.dumps(name)}: {text}" for name, text in texts.items()]
  return "{" + ",\n".join(members) + "}"


def _nested(texts, shape):
  """Returns the JSON of nested lists of values, given as texts."""
  for size in reversed(shape):
    if size == 0:
      # Further dimensions are irrelevant; those before count the empty lists.
      texts = ["[]"] * math.prod(shape[: shape.index(0)])
      return _nested(texts, shape[: shape.index(0)])
    texts = [
      "[" + ", ".join(texts[start : start + size]) + "]"
      for start in range(0, len(texts), size)
    ]
  return texts[0]


def _texts(name, value):
  """Returns the JSON of each value of an output, row after row."""
  if isinstance(value, bytes):  # A scalar.
    value = np.array(value, object)
  value = np.asarray(value)
  dtype = value.dtype
  flat = value.ravel()
  if dtype.kind == "O":
    write_one = _base64 if name.endswith(_BYTES_SUFFIX) else _string
    return [write_one(name, item) for item in flat.tolist()]
  if dtype in _FLOATS:
    # numpy writes the shortest text, such as "1.0" and "1e-05", valid JSON.
    texts = []
    for start in range(0, len(flat), _AT_ONCE):
      texts += flat[start : start + _AT_ONCE].astype("U32").tolist()
    if not np.isfinite(flat).all():
      texts = [_NOT_FINITE.get(text, text) for text in texts]
    return texts
  if dtype.kind == "b":
    return ["true" if item else "false" for item in flat.tolist()]
  if dtype.kind in "iu":
    return list(map(str, flat.tolist()))
  raise errors.invalid_argument(
    f"Failed to write JSON value for tensor type: {_type_name(dtype)}"
  )


def _type_name(dtype):
  """Returns TensorFlow's name of a type."""
  if dtype.names:  # One of TensorFlow's own, such as qint8.
    return dtype.names[0]
  return "half" if dtype == np.float16 else dtype.name


def _base64(name, item):
  return f'{{"b64": "{base64.b64encode(item).decode()}"}}'


def _string(name, item):
  try:
    return json.dumps(item.decode())
  except UnicodeDecodeError as error:
    raise errors.invalid_argument(
      f"Failed to write JSON value: output {name} is not UTF-8. Bytes can be "
      f"written if the output is named *{_BYTES_SUFFIX}, or over gRPC."
    ) from error
