"""The signatures of an exported model as methods, numpy in and numpy out.

`LatentClient` waits for its answers, `AsyncLatentClient` is for asyncio. What
is asked and what becomes of the answers is the same: `_Requests`, generators
that yield calls and are sent their responses, so that the clients know no more
than how to make a call.

The server may be ours or a TensorFlow Serving; all that is known of the model
is learnt from the server.
"""

import asyncio
import functools
import random
import time
from collections.abc import Callable, Generator, Sequence
from concurrent import futures
from typing import NamedTuple

import grpc
import numpy as np
from google.protobuf import message
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from lc_keras.constraints import attributes as attributes_lib
from serving.server import tensors

Arrays = dict[str, np.ndarray]

# What answers `sample` and `transform` themselves; others have signatures of
# their own.
ACTOR = "actor"
_OPTIONS = [
  ("grpc.max_receive_message_length", -1),
  ("grpc.max_send_message_length", -1),
  # Else a server that comes back is found minutes later: pauses grow to 120 s.
  ("grpc.max_reconnect_backoff_ms", 2000),
]
# Calls on their way at once: a server refuses more than a few per core.
_PARALLEL = 4
# Pauses before a call is made again, in seconds; each is longer, up to a bound,
# and none is the same as those of other clients.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
# A call that every server refuses at once.
_NOTHING = get_model_metadata_pb2.GetModelMetadataRequest()


class Call(NamedTuple):
  """A call to be made: its method, of PredictionService, and its request."""

  method: str
  request: message.Message


Responses = list[message.Message]
# Yields calls that may be made at once, and is sent their responses.
Steps = Generator[list[Call], Responses, object]


class RequestError(Exception):
  """A request that failed, in a sentence.

  Attributes:
    code: The server's status code; None if no server was found.
  """

  def __init__(self, text: str, code: grpc.StatusCode | None = None):
    super().__init__(text)
    self.code = code


