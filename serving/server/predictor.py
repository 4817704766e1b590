"""Runs signatures: checks what is sent, feeds the graph, fetches the outputs.

Both interfaces, gRPC and REST, come here, and get the codes and texts of
`tensorflow_model_server`.
"""

from collections.abc import Callable, Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.server import errors
from serving.server import interrupts
from serving.server import servables
from serving.server import tensors

# Feeds and fetches as `Servable.run` does, perhaps together with other calls.
Run = Callable[
  [
    servables.Servable,
    Mapping[str, np.ndarray],
    Sequence[str],
    interrupts.Interrupt | None,
  ],
  list[np.ndarray],
]

_DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_METHODS = (
  tf.saved_model.PREDICT_METHOD_NAME,
  tf.saved_model.CLASSIFY_METHOD_NAME,
  tf.saved_model.REGRESS_METHOD_NAME,
)


def predict(
  servable: servables.Servable,
  signature: meta_graph_pb2.SignatureDef,
  inputs: Mapping[str, np.ndarray],
  output_filter: Sequence[str] = (),
  interrupt: interrupts.Interrupt | None = None,
  run: Run = servables.Servable.run,
) -> dict[str, np.ndarray]:
  """Runs one signature.

  Args:
    servable: The model.
    signature: One of its signatures.
    inputs: A value for each input of the signature that has no default.
    output_filter: The outputs to return; none means all.
    interrupt: Lets another thread stop it.
    run: What runs the graph.

  Returns:
    Values by output name.

  Raises:
    ServingError: With the code and the text that a caller should get.
  """
  if servable.check_methods and signature.method_name not in _METHODS:
    raise errors.ServingError(
      grpc.StatusCode.INTERNAL,
      "Expected prediction signature method_name to be one of "
      f"{{{', '.join(_METHODS)}}}. Was: {signature.method_name}",
    )
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
  return dict(zip(names, run(servable, feeds, fetches, interrupt)))


def answer(
  servable: servables.Servable,
  request: predict_pb2.PredictRequest,
  interrupt: interrupts.Interrupt | None = None,
  run: Run = servables.Servable.run,
) -> tuple[str, dict[str, np.ndarray]]:
  """Answers a request by one model; returns the signature's name and outputs.

  Raises:
    ServingError: With the code and the text that a caller should get.
  """
  name = request.model_spec.signature_name or _DEFAULT
  signature = servable.signature(name)
  inputs = {key: _array(key, proto) for key, proto in request.inputs.items()}
  outputs = predict(
    servable, signature, inputs, request.output_filter, interrupt, run
  )
  return name, outputs


def _feeds(signature, inputs):
  """Returns the values to feed by tensor name, defaults filled in."""
  expected = signature.inputs
  names = sorted(expected)
  if sorted(inputs) != names:
    _check_names(signature, inputs)
  feeds = {}
  for position, name in enumerate(names):
    value = inputs.get(name)
    if value is None:
      value = tensors.to_array(signature.defaults[name])
    given = tensors.type_of(value)
    wanted = expected[name].dtype
    # A session would quietly convert what it can: 0.7 to the integer 0.
    if given != wanted:
      raise errors.invalid_argument(
        f"Expects arg[{position}] to be {tensors.type_name(wanted)} but "
        f"{tensors.type_name(given)} is provided: input {name}"
      )
    feeds[expected[name].name] = value
  return feeds


def _check_names(signature, inputs):
  """Refuses inputs that there are not, and their absence if needed."""
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


def _array(name, proto):
  try:
    return tensors.to_array(proto)
  except ValueError as error:
    raise errors.invalid_argument(f"tensor parsing error: {name}") from error


def _set(names):
  return "{" + ",".join(sorted(names)) + "}"
