"""The signatures of an exported model as methods: numpy in, numpy out.

`LatentClient` waits for its answers; each method of `AsyncLatentClient` returns
an awaitable. `_Client` has the methods of both, which map arguments to the
inputs of signatures; subclasses make the calls. The server may be
`serving.server` or a TensorFlow Serving: the client reads all facts about the
model from it.
"""

import asyncio
import functools
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import BinaryIO

import grpc
import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from lc_keras.constraints import attributes as attributes_lib
from lc_keras.data import preprocessing as preprocessings
from serving import messages

Arrays = dict[str, np.ndarray]
ACTOR = messages.ACTOR
RequestError = messages.RequestError
_OPTIONS = [
  ("grpc.max_receive_message_length", -1),
  ("grpc.max_send_message_length", -1),
  # By default pauses grow to 120 s: a restarted server would be found late.
  ("grpc.max_reconnect_backoff_ms", 2000),
]
# Calls at once: a server refuses more than a few per core.
_PARALLEL = 4
# Seconds before a call is repeated; they double from the first to the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
# A call that every server refuses at once.
_EMPTY_REQUEST = get_model_metadata_pb2.GetModelMetadataRequest()


class _Client:
  """The methods of both clients, on top of a subclass's `_predict`."""

  def __init__(
    self,
    address: str,
    model_name: str = "default",
    timeout: float = 60.0,
    *,
    batch_size: int = 64,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
  ):
    """Connects to a server at the first call.

    Args:
      address: host:port, or unix:path.
      model_name: The name that the server has for the model.
      timeout: Seconds that a method may take, including the wait for a server
        that is still starting.
      batch_size: Rows in one call, fewer if they are large; more rows are sent
        in several calls, some of them at once.
      token: A bearer token, if the server requires one.
      credentials: For TLS, see `grpc.ssl_channel_credentials`; None is without.
    """
    self._address = address
    self._model_name = model_name
    self._timeout = timeout
    self._batch_size = batch_size
    self._metadata = [("authorization", f"Bearer {token}")] if token else []
    self._known: messages.Signatures | None = None
    if credentials is None:
      self._channel = self._grpc.insecure_channel(address, _OPTIONS)
    else:
      self._channel = self._grpc.secure_channel(address, credentials, _OPTIONS)
    self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
      self._channel
    )

  def sample(
    self,
    attributes: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
    outputs: Sequence[str] = (),
    sampler: str = ACTOR,
    realism_weight: float = 1.0,
  ) -> Arrays:
    """Draws an image per row.

    Args:
      attributes: [n, K] in [0, 1], the targets.
      mask: [n, K] from 0 up, the weight of each target; 0 leaves it open.
      seeds: [n], signed integers of 64 bits.
      outputs: Names of the outputs to return, such as "images" (arrays) or
        "image_bytes" (PNG files); by default all.
      sampler: "actor", or NAME if the model has `sample_NAME`.
      realism_weight: The weight of realism; the actor supports 1 only.
    """
    return self._predict(
      messages.signature_name("sample", sampler),
      _request(attributes, mask, seeds),
      outputs,
      realism_weight=realism_weight,
    )

  def transform(
    self,
    images: np.ndarray,
    attributes: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
    outputs: Sequence[str] = (),
    sampler: str = ACTOR,
    realism_weight: float = 1.0,
    strength: float = 1.0,
  ) -> Arrays:
    """Moves each image to its targets, and keeps everything else.

    Args:
      images: [n, height, width, channels] in [0, 1].
      attributes, seeds, outputs, realism_weight: See `sample`.
      mask: [n, K] from 0 up, the weight of each target; 0 keeps the attribute.
      sampler: See `sample`, with `transform_NAME`.
      strength: The part of the move to make; samplers other than the actor
        support 1 only.
    """
    return self._predict(
      messages.signature_name("transform", sampler),
      _request(attributes, mask, seeds) | {"images": messages.floats(images)},
      outputs,
      realism_weight=realism_weight,
      strength=strength,
    )

  def transform_encoded(
    self,
    files: Sequence[bytes],
    attributes: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
    outputs: Sequence[str] = (),
    strength: float = 1.0,
  ) -> Arrays:
    """Changes picture files by the actor, see `transform`.

    The server decodes and preprocesses them, as `preprocess` does.

    Args:
      files: n JPEG or PNG files, of any size.
      attributes, mask, seeds, strength: See `transform`.
      outputs: See `sample`; also "start", the images of the files.
    """
    return self._predict(
      "transform_encoded",
      {
        "image_bytes": np.array(files, object),
        **_request(attributes, mask, seeds),
      },
      outputs,
      strength=strength,
    )

  def transform_latents(
    self,
    latents: np.ndarray,
    attributes: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
    outputs: Sequence[str] = (),
    strength: float = 1.0,
    same: float = 0.0,
  ) -> Arrays:
    """Changes images that are given by their latents, see `transform`.

    Args:
      latents: [n, latent], such as those that `sample` returns.
      attributes, mask, seeds, outputs, strength: See `transform`.
      same: From 0 up, the weight with which a search keeps the model's
        embedding, such as a person's identity; 0 leaves it to the best sampler.
    """
    return self._predict(
      "transform_latents",
      {
        "latents": messages.floats(latents),
        **_request(attributes, mask, seeds),
      },
      outputs,
      strength=strength,
      same=same,
    )

  def encode(self, images: np.ndarray) -> Arrays:
    """Returns the mean and the scale of each image's posterior."""
    return self._predict("encode", {"images": messages.floats(images)})

  def decode(self, latents: np.ndarray, outputs: Sequence[str] = ()) -> Arrays:
    """Returns the images of latent vectors."""
    return self._predict(
      "decode", {"latents": messages.floats(latents)}, outputs
    )

  def score(
    self, latents: np.ndarray, attributes: np.ndarray, mask: np.ndarray
  ) -> Arrays:
    """Returns realism and attribute probabilities of latent vectors."""
    return self._predict(
      "score",
      {
        "latents": messages.floats(latents),
        "attributes": messages.floats(attributes),
        "mask": messages.floats(mask),
      },
    )

  def describe(self, rows: np.ndarray) -> Arrays:
    """Returns the facts about the attributes, the same in every row."""
    return self._predict("describe", {"row": messages.integers(rows)})

  def forget(self) -> None:
    """Forgets the facts about the model: the server may have another now."""
    self._known = None
    for name in ("attributes", "preprocessing"):  # LatentClient caches them.
      vars(self).pop(name, None)

  def _end(self):
    return time.monotonic() + self._timeout

  def _waiting(self, timeout):
    seconds = self._timeout if timeout is None else timeout
    return {
      "timeout": seconds,
      "wait_for_ready": True,
      "metadata": self._metadata,
    }

  def _explained(self, error):
    """Returns a RequestError for an error of gRPC, with a remedy."""
    code = error.code()
    text = f"{self._address}: {code.name}: {error.details()}"
    if code == grpc.StatusCode.UNAVAILABLE:
      text = (
        f"No server at {self._address} within {self._timeout:g} seconds. Start "
        "one with python -m serving.server, or correct the address. "
        f"({code.name}: {error.details()})"
      )
    elif code == grpc.StatusCode.DEADLINE_EXCEEDED:
      text = (
        f"{self._address} did not answer within {self._timeout:g} seconds. Ask "
        "for less, or allow more time."
      )
    elif code == grpc.StatusCode.NOT_FOUND:
      text += (
        ". Is the model's name the one that the server was started with? If "
        "so, the server has said what is missing."
      )
    elif "message larger than max" in text:
      text += (
        ". Give the client a smaller batch_size, or the server a larger "
        "--grpc_max_message_mb."
      )
    elif code == grpc.StatusCode.UNAUTHENTICATED:
      text += " Give the client its token."
    return RequestError(text, code)


