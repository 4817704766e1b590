"""Tests of errors and the codes that callers get."""

import grpc
import tensorflow as tf
from absl.testing import parameterized

from serving.server import errors


class ErrorsTest(parameterized.TestCase):
  def test_long_texts_are_cut(self):
    self.assertLen(errors.not_found("x" * 1024).text, 1024)
    cut = errors.not_found("x" * 1025).text
    self.assertEqual(cut, "x" * 1024 + "...TRUNCATED")

  @parameterized.parameters(
    (tf.errors.InvalidArgumentError, grpc.StatusCode.INVALID_ARGUMENT),
    (tf.errors.CancelledError, grpc.StatusCode.CANCELLED),
    (tf.errors.DataLossError, grpc.StatusCode.DATA_LOSS),
    (lambda *args: tf.errors.OpError(*args, 99), grpc.StatusCode.UNKNOWN),
  )
  def test_codes_of_tensorflow(self, kind, code):
    error = errors.from_tensorflow(kind(None, None, "No."))
    self.assertEqual((error.code, error.text), (code, "No."))

  def test_tensorflows_message_without_its_stack(self):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      x = tf.compat.v1.placeholder(tf.float32, name="x")
      checked = tf.debugging.check_numerics(x, "x must be finite")
      with self.assertRaises(tf.errors.OpError) as caught:
        session.run(checked, {x: float("nan")})
    self.assertIn("Detected at node", caught.exception.message)
    error = errors.from_tensorflow(caught.exception)
    self.assertEqual(error.code, grpc.StatusCode.INVALID_ARGUMENT)
    self.assertStartsWith(error.text, "x must be finite")
    self.assertNotIn("Detected at node", error.text)
