"""What the studio asks a server, by the signatures of an exported model.

A transformation is asked for once, at full strength. Between where it starts
and where it ends lies a straight line of latent vectors, and what is on it is
only decoded and judged: so that every sampler has a strength, and moving it
costs a search nothing.

All outputs of a signature are asked for. TensorFlow prepares a signature anew
for each selection of its outputs, which takes seconds and hundreds of megabytes
in the server; for all of them it has done so, since the requests that an export
brings to warm up with ask for all.
"""

import asyncio
import dataclasses
import time
from collections.abc import Sequence

import grpc
import numpy as np

from lc_keras import losses
from lc_keras.constraints import attributes as attributes_lib
from serving import latent_client
from serving.studio import state as state_lib


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known of the model.

  Attributes:
    attributes: The K attributes.
    samplers: Who can be asked for a change, the actor first.
    image_shape: (height, width, channels).
    encodes: Whether it takes pictures; if not, faces are drawn anew.
  """

  attributes: attributes_lib.Attributes
  samplers: tuple[str, ...]
  image_shape: tuple[int, int, int]
  encodes: bool

  def like(self, other: "Facts") -> bool:
    """Returns whether the same can be asked of another model."""
    return (
      self.attributes.names == other.attributes.names
      and self.attributes.continuous == other.attributes.continuous
      and np.array_equal(self.attributes.excludes, other.attributes.excludes)
      and self.samplers == other.samplers
      and self.image_shape == other.image_shape
      and self.encodes == other.encodes
    )


@dataclasses.dataclass(frozen=True)
class Start:
  """Where changes of a face begin.

  Attributes:
    face: [height, width, channels]; None for a model that takes no pictures.
    latents: [latent].
    scale: [latent], the width of its posterior; ones if there is none.
  """

  face: np.ndarray | None
  latents: np.ndarray
  scale: np.ndarray


@dataclasses.dataclass(frozen=True)
class Move:
  """What a sampler made of n wishes.

  Attributes:
    start: Where all began.
    values: [n, K], what was wanted.
    mask: [n, K], 1 where it was.
    ends: [n, latent].
    converged: [n] booleans, what the sampler says.
    steps: [n], its evaluations of a network.
    milliseconds: How long the call took, there and back.
  """

  start: Start
  values: np.ndarray
  mask: np.ndarray
  ends: np.ndarray
  converged: np.ndarray
  steps: np.ndarray
  milliseconds: float


@dataclasses.dataclass(frozen=True)
class View:
  """A latent vector, as it looks and as it is judged.

  Attributes:
    png: The picture.
    realism: In [0, 1].
    probabilities: [K], what the attribute critic reads.
    distance: How far it is from the start, `losses.latent_distance` in widths
      of the face's own posterior.
  """

  png: bytes
  realism: float
  probabilities: np.ndarray
  distance: float


class Asker:
  """Asks; belongs to the event loop that it was made in.

  All methods raise RequestError. Cancelled, they cancel their calls.
  """

  def __init__(self, client: latent_client.AsyncLatentClient):
    self._client = client
    # Seconds that a sampler took for so many wishes when it was last asked.
    self.usual: dict[tuple[str, int], float] = {}

  async def facts(self) -> Facts:
    """Returns what is known of the model, asking anew."""
    self._client.forget()
    with _understood():
      attributes = await self._client.attributes()
      samplers = await self._client.samplers("transform")
      encodes = bool(samplers)
      nothing = np.zeros([1, len(attributes)])
      shown = _moved(await self._client.sample(nothing, nothing, [0]))
      if not encodes:
        samplers = await self._client.samplers("sample")
    shape = shown["images"].shape[1:]
    return Facts(attributes, tuple(samplers), shape, encodes)

  async def start(
    self, facts: Facts, face: np.ndarray | None, seed: int
  ) -> Start:
    """Returns where changes begin.

    Args:
      facts: The model's.
      face: [height, width, channels] in [0, 1]; None has the model draw one.
      seed: Of that draw, and of the draw of the posterior.
    """
    nothing = np.zeros([1, len(facts.attributes)])
    with _understood():
      if face is None:
        drawn = _moved(await self._client.sample(nothing, nothing, [seed]))
        if not facts.encodes:
          latents = drawn["latents"][0]
          return Start(None, latents, np.ones_like(latents))
        face = drawn["images"][0]
      if not facts.encodes:
        raise latent_client.RequestError(
          "This model cannot encode pictures: choose a face from the prior."
        )
      posterior, unmoved = await _together(
        self._client.encode(face[np.newaxis]),
        self._client.transform(
          face[np.newaxis], nothing, nothing, [seed], strength=0.0
        ),
      )
    return Start(face, _moved(unmoved)["latents"][0], posterior["scale"][0])

  async def move(
    self,
    facts: Facts,
    start: Start,
    state: state_lib.State,
    wishes: Sequence[Sequence[tuple[str, float]]],
  ) -> Move:
    """Has the state's sampler fulfil wishes, each by itself.

    Args:
      facts: The model's.
      start: Where it begins.
      state: Says who does it, with which seed, and what realism counts.
      wishes: n times what `State.wishes` has.
    """
    values, mask = np.zeros([2, len(wishes), len(facts.attributes)], np.float32)
    for row, wish in enumerate(wishes):
      for name, value in wish:
        if name not in facts.attributes.names:
          raise latent_client.RequestError(
            f"The model has no attribute {name!r}, only "
            f"{', '.join(facts.attributes.names)}."
          )
        column = facts.attributes.index(name)
        values[row, column], mask[row, column] = value, 1.0
    dials = {"sampler": state.sampler}
    if state.sampler != latent_client.ACTOR:
      dials["realism_weight"] = state.realism_weight
    seeds = np.full(len(wishes), state.seed)
    begun = time.monotonic()
    with _understood():
      if start.face is None:
        made = await self._client.sample(values, mask, seeds, **dials)
      else:
        images = np.repeat(start.face[np.newaxis], len(wishes), axis=0)
        made = await self._client.transform(
          images, values, mask, seeds, **dials
        )
    seconds = time.monotonic() - begun
    self.usual[state.sampler, len(wishes)] = seconds
    return Move(
      start,
      values,
      mask,
      _moved(made)["latents"],
      made["converged"],
      made["steps"],
      seconds * 1000.0,
    )

  async def views(
    self, move: Move, strengths: Sequence[float], row: int = 0
  ) -> list[View]:
    """Returns what is on the way of a move, at some strengths."""
    parts = np.asarray(strengths, np.float32)[:, np.newaxis]
    count = len(parts)
    latents = (1.0 - parts) * move.start.latents + parts * move.ends[row]
    return await self._seen(
      move.start,
      latents,
      np.repeat(move.values[row : row + 1], count, axis=0),
      np.repeat(move.mask[row : row + 1], count, axis=0),
    )

  async def ends(self, move: Move, strength: float) -> list[View]:
    """Returns what has become of each wish of a move, at a strength."""
    latents = (1.0 - strength) * move.start.latents + strength * move.ends
    return await self._seen(move.start, latents, move.values, move.mask)

  async def _seen(self, start, latents, values, mask):
    with _understood():
      decoded, judged = await _together(
        self._client.decode(latents),
        self._client.score(latents, values, mask),
      )
    distances = losses.latent_distance(
      latents, start.latents[np.newaxis], start.scale
    ).numpy()
    return [
      View(*view)
      for view in zip(
        decoded["image_bytes"],
        judged["realism"].tolist(),
        judged["attribute_probabilities"],
        distances.tolist(),
      )
    ]


def _moved(answer):
  """Returns an answer of a sampler, which has to say where it has got to."""
  if "latents" not in answer:
    raise latent_client.RequestError(
      "The model was exported before `latents` was an output. Export it again "
      "with python -m serving.export."
    )
  return answer


async def _together(*coroutines):
  """Returns what coroutines return; none goes on alone."""
  async with asyncio.TaskGroup() as group:
    tasks = [group.create_task(coroutine) for coroutine in coroutines]
  return [task.result() for task in tasks]


class _understood:
  """Turns what tasks and servers say into one sentence."""

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    while isinstance(error, BaseExceptionGroup):
      error = error.exceptions[0]
    if not isinstance(error, latent_client.RequestError):
      return False
    text = str(error)
    if error.code == grpc.StatusCode.FAILED_PRECONDITION:
      text = f"This is no model that serving.export has written. ({text})"
    raise latent_client.RequestError(text, error.code) from error
