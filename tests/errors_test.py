"""Tests of what goes wrong in serving."""

import grpc
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from serving.server import errors


class ErrorsTest(parameterized.TestCase):
  @parameterized.parameters(
    (errors.invalid_argument, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.not_found, grpc.StatusCode.NOT_FOUND),
    (errors.failed_precondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.StillLoadingError, grpc.StatusCode.UNAVAILABLE),
  )
  def test_kinds(self, make, code):
    error = make("No.")
    self.assertIsInstance(error, errors.ServingError)
    self.assertEqual((error.code, error.text, str(error)), (code, "No.", "No."))

  def test_long_texts_are_cut(self):
    self.assertLen(errors.not_found("x" * 1024).text, 1024)
    cut = errors.not_found("x" * 1025).text
    self.assertLen(cut, 1024)
    self.assertEqual(cut.strip("x"), "...TRUNCATED")

  @parameterized.parameters(
    (tf.errors.InvalidArgumentError, grpc.StatusCode.INVALID_ARGUMENT),
    (tf.errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (tf.errors.CancelledError, grpc.StatusCode.CANCELLED),
    (tf.errors.ResourceExhaustedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (tf.errors.UnimplementedError, grpc.StatusCode.UNIMPLEMENTED),
    (tf.errors.DataLossError, grpc.StatusCode.DATA_LOSS),
  )
  def test_codes_of_tensorflow(self, kind, code):
    error = errors.from_tensorflow(kind(None, None, "No."))
    self.assertEqual((error.code, error.text), (code, "No."))

  def test_codes_that_nobody_knows(self):
    unknown = tf.errors.OpError(None, None, "No.", 99)
    self.assertEqual(
      errors.from_tensorflow(unknown).code, grpc.StatusCode.UNKNOWN
    )

  def test_what_tensorflow_said_and_no_stack(self):
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


if __name__ == "__main__":
  absltest.main()