class _Requests:
  """What is asked, and what becomes of the answers."""

  def __init__(self, address: str, model_name: str, batch_size: int):
    """Names a server and a model; see `_Client`."""
    self._address = address
    self._model_name = model_name
    self._batch_size = batch_size
    self._known_inputs: dict[str, dict[str, tuple[int, ...]]] = {}

  def sample(
    self,
    attributes: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
    outputs: Sequence[str] = (),
    sampler: str = ACTOR,
    realism_weight: float = 1.0,
  ) -> Steps:
    """Draws an image per row.

    Args:
      attributes: [n, K] in [0, 1], what is wanted.
      mask: [n, K] from 0 up, how much it counts; 0 leaves it open.
      seeds: [n], whole numbers of 64 bits with their sign.
      outputs: Names of what to return, such as "images" (arrays) or
        "image_bytes" (PNG files); by default everything.
      sampler: "actor", or one that the model has `sample_NAME` for.
      realism_weight: How much realism counts; only 1 for the actor.
    """
    return self._draw(
      "sample",
      sampler,
      {
        "attributes": _floats(attributes),
        "mask": _floats(mask),
        "seed": _ints(seeds),
      },
      {"realism_weight": realism_weight},
      outputs,
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
  ) -> Steps:
    """Changes what the mask marks in each image.

    Args:
      images: [n, height, width, channels] in [0, 1].
      attributes: As of `sample`.
      mask: [n, K] from 0 up, how much it counts; 0 keeps it.
      seeds: [n].
      outputs: As of `sample`.
      sampler: As of `sample`, with `transform_NAME`.
      realism_weight: As of `sample`.
      strength: How much of the change to make; only 1 for all but the actor.
    """
    return self._draw(
      "transform",
      sampler,
      {
        "images": _floats(images),
        "attributes": _floats(attributes),
        "mask": _floats(mask),
        "seed": _ints(seeds),
      },
      {"realism_weight": realism_weight, "strength": strength},
      outputs,
    )

  def samplers(self, verb: str) -> Steps:
    """Returns the names of what can "sample" or "transform", the actor first.

    Args:
      verb: One of the two.
    """
    known = yield from self._inputs()
    first = [ACTOR] if verb in known else []
    return first + [
      name.removeprefix(f"{verb}_")
      for name in sorted(known)
      if name.startswith(f"{verb}_")
    ]

  def encode(self, images: np.ndarray) -> Steps:
    """Returns mean and scale of each image's posterior."""
    return self._predict("encode", {"images": _floats(images)})

  def decode(self, latents: np.ndarray, outputs: Sequence[str] = ()) -> Steps:
    """Returns the images of latent vectors."""
    return self._predict("decode", {"latents": _floats(latents)}, outputs)

  def score(
    self, latents: np.ndarray, attributes: np.ndarray, mask: np.ndarray
  ) -> Steps:
    """Returns realism and attribute probabilities of latent vectors."""
    return self._predict(
      "score",
      {
        "latents": _floats(latents),
        "attributes": _floats(attributes),
        "mask": _floats(mask),
      },
    )

  def describe(self, rows: np.ndarray) -> Steps:
    """Returns what the attributes are, the same in every row."""
    return self._predict("describe", {"row": _ints(rows)})

  def attributes(self) -> Steps:
    """Returns the model's `Attributes`."""
    described = yield from self.describe(np.zeros(1))
    described = {key: value[0] for key, value in described.items()}
    names = [name.decode() for name in described["attribute_names"]]
    pairs = np.argwhere(np.triu(described["attribute_excludes"]))
    continuous = np.flatnonzero(described["attribute_continuous"])
    return attributes_lib.Attributes(
      names,
      [(names[first], names[second]) for first, second in pairs],
      [names[column] for column in continuous],
    )

  def image_shape(self) -> Steps:
    """Returns (height, width, channels) of the model's images."""
    inputs = yield from self._inputs()
    shape = inputs.get("encode", {}).get("images", ())
    if len(shape) != 4:
      raise RequestError(
        f"Model {self._model_name!r} at {self._address} was not exported by "
        "serving.export: it has no signature `encode` that takes images."
      )
    return shape[1:]

  def forget(self) -> None:
    """Forgets which signatures there are."""
    self._known_inputs = {}

  def _inputs(self) -> Steps:
    """Returns the shape of each input of each signature; -1 is any number."""
    if self._known_inputs:
      return self._known_inputs
    request = get_model_metadata_pb2.GetModelMetadataRequest(
      metadata_field=["signature_def"]
    )
    request.model_spec.name = self._model_name
    (response,) = yield [Call("GetModelMetadata", request)]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    self._known_inputs = {
      name: {
        key: tuple(dim.size for dim in info.tensor_shape.dim)
        for key, info in signature.inputs.items()
      }
      for name, signature in signatures.signature_def.items()
    }
    return self._known_inputs

  def _draw(self, verb, sampler, inputs, dials, outputs) -> Steps:
    """Calls the signature of a sampler.

    Args:
      verb: "sample" or "transform".
      sampler: Its name.
      inputs: Arrays by name.
      dials: Numbers by name, of which a signature need not take all, since 1
        is what does without.
      outputs: Names of what to return.
    """
    known = yield from self._inputs()
    signature = verb if sampler == ACTOR else f"{verb}_{sampler}"
    if signature not in known:
      samplers = yield from self.samplers(verb)
      raise RequestError(
        f"Model {self._model_name!r} at {self._address} cannot {verb} by "
        f"{sampler!r}, only by {', '.join(samplers) or 'nothing'}."
      )
    for name, value in dials.items():
      if name in known[signature]:
        inputs[name] = np.full(len(inputs["seed"]), value, np.float32)
      elif value != 1.0:
        raise RequestError(
          f"{verb} by {sampler!r} takes no {name}: leave it out, or choose "
          "another sampler."
        )
    return (yield from self._predict(signature, inputs, outputs))

  def _predict(self, signature, inputs, outputs=()) -> Steps:
    """Asks in parts, and puts the answers together again."""
    count = max((len(value) for value in inputs.values()), default=0)
    starts = range(0, max(count, 1), self._batch_size)
    responses = yield [
      self._part(signature, inputs, outputs, slice(n, n + self._batch_size))
      for n in starts
    ]
    parts = [
      {name: tensors.to_array(proto) for name, proto in one.outputs.items()}
      for one in responses
    ]
    if len(parts) == 1:
      return parts[0]
    return {
      name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }

  def _part(self, signature, inputs, outputs, rows):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = self._model_name
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
      request.inputs[name].CopyFrom(
        tensors.to_proto(value[rows], as_content=True)
      )
    return Call("Predict", request)


