"""The RPCs of TensorFlow Serving: PredictionService and ModelService.

They answer as `tensorflow_model_server` does, code by code and text by text,
so that a client need not know which of the two it talks to. What is not done
here says UNIMPLEMENTED: Classify, Regress, MultiInference (they take
tf.Example and serve another kind of model) and HandleReloadConfigRequest.
"""

import functools
import logging
import math
from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving import errors
from serving import servables
from serving import tensors


def predict(
  servable: servables.Servable,
  signature: meta_graph_pb2.SignatureDef,
  inputs: Mapping[str, np.ndarray],
  output_filter: Sequence[str] = (),
  timeout: float = math.inf,
) -> dict[str, np.ndarray]:
  """Runs one signature: checks names and types, feeds, fetches.

  Args:
    servable: The model.
    signature: One of its signatures.
    inputs: A value for each input of the signature that has no default.
    output_filter: The outputs to return; none means all.
    timeout: Seconds after which the graph is stopped.

  Returns:
    Values by output name.

  Raises:
    ServingError: With the code and the text that a caller should get.
  """
  feeds = _feeds(signature, inputs)
  for position, name in enumerate(output_filter):
    if name not in signature.outputs:
      raise errors.invalid_argument(
        f"output tensor alias not found in signature: {name} Outputs expected "
        f"to be in the set {_set(signature.outputs)}."
      )
    if name in output_filter[:position]:
      raise errors.invalid_argument(f"duplicate output tensor alias: {name}")
  names = list(output_filter) or sorted(signature.outputs)
  fetches = [signature.outputs[name].name for name in names]
  return dict(zip(names, servable.run(feeds, fetches, timeout)))


def _feeds(signature, inputs):
  """Returns the values to feed by tensor name, defaults filled in."""
  expected = signature.inputs
  missing = set(expected) - set(inputs) - set(signature.defaults)
  if len(inputs) > len(expected) or (
    len(inputs) < len(expected) and not signature.defaults
  ):
    raise errors.invalid_argument(
      f"input size does not match signature: {len(inputs)}!={len(expected)} "
      f"len({_set(inputs)}) != len({_set(expected)}). "
      f"Sent extra: {_set(set(inputs) - set(expected))}. "
      f"Missing but required: {_set(missing)}."
    )
  for name in sorted(inputs):
    if name not in expected:
      raise errors.invalid_argument(
        f"input tensor alias not found in signature: {name}. Inputs expected "
        f"to be in the set {_set(expected)}."
      )
  if missing:
    raise errors.invalid_argument(f"Missing but required: {_set(missing)}.")
  feeds = {}
  for position, name in enumerate(sorted(expected)):
    value = inputs.get(name)
    if value is None:
      value = tensors.to_array(signature.defaults[name])
    given, wanted = tf.as_dtype(value.dtype), expected[name].dtype
    # A session would quietly convert what it can: 0.7 to the integer 0.
    if given.as_datatype_enum != wanted:
      raise errors.invalid_argument(
        f"Expects arg[{position}] to be {_type_name(wanted)} but "
        f"{_type_name(given.as_datatype_enum)} is provided: input {name}"
      )
    feeds[expected[name].name] = value
  return feeds


def _set(names):
  return "{" + ",".join(sorted(names)) + "}"


def _type_name(enum):
  """Returns a type as TensorFlow's messages name it: DT_FLOAT is float."""
  return types_pb2.DataType.Name(enum).removeprefix("DT_").lower()


def _require_spec(request):
  if not request.HasField("model_spec"):
    raise errors.invalid_argument("Missing ModelSpec")


def _array(name, proto):
  try:
    return tensors.to_array(proto)
  except ValueError as error:
    raise errors.invalid_argument(f"tensor parsing error: {name}") from error


def _resolve(servable, spec):
  """Writes into a response which version answered."""
  spec.name = servable.name
  spec.version.value = servable.version


def _answers_errors(method):
  """Makes a ServingError, or any other, the status of the call."""

  @functools.wraps(method)
  def call(self, request, context):
    try:
      return method(self, request, context)
    except errors.ServingError as error:
      code, text = error.code, error.text
    except Exception as error:  # noqa: BLE001  The caller must get an answer.
      logging.exception("%s failed", method.__name__)
      failure = errors.ServingError(grpc.StatusCode.INTERNAL, str(error))
      code, text = failure.code, failure.text
    # Outside of `except`: abort raises, and would log what it replaces.
    return context.abort(code, text)

  return call


def _unimplemented(self, request, context):
  """Answers an RPC that only a real TensorFlow Serving does."""
  context.abort(
    grpc.StatusCode.UNIMPLEMENTED,
    "Not done by this server: use Predict, or a TensorFlow Serving.",
  )


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
  """Predict and GetModelMetadata."""

  def __init__(self, models: servables.Servables, tensor_content: bool = False):
    """Creates the service.

    Args:
      models: The models.
      tensor_content: Whether outputs are written as `tensor_content` and not
        in the field of their type.
    """
    self._models = models
    self._tensor_content = tensor_content

  @_answers_errors
  def Predict(self, request, context):
    _require_spec(request)
    servable = self._models.find(request.model_spec)
    signature_name = (
      request.model_spec.signature_name
      or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    )
    outputs = predict(
      servable,
      servable.signature(signature_name),
      {name: _array(name, proto) for name, proto in request.inputs.items()},
      request.output_filter,
      # Infinite where the caller set no deadline.
      context.time_remaining(),
    )
    response = predict_pb2.PredictResponse()
    _resolve(servable, response.model_spec)
    response.model_spec.signature_name = signature_name
    for name, value in outputs.items():
      response.outputs[name].CopyFrom(
        tensors.to_proto(value, self._tensor_content)
      )
    return response

  Classify = _unimplemented
  Regress = _unimplemented
  MultiInference = _unimplemented

  @_answers_errors
  def GetModelMetadata(self, request, context):
    _require_spec(request)
    if not request.metadata_field:
      raise errors.invalid_argument(
        "GetModelMetadataRequest must specify at least one metadata_field"
      )
    for field in request.metadata_field:
      if field != "signature_def":
        raise errors.invalid_argument(
          f"Metadata field {field} is not supported"
        )
    servable = self._models.find(request.model_spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
      signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    _resolve(servable, response.model_spec)
    response.metadata["signature_def"].Pack(signatures)
    return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
  """GetModelStatus."""

  def __init__(self, models: servables.Servables):
    self._models = models

  HandleReloadConfigRequest = _unimplemented

  @_answers_errors
  def GetModelStatus(self, request, context):
    _require_spec(request)
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state in self._models.states(request.model_spec).items():
      status = response.model_version_status.add(version=version, state=state)
      status.status.SetInParent()  # Error code 0: OK.
    return response
