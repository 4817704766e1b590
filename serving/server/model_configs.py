"""ModelServerConfig: the models of a server, their folders and versions."""

import os
from collections.abc import Collection, Mapping

from tensorflow_serving.config import model_server_config_pb2

from serving.server import errors
from serving.server import text_protos

ModelConfig = model_server_config_pb2.ModelConfig
ModelServerConfig = model_server_config_pb2.ModelServerConfig
PLATFORM = "tensorflow"


def single(name: str, base_path: str) -> ModelServerConfig:
  """Returns the configuration of one model."""
  config = ModelServerConfig()
  config.model_config_list.config.add(
    name=name, base_path=os.path.abspath(base_path), model_platform=PLATFORM
  )
  return config


def read(path: str) -> ModelServerConfig:
  """Reads a file, a ModelServerConfig in text form.

  Raises:
    ValueError: The file cannot be read, or is not valid.
  """
  config = text_protos.read(path, ModelServerConfig)
  try:
    validate(config)
  except errors.ServingError as error:
    raise ValueError(f"{path}: {error.text}") from error
  return config


def validate(config: ModelServerConfig) -> None:
  """Checks a configuration, without reading any files.

  Raises:
    ServingError: A model's entry is not valid.
  """
  if config.WhichOneof("config") == "custom_model_config":
    raise errors.invalid_argument(
      "ModelServer does not yet support custom model config."
    )
  seen = set()
  for model in config.model_config_list.config:
    if not model.name:
      raise errors.invalid_argument("Every model must have a name.")
    if model.name in seen:
      raise errors.invalid_argument(
        f"Illegal to list model {model.name} multiple times in config list"
      )
    seen.add(model.name)
    _validate_platform(model)
    if not os.path.isabs(model.base_path):
      raise errors.invalid_argument(
        f"Expected model {model.name} to have an absolute path or URI; got "
        f"base_path()={model.base_path}"
      )
    policy = model.model_version_policy
    if policy.HasField("specific") and not policy.specific.versions:
      raise errors.invalid_argument(
        f"Model {model.name} has a specific version policy without versions."
      )


def validate_labels(
  config: ModelServerConfig,
  known: Mapping[str, Mapping[str, int]],
  available: Mapping[str, Collection[int]],
  allow_unavailable: bool,
) -> None:
  """Checks that labels name versions that are available.

  Args:
    config: The new configuration.
    known: By model, its current labels.
    available: By model, its available versions.
    allow_unavailable: Whether a new label may name an unavailable version.

  Raises:
    ServingError: A label names a version that is not available.
  """
  for model in config.model_config_list.config:
    before = known.get(model.name, {})
    for label, version in model.version_labels.items():
      moved = before.get(label, version) != version
      if version in available.get(model.name, ()):
        continue
      if moved or not allow_unavailable:
        raise errors.failed_precondition(
          f"Request to assign label to version {version} of model "
          f"{model.name}, which is not currently available for inference"
        )


def _validate_platform(model):
  """Checks the platform, or the deprecated model_type."""
  given = model.model_platform
  if model.model_type != model_server_config_pb2.MODEL_TYPE_UNSPECIFIED:
    if given:
      raise errors.invalid_argument(
        "Illegal setting both ModelServerConfig::model_type (deprecated) and "
        "ModelServerConfig::model_platform."
      )
    known = model.model_type == model_server_config_pb2.TENSORFLOW
    given = PLATFORM if known else f"model_type {model.model_type}"
  if not given:
    raise errors.invalid_argument(
      "Illegal setting neither ModelServerConfig::model_type (deprecated) "
      "nor ModelServerConfig::model_platform."
    )
  if given != PLATFORM:
    raise errors.invalid_argument(
      f"Model {model.name} requests unsupported platform {given}"
    )
