"""The answers of PredictionService and ModelService.

Codes and texts are those of `tensorflow_model_server`, so that clients cannot
tell the servers apart. `grpc_endpoint` has sockets, deadlines and limits;
`rest` gets states and signatures here.
"""

import dataclasses

from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import predict_pb2

from serving import tensors
from serving.server import errors
from serving.server import interrupts
from serving.server import manager
from serving.server import servables

_SIGNATURES = "signature_def"


@dataclasses.dataclass(frozen=True)
class Services:
  """Answers request messages with response messages.

  All methods raise ServingError.

  Attributes:
    models: The models.
    run: Runs their graphs.
    tensor_content: Whether outputs are written as `tensor_content` instead of
      the field of their type.
  """

  models: manager.Manager
  run: servables.Run
  tensor_content: bool = False

  def predict(
    self,
    request: predict_pb2.PredictRequest,
    interrupt: interrupts.Interrupt | None = None,
  ) -> predict_pb2.PredictResponse:
    """Runs a signature."""
    _require_spec(request)
    with self.models.use(request.model_spec) as servable:
      outputs = servable.answer(request, interrupt, self.run)
    response = predict_pb2.PredictResponse()
    _resolve(servable, response.model_spec)
    response.model_spec.signature_name = (
      request.model_spec.signature_name or servables.DEFAULT_SIGNATURE
    )
    for key, value in outputs.items():
      tensors.write(value, response.outputs[key], self.tensor_content)
    return response

  def get_model_metadata(
    self, request: get_model_metadata_pb2.GetModelMetadataRequest
  ) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures of a model."""
    _require_spec(request)
    if not request.metadata_field:
      raise errors.invalid_argument(
        "GetModelMetadataRequest must specify at least one metadata_field"
      )
    for field in request.metadata_field:
      if field != _SIGNATURES:
        raise errors.invalid_argument(
          f"Metadata field {field} is not supported"
        )
    with self.models.use(request.model_spec) as servable:
      signatures = get_model_metadata_pb2.SignatureDefMap()
      for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    _resolve(servable, response.model_spec)
    response.metadata[_SIGNATURES].Pack(signatures)
    return response

  def get_model_status(
    self, request: get_model_status_pb2.GetModelStatusRequest
  ) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the state of a model's versions, newest first."""
    _require_spec(request)
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, status in self.models.states(request.model_spec).items():
      added = response.model_version_status.add(
        version=version, state=status.state
      )
      added.status.SetInParent()  # Error code 0: OK.
      if status.error is not None:
        added.status.error_code = status.error.code.value[0]
        added.status.error_message = status.error.text
    return response

  def reload_config(
    self,
    request: model_management_pb2.ReloadConfigRequest,
    interrupt: interrupts.Interrupt | None = None,
  ) -> model_management_pb2.ReloadConfigResponse:
    """Changes the served models; returns when new ones are available."""
    if request.config.WhichOneof("config") != "model_config_list":
      raise errors.invalid_argument(
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported"
      )
    self.models.reload(request.config, interrupt)
    response = model_management_pb2.ReloadConfigResponse()
    response.status.SetInParent()
    return response


def _require_spec(request):
  if not request.HasField("model_spec"):
    raise errors.invalid_argument("Missing ModelSpec")


def _resolve(servable, spec):
  """Writes the model and the version that answered to a response."""
  spec.name = servable.name
  spec.version.value = servable.version
