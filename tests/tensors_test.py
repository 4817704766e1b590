"""Tests of reading and writing TensorProto."""

import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.framework import types_pb2

from serving import tensors


class TensorsTest(parameterized.TestCase):
  @parameterized.parameters(
    tf.float16,
    tf.bfloat16,
    tf.float32,
    tf.float64,
    tf.int8,
    tf.uint8,
    tf.int32,
    tf.int64,
    tf.uint32,
    tf.uint64,
    tf.bool,
    tf.complex64,
    tf.complex128,
    tf.string,
  )
  def test_there_and_back(self, dtype):
    for shape in ((), (3,), (3, 1, 2), (0, 4), (5, 7, 11)):
      count = math.prod(shape)
      values = np.arange(count) % 3 - (0 if dtype.is_unsigned else 1)
      array = values.astype(dtype.as_numpy_dtype).reshape(shape)
      if dtype == tf.string:
        array = np.array([b"%d\0" % value for value in values], object)
        array = array.reshape(shape)
      for as_content in (False, True):
        proto = tensors.to_proto(array, as_content)
        self.assertEqual(proto.dtype, dtype.as_datatype_enum)
        # TensorFlow's own reader agrees, and so does ours.
        for read in (tf.make_ndarray(proto), tensors.to_array(proto)):
          self.assertEqual(read.shape, shape)
          np.testing.assert_array_equal(read, array)
        if count and not as_content:
          self.assertEqual(proto.tensor_content, b"")

  def test_rows_of_another_array(self):
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[1:3, ::2]
    np.testing.assert_array_equal(
      tf.make_ndarray(tensors.to_proto(array)), array
    )

  def test_one_value_for_a_whole_shape(self):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.5])
    proto.tensor_shape.CopyFrom(tf.TensorShape([3, 2]).as_proto())
    np.testing.assert_array_equal(tensors.to_array(proto), np.full([3, 2], 1.5))

  def test_malformed_messages(self):
    def proto(shape=(3, 2), **fields):
      fields = {"dtype": types_pb2.DT_FLOAT, "float_val": [1.0]} | fields
      made = tensor_pb2.TensorProto(**fields)
      made.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
      return made

    for malformed in (
      proto(tensor_content=b"short"),
      proto([None, 2]),
      proto(None),
      proto(dtype=types_pb2.DT_INVALID),
      proto(dtype=types_pb2.DT_RESOURCE),
      proto([1], dtype=types_pb2.DT_INT8, int_val=[300]),
      proto([2**40, 2]),
    ):
      with self.subTest(str(malformed)), self.assertRaises(ValueError):
        tensors.to_array(malformed)
