"""The studio's calls to a served model.

The studio requests a transformation once, at full strength. For any strength it
only decodes and scores latent vectors on the straight line between start and
end: every sampler has a strength, and another strength needs no new search.

Each call requests all outputs of a signature. TensorFlow prepares a signature
anew for each selection of its outputs, which takes seconds and hundreds of
megabytes in the server; an export's warm-up requests prepare all of them.
"""

import asyncio
import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from lc_keras import losses
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.data import preprocessing as preprocessings
from serving import latent_client
from serving.studio import state as state_lib

# Seconds between two checks of the server, and for the answer of a busy one.
_PAUSE = 1.0
_PATIENCE = 4.0


@dataclasses.dataclass(frozen=True)
class Facts:
  """The facts about a model.

  Attributes:
    attributes: The K attributes.
    samplers: The samplers that can make a change, the actor first.
    preprocessing: Crops and resizes a picture to an image.
    encodes: Whether it accepts pictures; if not, faces are drawn from the
      prior.
    moves_latents: Whether it can edit drawn latents; a model that neither does
      that nor encodes draws a new face for each request.
  """

  attributes: attributes_lib.Attributes
  samplers: tuple[str, ...]
  preprocessing: preprocessings.Preprocessing
  encodes: bool
  moves_latents: bool = False

  def same_as(self, other: "Facts") -> bool:
    """Returns whether the same controls fit another model."""
    own, others = self.attributes, other.attributes
    return (
      (own.names, own.continuous) == (others.names, others.continuous)
      and np.array_equal(own.excludes, others.excludes)
      and dataclasses.replace(self, attributes=others) == other
    )


@dataclasses.dataclass(frozen=True)
class Start:
  """The start of edits of a face.

  Attributes:
    face: [height, width, channels]; None for a model that takes no pictures.
    latents: [latent].
    scale: [latent], the width of its posterior; ones if there is none.
    drawn: Whether the latents are a draw of the prior, which needs no encoder.
  """

  face: np.ndarray | None
  latents: np.ndarray
  scale: np.ndarray
  drawn: bool = False


@dataclasses.dataclass(frozen=True)
class Move:
  """A sampler's results for n requests from one start.

  Attributes:
    start: The start of all requests.
    targets: [n, K], the target of each attribute.
    mask: [n, K], 1 where an attribute has a target.
    ends: [n, latent].
    converged: [n] booleans, by the model's critics.
    steps: [n], the sampler's evaluations of a network.
    milliseconds: Duration of the call, as seen by the client.
  """

  start: Start
  targets: np.ndarray
  mask: np.ndarray
  ends: np.ndarray
  converged: np.ndarray
  steps: np.ndarray
  milliseconds: float


@dataclasses.dataclass(frozen=True)
class View:
  """A latent vector: its picture and its scores.

  Attributes:
    png: The picture.
    realism: In [0, 1].
    probabilities: [K], the attribute critic's probabilities.
    distance: `losses.latent_distance` from the start, in widths of the face's
      posterior.
  """

  png: bytes
  realism: float
  probabilities: np.ndarray
  distance: float


