"""Converts TensorProto to numpy and back, as TensorFlow Serving does."""

import contextlib
import math
import threading

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.framework import types_pb2

# The field of a TensorProto that holds the values of a dtype, and the numpy
# type that they are cast to (_FIELDS) or viewed as (_VIEWS: half floats are
# stored as their 16 bits, complex numbers as two reals).
_FIELDS = {
  tf.float32: ("float_val", np.float32),
  tf.float64: ("double_val", np.float64),
  tf.int8: ("int_val", np.int32),
  tf.int16: ("int_val", np.int32),
  tf.int32: ("int_val", np.int32),
  tf.uint8: ("int_val", np.int32),
  tf.uint16: ("int_val", np.int32),
  tf.int64: ("int64_val", np.int64),
  tf.uint32: ("uint32_val", np.uint32),
  tf.uint64: ("uint64_val", np.uint64),
  tf.bool: ("bool_val", np.bool_),
  tf.string: ("string_val", np.object_),
}
_VIEWS = {
  tf.float16: ("half_val", np.uint16),
  tf.bfloat16: ("half_val", np.uint16),
  tf.complex64: ("scomplex_val", np.float32),
  tf.complex128: ("dcomplex_val", np.float64),
}
# On the wire, these fields have the array's memory layout: parsing is one copy,
# while appending 200,000 pixels to a field one by one takes 10 ms.
_PACKED = {tf.float32: b"\x2a", tf.float64: b"\x32", tf.bool: b"\x5a"}
# A message of a few bytes can describe a tensor that fills the memory, since
# one value may stand for a whole shape. Messages have this limit, so tensors
# do, too.
_LARGEST = 2**31
_LARGE = 8 << 20
_turn = threading.Lock()


def to_array(proto: tensor_pb2.TensorProto) -> np.ndarray:
  """Reads a tensor from typed values, tensor_content, or one repeated value.

  The array may be a view of the message.

  Raises:
    ValueError: The proto is malformed.
  """
  shape = [dim.size for dim in proto.tensor_shape.dim]
  if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
    raise ValueError(f"the shape must be known, got {proto.tensor_shape}")
  try:
    dtype = tf.as_dtype(proto.dtype)
    # A string costs at least the pointer to it.
    size = 8 if dtype == tf.string else dtype.size
    if math.prod(shape) * size > _LARGEST:
      raise ValueError(f"shape {shape} takes more than {_LARGEST} bytes")
    if proto.tensor_content and dtype != tf.string:
      values = np.frombuffer(proto.tensor_content, dtype.as_numpy_dtype)
      return values.reshape(shape)
    field, element = _FIELDS.get(dtype, (None, None))
    if dtype in _PACKED and len(getattr(proto, field)) == math.prod(shape):
      return _packed(proto, field, element).reshape(shape)
    return tf.make_ndarray(proto)
  # Values do not fit the type, or numpy lacks the type.
  except (KeyError, OverflowError, TypeError) as error:
    raise ValueError(
      f"the values cannot be of type {proto.dtype}: {error}"
    ) from error


def to_proto(
  array: np.ndarray, as_content: bool = False
) -> tensor_pb2.TensorProto:
  """Returns a tensor as a new message, see `write`."""
  proto = tensor_pb2.TensorProto()
  write(array, proto, as_content)
  return proto


def write(
  array: np.ndarray, proto: tensor_pb2.TensorProto, as_content: bool = False
) -> None:
  """Writes a tensor into an empty message.

  Args:
    array: Any shape; strings as an array of `bytes` objects.
    proto: The message.
    as_content: Whether to write the values as one string of bytes,
      `tensor_content`, rather than in the field of their type. Smaller and
      faster, but some clients read the typed fields only.
  """
  if isinstance(array, bytes):  # A scalar; numpy's own bytes drop end zeros.
    array = np.array(array, object)
  array = np.asarray(array)
  dtype = tf.as_dtype(array.dtype)
  proto.dtype = dtype.as_datatype_enum
  # A scalar needs a shape, too.
  proto.tensor_shape.SetInParent()
  for size in array.shape:
    proto.tensor_shape.dim.add(size=size)
  if dtype in _PACKED and array.size and not as_content:
    values = array.tobytes()
    proto.MergeFromString(_PACKED[dtype] + _varint(len(values)) + values)
  elif dtype in _FIELDS and (dtype == tf.string or not as_content):
    field, element = _FIELDS[dtype]
    values = array.ravel().astype(element, copy=False)
    getattr(proto, field).extend(values.tolist())
  elif dtype in _VIEWS and not as_content:
    field, element = _VIEWS[dtype]
    getattr(proto, field).extend(array.ravel().view(element).tolist())
  else:
    proto.tensor_content = array.tobytes()


def type_of(array: np.ndarray) -> int:
  """Returns an array's type as a number of TensorFlow's DataType."""
  return tf.as_dtype(array.dtype).as_datatype_enum


def type_name(enum: int) -> str:
  """Returns the name of a DataType in lower case: DT_FLOAT is float."""
  return types_pb2.DataType.Name(enum).removeprefix("DT_").lower()


def _packed(proto, field, element):
  """Returns the values of a field that is packed on the wire."""
  # The values are the end of the message; if not, of a message with this field
  # only. 200,000 pixels take 0.1 ms, and element by element 7 ms.
  count = len(getattr(proto, field))
  size = count * np.dtype(element).itemsize
  mark = _PACKED[tf.as_dtype(element)] + _varint(size)
  with turn_of(size):
    written = proto.SerializeToString()
    if not written.endswith(mark, 0, len(written) - size):
      alone = tensor_pb2.TensorProto()
      getattr(alone, field).MergeFrom(getattr(proto, field))
      written = alone.SerializeToString()
  return np.frombuffer(written, element, count, len(written) - size)


def turn_of(size: int) -> contextlib.AbstractContextManager:
  """Returns a context in which a large tensor of `size` bytes may be copied.

  One thread at a time copies large tensors: protobuf holds the GIL while it
  copies, and several in a row would delay all other threads.
  """
  return _turn if size > _LARGE else contextlib.nullcontext()


def _varint(number):
  """Returns a number as a protobuf varint: 7 bits a byte, lowest first."""
  written = bytearray()
  while number > 127:
    written.append(number & 127 | 128)
    number >>= 7
  written.append(number)
  return bytes(written)
