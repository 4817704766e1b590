"""Checks a call against a signature, with TensorFlow Serving's messages."""

from collections.abc import Mapping, Sequence

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving import tensors
from serving.server import errors


def feeds(
  signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Returns the values to feed, by tensor name, including defaults.

  Raises:
    ServingError: An input is missing, unknown, or of another type.
  """
  expected = signature.inputs
  names = sorted(expected)
  if sorted(inputs) != names:
    _check_names(signature, inputs)
  fed = {}
  for position, name in enumerate(names):
    value = inputs.get(name)
    if value is None:
      value = tensors.to_array(signature.defaults[name])
    given = tensors.type_of(value)
    wanted = expected[name].dtype
    # A session would convert silently, such as 0.7 to the integer 0.
    if given != wanted:
      raise errors.invalid_argument(
        f"Expects arg[{position}] to be {tensors.type_name(wanted)} but "
        f"{tensors.type_name(given)} is provided: input {name}"
      )
    fed[expected[name].name] = value
  return fed


def outputs(
  signature: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]
) -> list[str]:
  """Returns the names of the requested outputs; all without a filter.

  Raises:
    ServingError: The filter names an output twice, or an unknown one.
  """
  for position, name in enumerate(output_filter):
    if name not in signature.outputs:
      raise errors.invalid_argument(
        f"output tensor alias not found in signature: {name} Outputs expected "
        f"to be in the set {_set(signature.outputs)}."
      )
    if name in output_filter[:position]:
      raise errors.invalid_argument(f"duplicate output tensor alias: {name}")
  return list(output_filter) or sorted(signature.outputs)


def _check_names(signature, inputs):
  """Raises for unknown inputs, and for missing ones without a default."""
  expected = signature.inputs
  if len(inputs) > len(expected) or (
    len(inputs) < len(expected) and not signature.defaults
  ):
    raise errors.invalid_argument(
      f"input size does not match signature: {len(inputs)}!={len(expected)} "
      f"len({_set(inputs)}) != len({_set(expected)}). "
      f"Sent extra: {_set(set(inputs) - set(expected))}. "
      f"Missing but required: {_set(set(expected) - set(inputs))}."
    )
  for name in sorted(expected):
    if name not in inputs and name not in signature.defaults:
      raise errors.invalid_argument(
        f"Signature input alias: {name}(feed name: {expected[name].name}) not "
        "found in request and no default value provided. Inputs expected to be "
        f"in the request {_set(inputs)}, or default input alias set: "
        f"{_list(signature.defaults)}"
      )
  if unknown := set(inputs) - set(expected):
    raise errors.invalid_argument(
      "Inputs contains invalid name. Used request inputs: "
      f"{_list(set(inputs) - unknown)}, request input: {_list(inputs)}"
    )


def _list(names):
  return ",".join(sorted(names))


def _set(names):
  return "{" + _list(names) + "}"