class Model:
  """Calls the server; belongs to the event loop in which it was made.

  `start`, `move`, `views` and `full_size` raise RequestError. Cancelled, they
  cancel their calls.

  Attributes:
    up: Whether the server answered the last call.
    returns: Number of times that the server has appeared; each time it may have
      another model.
    facts: The facts about the model; None until the server first answers.
    error: The reason why there are no facts; "" without one.
    usual: Seconds of the last call, by sampler and number of requests.
    has_full_size: Whether `full_size` can be called.
  """

  def __init__(
    self,
    client: latent_client.AsyncLatentClient,
    full_size: latent_client.AsyncLatentClient | None = None,
  ):
    """Makes no call yet.

    The client `full_size` is of a model that decodes the same latents to larger
    images.
    """
    self.has_full_size = full_size is not None
    self._full_size = full_size
    self.up = True
    self.returns = 0
    self.facts: Facts | None = None
    self.error = ""
    self.usual: dict[tuple[str, int], float] = {}
    self._client = client

  async def watch(self) -> None:
    """Calls the server at intervals, until it is cancelled."""
    while True:
      there = await self._client.connect(_PATIENCE)
      if there and not (self.up and self.facts and not self.error):
        try:
          self.facts, self.error = await self._learn(), ""
          self.returns += 1
        except latent_client.RequestError as error:
          self.error = str(error)
      self.up = there
      await asyncio.sleep(_PAUSE)

  async def _learn(self) -> Facts:
    self._client.forget()
    attributes = await self._client.attributes()
    preprocessing = await self._client.preprocessing()
    if not preprocessing.are_images:
      raise latent_client.RequestError(
        "The studio shows images, and this model makes arrays of "
        f"{' x '.join(map(str, preprocessing.image_shape))}."
      )
    samplers = await self._client.samplers("transform")
    encodes = bool(samplers)
    moves_latents = await self._client.moves_latents()
    if not encodes:
      samplers = await self._client.samplers("sample")
      samplers = samplers[:1] if moves_latents else samplers
    return Facts(
      attributes, tuple(samplers), preprocessing, encodes, moves_latents
    )

  async def start(self, face: np.ndarray | None, seed: int) -> Start:
    """Returns the start of changes.

    Args:
      face: [height, width, channels] in [0, 1]; None draws one from the prior.
      seed: Seed of the draw of the prior, or of the posterior.
    """
    nothing = np.zeros([1, len(self.facts.attributes)])
    if face is None:
      sample = await self._client.sample(nothing, nothing, [seed])
      latents = sample["latents"][0]
      face = sample["images"][0] if self.facts.encodes else None
      if face is None or self.facts.moves_latents:
        return Start(face, latents, np.ones_like(latents), drawn=True)
    if not self.facts.encodes:
      raise latent_client.RequestError(
        "This model cannot encode pictures: choose a face from the prior."
      )
    posterior, unmoved = await asyncio.gather(
      self._client.encode(face[np.newaxis]),
      self._client.transform(
        face[np.newaxis], nothing, nothing, [seed], strength=0.0
      ),
    )
    return Start(face, unmoved["latents"][0], posterior["scale"][0])

  async def move(
    self,
    start: Start,
    state: state_lib.State,
    requests: Sequence[Sequence[tuple[str, float]]],
  ) -> Move:
    """Moves a start with the state's sampler, for each request alone.

    If all requests are empty, no call is made and nothing moves.

    Args:
      start: The start.
      state: Has the sampler, its seed, and the weight of realism.
      requests: n sequences of attributes and targets, see `State.request`.
    """
    attributes = self.facts.attributes
    shape = [2, len(requests), len(attributes)]
    targets, mask = np.zeros(shape, np.float32)
    for row, request in enumerate(requests):
      for name, target in request:
        if name not in attributes.names:
          raise latent_client.RequestError(
            f"The model has no attribute {name!r}, only "
            f"{', '.join(attributes.names)}."
          )
        column = attributes.index(name)
        targets[row, column], mask[row, column] = target, 1.0
    if not mask.any() and state.sampler in self.facts.samplers:
      ends = np.repeat(start.latents[np.newaxis], len(requests), axis=0)
      steps = np.zeros(len(requests), np.int32)
      return Move(start, targets, mask, ends, steps == 0, steps, 0.0)
    dials = {"sampler": state.sampler}
    if state.sampler != latent_client.ACTOR:
      dials["realism_weight"] = state.realism_weight
    seeds = np.full(len(requests), state.seed)
    started = time.monotonic()
    as_drawn = start.face is None or state.sampler == latent_client.ACTOR
    if start.drawn and self.facts.moves_latents and as_drawn:
      latents = np.repeat(start.latents[np.newaxis], len(requests), axis=0)
      moved = await self._client.transform_latents(
        latents, targets, mask, seeds
      )
    elif start.face is None:
      moved = await self._client.sample(targets, mask, seeds, **dials)
    else:
      images = np.repeat(start.face[np.newaxis], len(requests), axis=0)
      moved = await self._client.transform(
        images, targets, mask, seeds, **dials
      )
    seconds = time.monotonic() - started
    self.usual[state.sampler, len(requests)] = seconds
    return Move(
      start,
      targets,
      mask,
      moved["latents"],
      moved["converged"],
      moved["steps"],
      1000.0 * seconds,
    )

  async def views(
    self, move: Move, strengths: float | Sequence[float]
  ) -> list[View]:
    """Returns pictures and scores along a move.

    Several strengths, parts of the move, need a move of one request.
    """
    start, latents = move.start, _along(move, strengths)
    # Without a request, realism is that of the face alone.
    nothing = np.zeros([len(latents), len(self.facts.attributes)])
    decoded, scores = await asyncio.gather(
      self._client.decode(latents),
      self._client.score(latents, nothing, nothing),
    )
    distances = losses.latent_distance(
      latents, start.latents[np.newaxis], start.scale
    )
    return [
      View(*view)
      for view in zip(
        decoded["image_bytes"],
        scores["realism"].tolist(),
        scores["attribute_probabilities"],
        distances.numpy().tolist(),
      )
    ]

  async def full_size(self, move: Move, strength: float) -> bytes:
    """Returns the result of a move of one request, a full-size PNG file."""
    latents = _along(move, strength)
    decoded = await self._full_size.decode(latents, ["image_bytes"])
    return decoded["image_bytes"][0]


def _along(move, strengths):
  """Returns latents on the line between the start and the end of a move."""
  strength = np.reshape(np.asarray(strengths, np.float32), [-1, 1])
  return (1.0 - strength) * move.start.latents + strength * move.ends
