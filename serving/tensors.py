"""TensorProto to numpy and back, as TensorFlow Serving reads and writes it."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

# The field of a TensorProto that holds the values of a dtype, and the numpy
# type its elements are written as (_FIELDS) or seen as (_VIEWS: half floats
# travel as their 16 bits, complex numbers as two reals).
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
# A few bytes can spell a tensor that fills the memory, since one value may
# stand for a whole shape. No message may be larger than this, so no tensor is.
_LARGEST = 2**31


def to_array(proto: tensor_pb2.TensorProto) -> np.ndarray:
  """Reads a tensor: typed values, tensor_content, or one value for them all.

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
    return tf.make_ndarray(proto)
  except (TypeError, KeyError) as error:
    raise ValueError(f"unsupported type {proto.dtype}") from error


def to_proto(
  array: np.ndarray, as_content: bool = False
) -> tensor_pb2.TensorProto:
  """Writes a tensor.

  Args:
    array: Any shape; strings as an array of `bytes` objects.
    as_content: Whether to write the values as one string of bytes,
      `tensor_content`, rather than in the field of their type. Smaller and
      faster, but some clients read the typed fields only.
  """
  if isinstance(array, bytes):  # A scalar; numpy's own bytes drop end zeros.
    array = np.array(array, object)
  array = np.asarray(array)
  dtype = tf.as_dtype(array.dtype)
  proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
  for size in array.shape:
    proto.tensor_shape.dim.add(size=size)
  if dtype in _FIELDS and (dtype == tf.string or not as_content):
    field, element = _FIELDS[dtype]
    values = array.ravel().astype(element, copy=False)
    getattr(proto, field).extend(values.tolist())
  elif dtype in _VIEWS and not as_content:
    field, element = _VIEWS[dtype]
    getattr(proto, field).extend(array.ravel().view(element).tolist())
  else:
    proto.tensor_content = array.tobytes()
  return proto
