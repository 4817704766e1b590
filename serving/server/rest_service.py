"""The answers of the REST interface: JSON in, JSON out."""

import json

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2

from serving.server import errors
from serving.server import interrupts
from serving.server import json_inputs
from serving.server import json_outputs
from serving.server import prediction_service


class RestService:
  """Answers requests; all methods raise ServingError."""

  def __init__(self, services: prediction_service.Services):
    """Creates the service over the one that answers gRPC."""
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
    with self._services.models.use(spec) as servable:
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
      outputs = servable.predict(
        name, inputs, interrupt=interrupt, run=self._services.run
      )
    return json_outputs.write(form, outputs)

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


def _plain(message):
  return json_format.MessageToDict(
    message,
    preserving_proto_field_name=True,
    always_print_fields_with_no_presence=True,
  )


def _json(value):
  return (json.dumps(value, indent=1) + "\n").encode()
