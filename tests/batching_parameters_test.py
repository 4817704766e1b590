"""Tests of the file that says how calls are put together."""

from absl.testing import absltest
from absl.testing import parameterized

from serving.server import batching_parameters


class ParametersTest(parameterized.TestCase):
  def _read(self, text):
    path = self.create_tempfile(content=text).full_path
    return batching_parameters.read(path)

  def test_reads_a_file(self):
    # As TensorFlow Serving's own file for its tests.
    self.assertEqual(
      self._read(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 2500 }\n"
        "max_enqueued_batches { value: 7 }\nnum_batch_threads { value: 3 }\n"
        "allowed_batch_sizes: 64\nallowed_batch_sizes: 128\n"
        "pad_variable_length_inputs: true\n"
        'thread_pool_name { value: "mine" }'
      ),
      batching_parameters.Parameters(128, 0.0025, 7, 3, (64, 128), True),
    )
    self.assertEqual(self._read(""), batching_parameters.Parameters())

  def test_reads_how_large_calls_are_split(self):
    text = "max_batch_size { value: 8 } max_execution_batch_size { value: 4 }"
    self.assertEqual(self._read(text).largest, 8)
    text += " enable_large_batch_splitting { value: true }"
    parameters = self._read(text + " allowed_batch_sizes: [2, 4]")
    self.assertEqual(parameters.max_batch_size, 8)
    self.assertEqual(parameters.largest, 4)

  @parameterized.parameters(
    (
      "max_batch_size { value: 8 } max_execution_batch_size { value: 9 } "
      "enable_large_batch_splitting { value: true }",
      "max_execution_batch_size must be from 1 to max_batch_size",
    ),
    (
      "max_batch_size { value: 8 } max_execution_batch_size { value: 4 } "
      "enable_large_batch_splitting { value: true } allowed_batch_sizes: 8",
      "must match max_execution_batch_size; last entry was 8; expected 4",
    ),
    ("max_batch_size { value: 0 }", "max_batch_size must be 1 or more"),
    ("num_batch_threads { value: -1 }", "threads must be 1 or more"),
    ("batch_timeout_micros { value: -1 }", "must not be below 0"),
    (
      "max_batch_size { value: 8 } allowed_batch_sizes: 4",
      "Last entry in allowed_batch_sizes must match max_batch_size",
    ),
    (
      "max_batch_size { value: 8 } allowed_batch_sizes: [8, 4, 8]",
      "monotonically increasing",
    ),
    ("max_size { value: 8 }", "Invalid protobuf file"),
  )
  def test_refuses(self, text, error):
    with self.assertRaisesRegex(ValueError, error):
      self._read(text)


if __name__ == "__main__":
  absltest.main()
