"""Tests of configuration files."""

import os

from absl.testing import absltest
from absl.testing import parameterized

from serving.server import model_configs
from serving.server import text_protos


class TextProtosTest(parameterized.TestCase):
  def _read(self, text, kind):
    self.path = self.create_tempfile(content=text).full_path
    return text_protos.read(self.path, kind)

  def test_messages(self):
    ssl = self._read(
      'server_key: "a\\nb" server_cert: "c" custom_ca: "d" client_verify: true',
      text_protos.SSLConfig,
    )
    self.assertEqual(
      (ssl.server_key, ssl.server_cert, ssl.custom_ca, ssl.client_verify),
      ("a\nb", "c", "d", True),
    )
    monitoring = self._read(
      'prometheus_config { enable: true path: "/x" }',
      text_protos.MonitoringConfig,
    )
    self.assertEqual(monitoring.prometheus_config.path, "/x")
    batching = self._read(
      "max_batch_size { value: 8 } allowed_batch_sizes: 2 # Reason.\n"
      "allowed_batch_sizes: 8",
      text_protos.BatchingParameters,
    )
    self.assertEqual(batching.max_batch_size.value, 8)
    self.assertFalse(batching.HasField("num_batch_threads"))
    self.assertSequenceEqual(batching.allowed_batch_sizes, [2, 8])

  @parameterized.parameters(
    "improperly formatted file contents",
    "model_config_list: {",
    "no_such_field: 1",
  )
  def test_what_is_none(self, text):
    with self.assertRaisesRegex(ValueError, "ModelServerConfig") as caught:
      self._read(text, model_configs.ModelServerConfig)
    # What TensorFlow Serving's own test looks for.
    self.assertIn(
      f"Invalid protobuf file: '{self.path}'", str(caught.exception)
    )

  def test_what_cannot_be_read(self):
    folder = self.create_tempdir().full_path
    for path in (folder, os.path.join(folder, "missing")):
      with self.assertRaisesRegex(ValueError, path):
        text_protos.read(path, text_protos.SSLConfig)


if __name__ == "__main__":
  absltest.main()