class LatentClient(_Client):
  """The signatures of an exported model, numpy in and numpy out.

  `serving.endpoints` documents the inputs and the outputs under the same names.
  All methods raise RequestError. Threads may share a client.
  """

  _grpc = grpc

  @functools.cached_property
  def attributes(self) -> attributes_lib.Attributes:
    """The model's attributes."""
    return messages.attributes_of(self.describe([0]))

  @functools.cached_property
  def preprocessing(self) -> preprocessings.Preprocessing:
    """The crop and size of the model's images, as in its training."""
    return messages.preprocessing_of(self.describe([0]))

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(height, width, channels) of the model's images."""
    return self.preprocessing.image_shape

  def preprocess(
    self, file: str | os.PathLike | BinaryIO, name: str = ""
  ) -> np.ndarray:
    """Crops and resizes a picture to an image of the model, as in training.

    Args:
      file: A picture file in any format that Pillow reads, or its path.
      name: The name of the file in errors; by default the path.

    Returns:
      float32 [height, width, channels] in [0, 1].

    Raises:
      ValueError: The file is not a picture, or is too large.
    """
    return self.preprocessing.load(file, name)

  def samplers(self, verb: str) -> list[str]:
    """Returns the samplers for "sample" or "transform", the actor first."""
    return self._signatures(self._end()).samplers(verb)

  def moves_latents(self) -> bool:
    """Returns whether the model has `transform_latents`."""
    return self._signatures(self._end()).moves_latents()

  def connect(self, timeout: float | None = None) -> bool:
    """Waits for a server; returns whether one is there.

    Waits `timeout` seconds; with None, the client's timeout.
    """
    try:
      self._stub.GetModelMetadata(_EMPTY_REQUEST, **self._waiting(timeout))
    except grpc.RpcError as error:
      return error.code() != grpc.StatusCode.DEADLINE_EXCEEDED
    return True

  def close(self) -> None:
    """Ends the connection."""
    self._channel.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _predict(self, signature, inputs, outputs=(), **dials):
    end = self._end()
    known = self._signatures(end)
    requests = known.requests(
      signature, inputs, outputs, dials, self._batch_size
    )
    call = functools.partial(self._call, "Predict", end=end)
    if len(requests) == 1:
      return messages.joined(map(call, requests))
    with futures.ThreadPoolExecutor(_PARALLEL) as threads:
      return messages.joined(threads.map(call, requests))

  def _signatures(self, end):
    if not self._known:
      request = messages.metadata_request(self._model_name)
      response = self._call("GetModelMetadata", request, end)
      self._known = messages.Signatures(
        response, self._model_name, self._address
      )
    return self._known

  def _call(self, method, request, end):
    for pause in _pauses():
      left = max(0.0, end - time.monotonic())
      try:
        return getattr(self._stub, method)(
          request, timeout=left, metadata=self._metadata
        )
      except grpc.RpcError as error:
        if not _may_pass(error, pause, end):
          raise self._explained(error) from error
      time.sleep(pause)


