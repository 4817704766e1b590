"""Converts arrays to the messages of a model server, and back."""

from collections.abc import Iterable, Mapping, Sequence

import grpc
import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import predict_pb2

from lc_keras.constraints import attributes
from lc_keras.data import preprocessing
from serving import tensors

# The sampler of `sample` and `transform`; others have their own signatures,
# such as `sample_search`.
ACTOR = "actor"


class RequestError(Exception):
  """Raised if a request fails; the text is a sentence.

  Attributes:
    code: The status code, UNAVAILABLE if there is no server; None if the client
      refused the request.
  """

  def __init__(self, text: str, code: grpc.StatusCode | None = None):
    super().__init__(text)
    self.code = code


_OTHER_STARTS = {"image_bytes", "latents"}
# Most bytes of the arrays of a request: a server refuses messages of more than
# 16 MiB, since all its other calls wait while it copies one.
_MOST_BYTES = 12 << 20


def signature_name(verb: str, sampler: str) -> str:
  """Returns the name of a sampler's signature."""
  return verb if sampler == ACTOR else f"{verb}_{sampler}"


def metadata_request(
  model_name: str,
) -> get_model_metadata_pb2.GetModelMetadataRequest:
  """Returns the request for a model's signatures."""
  request = get_model_metadata_pb2.GetModelMetadataRequest(
    metadata_field=["signature_def"]
  )
  request.model_spec.name = model_name
  return request


class Signatures:
  """The signatures of a model, and requests to them."""

  def __init__(
    self,
    response: get_model_metadata_pb2.GetModelMetadataResponse,
    model_name: str,
    address: str,
  ):
    """Reads the answer to `metadata_request`; errors name model and address."""
    found = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(found)
    self._inputs = {
      name: signature.inputs for name, signature in found.signature_def.items()
    }
    self._model_name = model_name
    self._model = f"Model {model_name!r} at {address}"

  def samplers(self, verb: str) -> list[str]:
    """Returns the samplers for "sample" or "transform", the actor first."""
    # `transform_encoded` takes files, and `transform_latents` latents.
    others = sorted(
      name
      for name, inputs in self._inputs.items()
      if name.startswith(f"{verb}_") and not _OTHER_STARTS & {*inputs}
    )
    actor = [ACTOR] if verb in self._inputs else []
    return actor + [name.removeprefix(f"{verb}_") for name in others]

  def moves_latents(self) -> bool:
    """Returns whether latents can be changed, see `transform_latents`."""
    return "transform_latents" in self._inputs

  def requests(
    self,
    name: str,
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    dials: Mapping[str, float],
    batch_size: int,
  ) -> list[predict_pb2.PredictRequest]:
    """Returns requests to a signature, each of `batch_size` rows at most.

    Args:
      name: The signature.
      inputs: Arrays by name, of the same number of rows.
      outputs: Names of the outputs to return; none means all.
      dials: Numbers by name, shared by all rows. A signature may lack a dial
        that is 1, its default.
      batch_size: Rows in a request; there are fewer if they are large.

    Raises:
      RequestError: The model is not an export, has no such sampler, or
        the sampler has no such dial.
    """
    verb, _, sampler = name.partition("_")
    sampler = sampler or ACTOR
    if name not in self._inputs:
      if verb in ("sample", "transform") and self.samplers("sample"):
        raise RequestError(
          f"{self._model} cannot {verb} by {sampler!r}, only by "
          f"{', '.join(self.samplers(verb)) or 'nothing'}."
        )
      found = sorted(key for key in self._inputs if not key.startswith("__"))
      raise RequestError(
        f"{self._model} has no signature {name!r}, but "
        f"{', '.join(found) or 'none'}. The client asks what serving.export "
        "writes."
      )
    count = max(map(len, inputs.values()))
    inputs = dict(inputs)
    for dial, value in dials.items():
      if dial in self._inputs[name]:
        inputs[dial] = np.full(count, value, np.float32)
      elif value != 1.0:
        raise RequestError(
          f"{verb} by {sampler!r} takes no {dial}: leave it out, or choose "
          "another sampler."
        )
    size = sum(value.nbytes for value in inputs.values()) // max(count, 1)
    batch_size = max(1, min(batch_size, _MOST_BYTES // max(size, 1)))
    requests = []
    for start in range(0, max(count, 1), batch_size):
      request = predict_pb2.PredictRequest(output_filter=outputs)
      request.model_spec.name = self._model_name
      request.model_spec.signature_name = name
      for key, value in inputs.items():
        rows = value[start : start + batch_size]
        request.inputs[key].CopyFrom(tensors.to_proto(rows, as_content=True))
      requests.append(request)
    return requests


def joined(
  responses: Iterable[predict_pb2.PredictResponse],
) -> dict[str, np.ndarray]:
  """Returns the concatenated outputs of responses, by name."""
  parts = [
    {name: tensors.to_array(proto) for name, proto in response.outputs.items()}
    for response in responses
  ]
  if len(parts) == 1:
    return parts[0]
  return {
    name: np.concatenate([part[name] for part in parts]) for name in parts[0]
  }


def attributes_of(described: Mapping[str, np.ndarray]) -> attributes.Attributes:
  """Returns the attributes in an answer of `describe`."""
  facts = {key: value[0] for key, value in described.items()}
  names = [name.decode() for name in facts["attribute_names"]]
  pairs = np.argwhere(np.triu(facts["attribute_excludes"]))
  continuous = np.flatnonzero(facts["attribute_continuous"])
  return attributes.Attributes(
    names,
    [(names[one], names[other]) for one, other in pairs],
    [names[column] for column in continuous],
  )


def preprocessing_of(
  described: Mapping[str, np.ndarray],
) -> preprocessing.Preprocessing:
  """Returns the preprocessing in an answer of `describe`."""
  facts = {key: value[0] for key, value in described.items()}
  return preprocessing.Preprocessing(
    tuple(facts["image_shape"].tolist()),
    facts["image_crop"].decode(),
    bool(facts["are_images"]),
  )


def floats(values: np.ndarray) -> np.ndarray:
  """Returns numbers as float32."""
  return np.asarray(values, np.float32)


def integers(values: np.ndarray) -> np.ndarray:
  """Returns whole numbers as int64.

  Raises:
    ValueError: A number is not whole, or has more than 64 bits.
  """
  values = np.asarray(values)
  try:
    whole = values.astype(np.int64)
  except OverflowError:
    whole = None
  if not np.array_equal(whole, values):
    raise ValueError(
      "Seeds and rows are whole numbers from -2**63 to 2**63 - 1."
    )
  return whole
