"""What the REST interface answers: JSON in, JSON out."""

import json

from google.protobuf import json_format
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import errors
from serving.server import interrupts
from serving.server import json_examples
from serving.server import json_inputs
from serving.server import json_outputs
from serving.server import manager as manager_lib
from serving.server import prediction_service
from serving.server import predictor


class RestService:
  """Answers requests; all methods raise ServingError."""

  def __init__(
    self,
    manager: manager_lib.Manager,
    services: prediction_service.Services,
  ):
    """Creates the service.

    Args:
      manager: The models.
      services: What answers the same over gRPC.
    """
    self._manager = manager
    self._services = services

  def predict(
    self,
    spec: model_pb2.ModelSpec,
    body: bytes,
    interrupt: interrupts.Interrupt | None = None,
  ) -> bytes:
    """Runs the signature that a request names."""
    document = json_inputs.parse(body)
    name = json_inputs.signature_name(document)
    with self._manager.use(spec) as servable:
      signature = servable.signatures.get(name)
      if signature is None:
        raise errors.invalid_argument(
          f'Serving signature name: "{name}" not found in signature def'
        )
      if not signature.inputs:
        raise errors.invalid_argument(
          "Failed to get input map for signature: "
          f"{document.get('signature_name') or 'DEFAULT'}"
        )
      form, inputs = json_inputs.read(document, signature.inputs)
      outputs = predictor.predict(
        servable,
        signature,
        inputs,
        interrupt=interrupt,
        run=self._services.run,
      )
    return json_outputs.write(form, outputs)

  def classify(
    self,
    spec: model_pb2.ModelSpec,
    body: bytes,
    interrupt: interrupts.Interrupt | None = None,
  ) -> bytes:
    """Returns classes of examples."""
    request = classification_pb2.ClassificationRequest()
    _read_examples(spec, body, request)
    response = self._services.classify(request, interrupt)
    return json_examples.write_classes(response.result)

  def regress(
    self,
    spec: model_pb2.ModelSpec,
    body: bytes,
    interrupt: interrupts.Interrupt | None = None,
  ) -> bytes:
    """Returns numbers for examples."""
    request = regression_pb2.RegressionRequest()
    _read_examples(spec, body, request)
    response = self._services.regress(request, interrupt)
    return json_examples.write_values(response.result)

  def status(self, spec: model_pb2.ModelSpec) -> bytes:
    """Returns the states of a model's versions."""
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
    return _json(_plain(self._services.get_model_status(request)))

  def metadata(self, spec: model_pb2.ModelSpec) -> bytes:
    """Returns a model's signatures."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(
      model_spec=spec, metadata_field=["signature_def"]
    )
    response = self._services.get_model_metadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _json(
      {
        "model_spec": _plain(response.model_spec),
        "metadata": {"signature_def": _plain(signatures)},
      }
    )


def _read_examples(spec, body, request):
  document = json_inputs.parse(body)
  request.model_spec.CopyFrom(spec)
  request.model_spec.signature_name = json_inputs.signature_name(document)
  request.input.CopyFrom(json_examples.read(document))


def _plain(message):
  return json_format.MessageToDict(
    message,
    preserving_proto_field_name=True,
    always_print_fields_with_no_presence=True,
  )


def _json(value):
  return (json.dumps(value, indent=1) + "\n").encode()