class _Patience:
  """How long a call may take, and whether it is made again."""

  def __init__(self, end: float):
    """Begins; `end` is a time of `time.monotonic`."""
    self._end = end
    self._pause = _FIRST_PAUSE

  @property
  def left(self) -> float:
    """Seconds that are left."""
    return max(0.0, self._end - time.monotonic())

  def pause_after(self, error: grpc.RpcError) -> float | None:
    """Returns how long to wait before the same call is made again.

    None if it should not be. Only what says that a server will be there again
    is tried again: nothing has been done then, and another moment helps.
    """
    pause = self._pause * random.uniform(0.5, 1.5)
    self._pause = min(2.0 * self._pause, _LONGEST_PAUSE)
    if error.code() != grpc.StatusCode.UNAVAILABLE or pause >= self.left:
      return None
    return pause


def _waits(requests: Callable[..., Steps]):
  """Makes of a method of `_Requests` one that waits for its answers."""

  @functools.wraps(requests)
  def method(self, *args, **kwargs):
    return self._run(requests(self._requests, *args, **kwargs))

  return method


def _awaits(requests: Callable[..., Steps]):
  """Makes of a method of `_Requests` a coroutine."""

  @functools.wraps(requests)
  async def method(self, *args, **kwargs):
    return await self._run(requests(self._requests, *args, **kwargs))

  return method


class _Client:
  """What both clients have: where the server is, and what an error says."""

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
    """Names a server; the first call connects.

    Args:
      address: host:port, or unix:path.
      model_name: What the server calls the model.
      timeout: Seconds that a method may take, the wait for a server that is
        still starting included.
      batch_size: Rows sent at a time; what has more is asked for in parts, some
        of them at once.
      token: A bearer token, if the server wants one.
      credentials: For TLS, see `grpc.ssl_channel_credentials`; None is without.
    """
    self._address = address
    self._timeout = timeout
    self._metadata = [("authorization", f"Bearer {token}")] if token else []
    self._requests = _Requests(address, model_name, batch_size)
    self._channel = self._connected(credentials)
    self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
      self._channel
    )

  def forget(self) -> None:
    """Has the model asked again what it is: another may have come."""
    self._requests.forget()
    for name in ("attributes", "image_shape"):  # LatentClient keeps them.
      vars(self).pop(name, None)

  def _connected(self, credentials):
    library = self._library
    if credentials is None:
      return library.insecure_channel(self._address, _OPTIONS)
    return library.secure_channel(self._address, credentials, _OPTIONS)

  def _explained(self, error, probed):
    """Returns an error in a sentence that says what to do.

    Args:
      error: As gRPC has it.
      probed: Code and text of a call that costs nothing, made afterwards.
    """
    code = error.code()
    text = f"{self._address}: {code.name}: {error.details()}"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
      code_now, reason = probed
      if code_now == grpc.StatusCode.UNAVAILABLE:
        return RequestError(
          f"No server at {self._address} within {self._timeout:g} seconds. "
          "Start one with python -m serving.server, or correct the address. "
          f"({reason})"
        )
      text = (
        f"{self._address} did not answer within {self._timeout:g} seconds. Ask "
        "for less, or allow more time."
      )
    elif code == grpc.StatusCode.NOT_FOUND:
      text += ". Is the model's name the one that the server was started with?"
    elif code == grpc.StatusCode.UNAUTHENTICATED:
      text += " Give the client its token."
    return RequestError(text, code)


