"""Tests of configuration files; manager_test has labels."""

import os

import grpc
from absl.testing import parameterized
from google.protobuf import text_format

from serving.server import batching_parameters
from serving.server import errors
from serving.server import model_configs
from serving.server import text_protos

_GOOD = 'name: "a" base_path: "/a" model_platform: "tensorflow"'


def _parse(*models):
  text = " ".join(f"config {{ {model} }}" for model in models)
  return text_format.Parse(
    f"model_config_list {{ {text} }}", model_configs.ModelServerConfig()
  )


class ModelConfigsTest(parameterized.TestCase):
  def test_good_ones(self):
    model_configs.validate(model_configs.ModelServerConfig())
    model_configs.validate(
      _parse(
        f"{_GOOD} model_version_policy {{ specific {{ versions: 1 }} }}",
        'name: "b" base_path: "/a" model_type: TENSORFLOW',
      )
    )
    config = model_configs.single("demo", "here")
    model_configs.validate(config)
    (model,) = config.model_config_list.config
    self.assertEqual(model.base_path, os.path.abspath("here"))

  @parameterized.parameters(
    ([_GOOD, _GOOD], "Illegal to list model a multiple times in config list"),
    (
      ['name: "a" base_path: "/a"'],
      "Illegal setting neither ModelServerConfig::model_type",
    ),
    (
      [f"{_GOOD} model_type: TENSORFLOW"],
      "Illegal setting both ModelServerConfig::model_type",
    ),
    (
      ['name: "a" base_path: "/a" model_type: OTHER'],
      "unsupported platform model_type 2",
    ),
    (
      ['name: "a" base_path: "/a" model_platform: "caffe"'],
      "Model a requests unsupported platform caffe",
    ),
    (
      ['name: "a" base_path: "b" model_platform: "tensorflow"'],
      "Expected model a to have an absolute path or URI; got base_path..=b",
    ),
    (['base_path: "/a" model_platform: "tensorflow"'], "must have a name"),
    (
      [f"{_GOOD} model_version_policy {{ specific {{}} }}"],
      "specific version policy without versions",
    ),
  )
  def test_bad_ones(self, models, text):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      model_configs.validate(_parse(*models))
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
    path = self.create_tempfile(
      content=text_format.MessageToString(_parse(*models))
    ).full_path
    with self.assertRaisesRegex(ValueError, f"{path}: .*{text}"):
      model_configs.read(path)

  def test_custom_configurations(self):
    config = model_configs.ModelServerConfig()
    config.custom_model_config.SetInParent()
    with self.assertRaisesRegex(errors.ServingError, "not yet support custom"):
      model_configs.validate(config)


class TextProtosTest(parameterized.TestCase):
  def test_messages(self):
    def read(text, kind):
      path = self.create_tempfile(content=text).full_path
      return text_protos.read(path, kind)

    ssl = read(
      'server_key: "a\\nb" server_cert: "c" # Reason.\n client_verify: true',
      text_protos.SSLConfig,
    )
    self.assertEqual(
      (ssl.server_key, ssl.server_cert, ssl.custom_ca, ssl.client_verify),
      ("a\nb", "c", "", True),
    )
    monitoring = read(
      'prometheus_config { path: "/x" }', text_protos.MonitoringConfig
    )
    self.assertEqual(monitoring.prometheus_config.path, "/x")

  @parameterized.parameters(
    "improperly formatted file contents",
    "model_config_list: {",
    "no_such_field: 1",
  )
  def test_other_contents(self, text):
    path = self.create_tempfile(content=text).full_path
    with self.assertRaisesRegex(
      # TensorFlow Serving's own test looks for these words.
      ValueError,
      f"Invalid protobuf file: '{path}'.*ModelServerConfig",
    ):
      model_configs.read(path)

  def test_unreadable_files(self):
    folder = self.create_tempdir().full_path
    for path in (folder, os.path.join(folder, "missing")):
      with self.assertRaisesRegex(ValueError, path):
        text_protos.read(path, text_protos.SSLConfig)


class BatchingParametersTest(parameterized.TestCase):
  def _read(self, text):
    path = self.create_tempfile(content=text).full_path
    return batching_parameters.read(path)

  def test_reads_a_file(self):
    # As in TensorFlow Serving's tests.
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
    self.assertEqual((parameters.max_batch_size, parameters.largest), (8, 4))
    for size, error in (
      ("max_execution_batch_size { value: 9 }", "from 1 to max_batch_size"),
      (
        "max_execution_batch_size { value: 4 } allowed_batch_sizes: 8",
        "must match max_execution_batch_size; last entry was 8; expected 4",
      ),
    ):
      with self.assertRaisesRegex(ValueError, error):
        self._read(
          "max_batch_size { value: 8 } "
          f"enable_large_batch_splitting {{ value: true }} {size}"
        )

  @parameterized.parameters(
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
  )
  def test_refuses(self, text, error):
    with self.assertRaisesRegex(ValueError, error):
      self._read(text)
