"""Configuration files of TensorFlow Serving, in protobuf's text form.

Its Python package lacks SSLConfig, MonitoringConfig and BatchingParameters:
they are defined here. Field numbers are irrelevant in text form.
"""

import os
from typing import TypeVar

from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from google.protobuf import message
from google.protobuf import message_factory
from google.protobuf import text_format
from google.protobuf import wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_Message = TypeVar("_Message", bound=message.Message)
_INT = ".google.protobuf.Int64Value"
_WRAPPERS = "google/protobuf/wrappers.proto"

# Message -> field -> type: a scalar type, or the name of a message.
_MESSAGES = {
  "SSLConfig": {
    "server_key": _Field.TYPE_STRING,
    "server_cert": _Field.TYPE_STRING,
    "custom_ca": _Field.TYPE_STRING,
    "client_verify": _Field.TYPE_BOOL,
  },
  "PrometheusConfig": {
    "enable": _Field.TYPE_BOOL,
    "path": _Field.TYPE_STRING,
  },
  "MonitoringConfig": {
    "prometheus_config": ".tensorflow.serving.PrometheusConfig",
  },
  "BatchingParameters": {
    "max_batch_size": _INT,
    "batch_timeout_micros": _INT,
    "max_enqueued_batches": _INT,
    "num_batch_threads": _INT,
    "thread_pool_name": ".google.protobuf.StringValue",
    "allowed_batch_sizes": _Field.TYPE_INT64,
    "pad_variable_length_inputs": _Field.TYPE_BOOL,
    "enable_large_batch_splitting": ".google.protobuf.BoolValue",
    "max_execution_batch_size": _INT,
  },
}
_REPEATED = {"allowed_batch_sizes"}


def _make():
  # A separate pool: the names may exist elsewhere in the process.
  pool = descriptor_pool.DescriptorPool()
  pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
  file = descriptor_pb2.FileDescriptorProto(
    name="serving/text_protos.proto",
    package="tensorflow.serving",
    syntax="proto3",
    dependency=[_WRAPPERS],
  )
  for name, fields in _MESSAGES.items():
    described = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields.items(), 1):
      added = described.field.add(name=field, number=number)
      added.label = (
        _Field.LABEL_REPEATED if field in _REPEATED else _Field.LABEL_OPTIONAL
      )
      if isinstance(kind, str):
        added.type, added.type_name = _Field.TYPE_MESSAGE, kind
      else:
        added.type = kind
  pool.Add(file)
  return [
    message_factory.GetMessageClass(
      pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
    )
    for name in _MESSAGES
  ]


SSLConfig, _, MonitoringConfig, BatchingParameters = _make()


def read(path: str, kind: type[_Message]) -> _Message:
  """Reads a message in text form from a file.

  Raises:
    ValueError: The file cannot be read, or is not such a message; the text has
      the position.
  """
  try:
    with open(path, encoding="utf-8") as file:
      text = file.read()
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f"{os.path.abspath(path)}: {error}") from error
  try:
    return text_format.Parse(text, kind())
  except text_format.ParseError as error:
    raise ValueError(
      # TensorFlow Serving's own tests look for these words.
      f"Invalid protobuf file: '{path}': Error parsing text-format "
      f"{kind.DESCRIPTOR.full_name}: {error}"
    ) from error
