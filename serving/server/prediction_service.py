"""What the RPCs of PredictionService and ModelService answer.

They answer as `tensorflow_model_server` does, code by code and text by text,
so that a client need not know which of the two it talks to. Sockets, deadlines
and limits are elsewhere (`grpc_endpoint`), and REST asks here, too.
"""

from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import regression_pb2

from serving.server import errors
from serving.server import inference
from serving.server import interrupts
from serving.server import manager as manager_lib
from serving.server import predictor
from serving.server import servables
from serving.server import tensors

_SIGNATURES = "signature_def"


class Services:
  """Answers requests, each a message in and a message out.

  All methods raise ServingError.
  """

  def __init__(
    self,
    manager: manager_lib.Manager,
    run: predictor.Run = servables.Servable.run,
    tensor_content: bool = False,
  ):
    """Creates the services.

    Args:
      manager: The models.
      run: What runs their graphs.
      tensor_content: Whether outputs are written as `tensor_content` and not
        in the field of their type.
    """
    self._manager = manager
    self.run = run
    self._tensor_content = tensor_content

  def predict(
    self,
    request: predict_pb2.PredictRequest,
    interrupt: interrupts.Interrupt | None = None,
  ) -> predict_pb2.PredictResponse:
    """Runs a signature."""
    _require_spec(request)
    with self._manager.use(request.model_spec) as servable:
      name, outputs = predictor.answer(servable, request, interrupt, self.run)
    response = predict_pb2.PredictResponse()
    _resolve(servable, response.model_spec)
    response.model_spec.signature_name = name
    for key, value in outputs.items():
      tensors.write(value, response.outputs[key], self._tensor_content)
    return response

  def classify(
    self,
    request: classification_pb2.ClassificationRequest,
    interrupt: interrupts.Interrupt | None = None,
  ) -> classification_pb2.ClassificationResponse:
    """Runs a signature of examples, classes and scores."""
    _require_spec(request)
    with self._manager.use(request.model_spec) as servable:
      return inference.classify(servable, request, interrupt, self.run)

  def regress(
    self,
    request: regression_pb2.RegressionRequest,
    interrupt: interrupts.Interrupt | None = None,
  ) -> regression_pb2.RegressionResponse:
    """Runs a signature of examples and numbers."""
    _require_spec(request)
    with self._manager.use(request.model_spec) as servable:
      return inference.regress(servable, request, interrupt, self.run)

  def multi_inference(
    self,
    request: inference_pb2.MultiInferenceRequest,
    interrupt: interrupts.Interrupt | None = None,
  ) -> inference_pb2.MultiInferenceResponse:
    """Runs several of these signatures at once."""
    first = request.tasks[0].model_spec if request.tasks else None
    with self._manager.use(first or model_pb2.ModelSpec()) as servable:
      return inference.multi_inference(servable, request, interrupt, self.run)

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
    with self._manager.use(request.model_spec) as servable:
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
    for version, status in self._manager.states(request.model_spec).items():
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
    """Serves other models from now on; returns when the new ones are there."""
    if request.config.WhichOneof("config") != "model_config_list":
      raise errors.invalid_argument(
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported"
      )
    self._manager.reload(request.config, interrupt)
    response = model_management_pb2.ReloadConfigResponse()
    response.status.SetInParent()
    return response


def _require_spec(request):
  if not request.HasField("model_spec"):
    raise errors.invalid_argument("Missing ModelSpec")


def _resolve(servable, spec):
  """Writes into a response which version answered."""
  spec.name = servable.name
  spec.version.value = servable.version
