"""Classify, Regress and MultiInference: signatures that take tf.Example.

What a signature must look like, and what is said if it does not, is
TensorFlow Serving's: one input "inputs"; "classes" and "scores" of a
classification, [rows, classes]; "outputs" of a regression, a number a row.
"""

from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import input_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import errors
from serving.server import examples
from serving.server import interrupts
from serving.server import predictor
from serving.server import servables
from serving.server import tensors

_CLASSIFY = tf.saved_model.CLASSIFY_METHOD_NAME
_REGRESS = tf.saved_model.REGRESS_METHOD_NAME
_INPUTS = tf.saved_model.CLASSIFY_INPUTS  # And of a regression.
_CLASSES = tf.saved_model.CLASSIFY_OUTPUT_CLASSES
_SCORES = tf.saved_model.CLASSIFY_OUTPUT_SCORES
_OUTPUTS = tf.saved_model.REGRESS_OUTPUTS
_KINDS = {_CLASSIFY: "classification", _REGRESS: "regression"}


def classify(
  servable: servables.Servable,
  request: classification_pb2.ClassificationRequest,
  interrupt: interrupts.Interrupt | None = None,
  run: predictor.Run = servables.Servable.run,
) -> classification_pb2.ClassificationResponse:
  """Answers a request by one model.

  Raises:
    ServingError: With the code and the text that a caller should get.
  """
  signature = _signature(servable, request.model_spec, _CLASSIFY)
  outputs = _run(servable, [signature], request.input, interrupt, run)
  response = classification_pb2.ClassificationResponse()
  _write_classes(signature, *outputs, response.result)
  _resolve(servable, request.model_spec, response.model_spec)
  return response


def regress(
  servable: servables.Servable,
  request: regression_pb2.RegressionRequest,
  interrupt: interrupts.Interrupt | None = None,
  run: predictor.Run = servables.Servable.run,
) -> regression_pb2.RegressionResponse:
  """Answers a request by one model.

  Raises:
    ServingError: With the code and the text that a caller should get.
  """
  signature = _signature(servable, request.model_spec, _REGRESS)
  outputs = _run(servable, [signature], request.input, interrupt, run)
  response = regression_pb2.RegressionResponse()
  _write_values(signature, *outputs, response.result)
  _resolve(servable, request.model_spec, response.model_spec)
  return response


def multi_inference(
  servable: servables.Servable,
  request: inference_pb2.MultiInferenceRequest,
  interrupt: interrupts.Interrupt | None = None,
  run: predictor.Run = servables.Servable.run,
) -> inference_pb2.MultiInferenceResponse:
  """Answers several questions about the same examples, by one run.

  Raises:
    ServingError: With the code and the text that a caller should get.
  """
  signatures = {}
  for task in request.tasks:
    name = _name(task.model_spec)
    if not task.model_spec.name:
      raise errors.invalid_argument("Found ModelSpec with an empty model name.")
    if task.model_spec.name != request.tasks[0].model_spec.name:
      raise errors.invalid_argument(
        "All ModelSpecs in a MultiInferenceRequest must access the same model "
        "name."
      )
    if name in signatures:
      raise errors.invalid_argument(
        f"Duplicate evaluation of signature: {name}"
      )
    if name not in servable.signatures:
      raise errors.invalid_argument(
        f"Requested signature not found in model graph: {name}"
      )
    signatures[name] = servable.signatures[name]
    _check(servable, signatures[name], task.method_name)
  outputs = _run(
    servable, list(signatures.values()), request.input, interrupt, run
  )
  response = inference_pb2.MultiInferenceResponse()
  for task in request.tasks:
    result = response.results.add()
    signature = signatures[_name(task.model_spec)]
    if task.method_name == _CLASSIFY:
      _write_classes(signature, *outputs, result.classification_result)
    else:
      _write_values(signature, *outputs, result.regression_result)
    _resolve(servable, task.model_spec, result.model_spec)
  return response


def _name(spec):
  return spec.signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def _signature(servable, spec, method):
  name = _name(spec)
  if name not in servable.signatures:
    raise errors.invalid_argument(
      f"No signature was found with the name: {name}"
    )
  _check(servable, servable.signatures[name], method)
  return servable.signatures[name]