class AsyncLatentClient(_Client):
  """The same for asyncio: every method of `LatentClient` as a coroutine.

  A cancelled coroutine cancels its calls. A client belongs to the event loop in
  which it was made.
  """

  _grpc = grpc.aio

  async def attributes(self) -> attributes_lib.Attributes:
    """See `LatentClient.attributes`."""
    return messages.attributes_of(await self.describe([0]))

  async def preprocessing(self) -> preprocessings.Preprocessing:
    """See `LatentClient.preprocessing`."""
    return messages.preprocessing_of(await self.describe([0]))

  async def image_shape(self) -> tuple[int, int, int]:
    """See `LatentClient.image_shape`."""
    return (await self.preprocessing()).image_shape

  async def preprocess(
    self, file: str | os.PathLike | BinaryIO, name: str = ""
  ) -> np.ndarray:
    """See `LatentClient.preprocess`."""
    return (await self.preprocessing()).load(file, name)

  async def samplers(self, verb: str) -> list[str]:
    """See `LatentClient.samplers`."""
    return (await self._signatures(self._end())).samplers(verb)

  async def moves_latents(self) -> bool:
    """See `LatentClient.moves_latents`."""
    return (await self._signatures(self._end())).moves_latents()

  async def connect(self, timeout: float | None = None) -> bool:
    """See `LatentClient.connect`."""
    try:
      await self._stub.GetModelMetadata(
        _EMPTY_REQUEST, **self._waiting(timeout)
      )
    except grpc.RpcError as error:
      return error.code() != grpc.StatusCode.DEADLINE_EXCEEDED
    return True

  async def close(self) -> None:
    """Ends the connection."""
    await self._channel.close()

  async def __aenter__(self):
    return self

  async def __aexit__(self, *_):
    await self.close()

  async def _predict(self, signature, inputs, outputs=(), **dials):
    end = self._end()
    known = await self._signatures(end)
    requests = known.requests(
      signature, inputs, outputs, dials, self._batch_size
    )
    slots = asyncio.Semaphore(_PARALLEL)

    async def call(request):
      async with slots:
        return await self._call("Predict", request, end)

    tasks = [asyncio.create_task(call(request)) for request in requests]
    try:
      return messages.joined(await asyncio.gather(*tasks))
    finally:
      for task in tasks:  # If one of them has failed.
        task.cancel()

  async def _signatures(self, end):
    if not self._known:
      request = messages.metadata_request(self._model_name)
      response = await self._call("GetModelMetadata", request, end)
      self._known = messages.Signatures(
        response, self._model_name, self._address
      )
    return self._known

  async def _call(self, method, request, end):
    for pause in _pauses():
      left = max(0.0, end - time.monotonic())
      try:
        return await getattr(self._stub, method)(
          request, timeout=left, metadata=self._metadata
        )
      except grpc.RpcError as error:
        if not _may_pass(error, pause, end):
          raise self._explained(error) from error
      await asyncio.sleep(pause)


def _request(attributes, mask, seeds):
  """Returns the inputs that all samplers have."""
  return {
    "attributes": messages.floats(attributes),
    "mask": messages.floats(mask),
    "seed": messages.integers(seeds),
  }


def _pauses() -> Iterator[float]:
  """Yields seconds to wait: longer each time, and random between clients."""
  pause = _FIRST_PAUSE
  while True:
    yield pause * random.uniform(0.5, 1.5)
    pause = min(2.0 * pause, _LONGEST_PAUSE)


def _may_pass(error, pause, end):
  """Returns whether to repeat a call after a pause, before the end.

  Only for UNAVAILABLE: then the server has not run the call.
  """
  return (
    error.code() == grpc.StatusCode.UNAVAILABLE
    and pause < end - time.monotonic()
  )