class LatentClient(_Client):
  """The signatures of an exported model, numpy in and numpy out.

  What goes in and what comes out is documented in `endpoints`, by the same
  names. All methods raise RequestError. Threads may share a client.
  """

  _library = grpc

  sample = _waits(_Requests.sample)
  transform = _waits(_Requests.transform)
  samplers = _waits(_Requests.samplers)
  encode = _waits(_Requests.encode)
  decode = _waits(_Requests.decode)
  score = _waits(_Requests.score)
  describe = _waits(_Requests.describe)

  @functools.cached_property
  def attributes(self) -> attributes_lib.Attributes:
    """The model's attributes."""
    return self._run(self._requests.attributes())

  @functools.cached_property
  def image_shape(self) -> tuple[int, int, int]:
    """(height, width, channels) of the model's images."""
    return self._run(self._requests.image_shape())

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def close(self) -> None:
    """Ends the connection."""
    self._channel.close()

  def connect(self, timeout: float | None = None) -> bool:
    """Returns whether there is a server, waiting for it if need be.

    Args:
      timeout: Seconds to wait; None means the client's own.
    """
    code, _ = self._probe(
      self._timeout if timeout is None else timeout, wait_for_ready=True
    )
    return code != grpc.StatusCode.DEADLINE_EXCEEDED

  def _run(self, steps):
    end = time.monotonic() + self._timeout
    try:
      calls = next(steps)
      while True:
        calls = steps.send(self._answers(calls, end))
    except StopIteration as ended:
      return ended.value

  def _answers(self, calls, end):
    if len(calls) == 1:
      return [self._answer(calls[0], end)]
    with futures.ThreadPoolExecutor(_PARALLEL) as threads:
      return list(threads.map(lambda call: self._answer(call, end), calls))

  def _answer(self, call, end):
    patience = _Patience(end)
    while True:
      try:
        return getattr(self._stub, call.method)(
          call.request,
          timeout=patience.left,
          wait_for_ready=True,
          metadata=self._metadata,
        )
      except grpc.RpcError as error:
        pause = patience.pause_after(error)
        if pause is None:
          probed = self._probe(1.0, wait_for_ready=False)
          raise self._explained(error, probed) from error
      time.sleep(pause)

  def _probe(self, timeout, wait_for_ready):
    """Returns code and text of a call that costs nothing."""
    try:
      self._stub.GetModelMetadata(
        _NOTHING,
        timeout=timeout,
        wait_for_ready=wait_for_ready,
        metadata=self._metadata,
      )
    except grpc.RpcError as error:
      return error.code(), error.details()
    return grpc.StatusCode.OK, ""


class AsyncLatentClient(_Client):
  """The same for asyncio: a coroutine for each method of `LatentClient`.

  A coroutine that is cancelled cancels its calls. A client belongs to the event
  loop that it was made in.
  """

  _library = grpc.aio

  sample = _awaits(_Requests.sample)
  transform = _awaits(_Requests.transform)
  samplers = _awaits(_Requests.samplers)
  encode = _awaits(_Requests.encode)
  decode = _awaits(_Requests.decode)
  score = _awaits(_Requests.score)
  describe = _awaits(_Requests.describe)
  attributes = _awaits(_Requests.attributes)
  image_shape = _awaits(_Requests.image_shape)

  async def __aenter__(self):
    return self

  async def __aexit__(self, *_):
    await self.close()

  async def close(self) -> None:
    """Ends the connection."""
    await self._channel.close()

  async def connect(self, timeout: float | None = None) -> bool:
    """See `LatentClient.connect`."""
    code, _ = await self._probe(
      self._timeout if timeout is None else timeout, wait_for_ready=True
    )
    return code != grpc.StatusCode.DEADLINE_EXCEEDED

  async def _run(self, steps):
    end = time.monotonic() + self._timeout
    try:
      calls = next(steps)
      while True:
        calls = steps.send(await self._answers(calls, end))
    except StopIteration as ended:
      return ended.value

  async def _answers(self, calls, end):
    slots = asyncio.Semaphore(_PARALLEL)

    async def answer(call):
      async with slots:
        return await self._answer(call, end)

    tasks = [asyncio.create_task(answer(call)) for call in calls]
    try:
      return await asyncio.gather(*tasks)
    finally:
      for task in tasks:  # When one has failed.
        task.cancel()

  async def _answer(self, call, end):
    patience = _Patience(end)
    while True:
      try:
        return await getattr(self._stub, call.method)(
          call.request,
          timeout=patience.left,
          wait_for_ready=True,
          metadata=self._metadata,
        )
      except grpc.RpcError as error:
        pause = patience.pause_after(error)
        if pause is None:
          probed = await self._probe(1.0, wait_for_ready=False)
          raise self._explained(error, probed) from error
      await asyncio.sleep(pause)

  async def _probe(self, timeout, wait_for_ready):
    """Returns code and text of a call that costs nothing."""
    try:
      await self._stub.GetModelMetadata(
        _NOTHING,
        timeout=timeout,
        wait_for_ready=wait_for_ready,
        metadata=self._metadata,
      )
    except grpc.RpcError as error:
      return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def _floats(values):
  return np.asarray(values, np.float32)


def _ints(values):
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
