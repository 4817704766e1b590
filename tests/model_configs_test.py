"""Tests of what a server may be asked to serve; manager_test has labels."""

import os

import grpc
from absl.testing import absltest
from absl.testing import parameterized
from google.protobuf import text_format

from serving.server import errors
from serving.server import model_configs

_GOOD = 'name: "a" base_path: "/a" model_platform: "tensorflow"'


def _parse(*models):
  text = " ".join(f"config {{ {model} }}" for model in models)
  return text_format.Parse(
    f"model_config_list {{ {text} }}", model_configs.ModelServerConfig()
  )


class ModelConfigsTest(parameterized.TestCase):
  def test_good_ones(self):
    model_configs.validate(_parse())
    model_configs.validate(
      _parse(
        f"{_GOOD} model_version_policy {{ specific {{ versions: 1 }} }}",
        'name: "b" base_path: "/a" model_type: TENSORFLOW',
      )
    )
    model_configs.validate(model_configs.ModelServerConfig())

  def test_one_model(self):
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
      "choice 2 not supported",
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


if __name__ == "__main__":
  absltest.main()