def _check(
  servable: servables.Servable,
  signature: meta_graph_pb2.SignatureDef,
  method: str,
) -> None:
  """Checks that a signature can be asked by a method.

  Raises:
    ServingError: It cannot.
  """
  if method not in _KINDS:
    raise errors.ServingError(
      grpc.StatusCode.UNIMPLEMENTED,
      f"Unsupported signature method_name: {method}",
    )
  kind = _KINDS[method]
  if servable.check_methods and signature.method_name != method:
    raise errors.invalid_argument(
      f"Expected {kind} signature method_name to be {method}. Was: "
      f"{signature.method_name}"
    )
  if len(signature.inputs) != 1:
    raise errors.invalid_argument("Expected one input Tensor.")
  if method == _REGRESS and len(signature.outputs) != 1:
    raise errors.invalid_argument("Expected one output Tensor.")
  if len(signature.outputs) not in (1, 2):
    raise errors.invalid_argument(
      f"Expected one or two output Tensors, found {len(signature.outputs)}"
    )
  if _INPUTS not in signature.inputs:
    raise errors.failed_precondition(
      f"No {kind} inputs found in SignatureDef: {signature}"
    )
  if method == _REGRESS and _OUTPUTS not in signature.outputs:
    raise errors.failed_precondition(
      f"No regression outputs found in SignatureDef: {signature}"
    )
  if method == _CLASSIFY and not {_CLASSES, _SCORES} & set(signature.outputs):
    raise errors.failed_precondition(
      "Expected classification signature outputs to contain at least one of "
      f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature}'
    )


def _run(
  servable: servables.Servable,
  signatures: Sequence[meta_graph_pb2.SignatureDef],
  given: input_pb2.Input,
  interrupt: interrupts.Interrupt | None,
  run: predictor.Run,
) -> tuple[int, dict[str, np.ndarray]]:
  """Returns how many examples there are, and values by tensor name."""
  rows = examples.serialize(given)
  feeds = {}
  for signature in signatures:
    info = signature.inputs[_INPUTS]
    # A session would read numbers out of the strings, if it could.
    if info.dtype != types_pb2.DT_STRING:
      raise errors.invalid_argument(
        f"Expects arg[0] to be {tensors.type_name(info.dtype)} but string is "
        "provided"
      )
    feeds[info.name] = rows
  fetches = sorted(
    {
      signature.outputs[name].name
      for signature in signatures
      for name in (_CLASSES, _SCORES, _OUTPUTS)
      if name in signature.outputs
    }
  )
  values = run(servable, feeds, fetches, interrupt)
  return len(rows), dict(zip(fetches, map(np.asarray, values)))


def _write_classes(
  signature: meta_graph_pb2.SignatureDef,
  count: int,
  values: Mapping[str, np.ndarray],
  result: classification_pb2.ClassificationResult,
) -> None:
  found = {}
  for name, dtype in (
    (_CLASSES, types_pb2.DT_STRING),
    (_SCORES, types_pb2.DT_FLOAT),
  ):
    if name not in signature.outputs:
      continue
    value = values[signature.outputs[name].name]
    if value.ndim != 2:
      raise errors.invalid_argument(
        "Expected Tensor shape: [batch_size num_classes] but got "
        f"{_shape(value)}"
      )
    _check_type(value, dtype, f"Expected {name} Tensor of {{}}. Got: {{}}")
    if len(value) != count:
      raise errors.invalid_argument(
        f"Expected {name} output batch size of {count}. Got: {len(value)}"
      )
    found[name] = value.tolist()
  labels, scores = found.get(_CLASSES), found.get(_SCORES)
  if labels and scores and len(labels[0]) != len(scores[0]):
    raise errors.invalid_argument(
      "Tensors class and score should match in dim_size(1). Got "
      f"{len(labels[0])} vs. {len(scores[0])}"
    )
  for row in range(count):
    classes = result.classifications.add().classes
    for column in range(len((labels or scores)[row])):
      added = classes.add()
      if labels:
        added.label = _text(labels[row][column])
      if scores:
        added.score = scores[row][column]


def _write_values(
  signature: meta_graph_pb2.SignatureDef,
  count: int,
  values: Mapping[str, np.ndarray],
  result: regression_pb2.RegressionResult,
) -> None:
  value = values[signature.outputs[_OUTPUTS].name]
  if value.ndim != 1 and (value.ndim != 2 or value.shape[1] != 1):
    raise errors.invalid_argument(
      "Expected output Tensor shape to be either [batch_size] or [batch_size, "
      f"1] but got {_shape(value)}"
    )
  if len(value) != count:
    raise errors.invalid_argument(
      f"Input batch size did not match output batch size: {count} vs. "
      f"{len(value)}"
    )
  _check_type(
    value, types_pb2.DT_FLOAT, "Expected output Tensor of {}.  Got: {}"
  )
  for number in value.ravel().tolist():
    result.regressions.add(value=number)


def _check_type(value, dtype, text):
  given = tf.as_dtype(value.dtype).as_datatype_enum
  if given != dtype:
    name = types_pb2.DataType.Name
    raise errors.invalid_argument(text.format(name(dtype), name(given)))


def _text(label):
  try:
    return label.decode()
  except UnicodeDecodeError as error:
    # What a message holds must be UTF-8.
    raise errors.invalid_argument(f"A class is not UTF-8: {error}") from error


def _shape(value):
  return "[" + ",".join(map(str, value.shape)) + "]"


def _resolve(servable, asked, spec):
  """Writes into a response which signature of which version answered."""
  spec.name = asked.name
  spec.signature_name = _name(asked)
  spec.version.value = servable.version
