"""The user's settings on a page, which only the link stores.

  /?face=data%3A3&want=Smiling&without=Male&strength=0.8&sampler=search

Default values are left out.
"""

import dataclasses
import math
import urllib.parse
from collections.abc import Callable

# The source of a face: face=prior, face=data:NUMBER, face=upload:PICTURE.
PRIOR, DATA, UPLOAD = "prior", "data", "upload"
LARGEST_STRENGTH = 2.0
LARGEST_REALISM_WEIGHT = 5.0
# Fields of a state that are numbers in a link: type, lowest and highest value.
_NUMBERS = {
  "strength": (float, 0.0, LARGEST_STRENGTH),
  "realism_weight": (float, 0.0, LARGEST_REALISM_WEIGHT),
  "seed": (int, -(2**63), 2**63 - 1),
}


@dataclasses.dataclass(frozen=True)
class State:
  """The user's settings on a page.

  Attributes:
    face: "prior", "data:3" (picture 3 of the studio, counted from 0), or
      "upload:" and a picture as `faces.Faces.take` writes it.
    request: Attributes and their targets in [0, 1], sorted by name: 1 is with,
      0 is without; other attributes are left open.
    strength: The part of the change to make, in [0, 2].
    realism_weight: The weight of realism, in [0, 5].
    sampler: The sampler that makes the change.
    seed: Seed of all draws.
    everyone: Whether each attribute is switched on the same person, too.
  """

  face: str = PRIOR
  request: tuple[tuple[str, float], ...] = ()
  strength: float = 1.0
  realism_weight: float = 1.0
  sampler: str = "actor"
  seed: int = 0
  everyone: bool = False

  def target(self, name: str) -> float | None:
    """Returns the target of an attribute; None if it is left open."""
    return dict(self.request).get(name)

  def with_target(self, name: str, target: float | None) -> "State":
    """Returns a copy with a target for an attribute; None leaves it open."""
    request = dict(self.request) | {name: target}
    kept = {name: one for name, one in request.items() if one is not None}
    return dataclasses.replace(self, request=tuple(sorted(kept.items())))

  def to_query(self) -> str:
    """Returns the part of a link behind its question mark."""
    pairs = [("face", self.face)] if self.face != PRIOR else []
    for name, target in self.request:
      key = {1.0: "want", 0.0: "without"}.get(target, "partly")
      pairs.append((key, f"{target!r} {name}" if key == "partly" else name))
    for key in ("strength", "realism_weight", "sampler", "seed"):
      if getattr(self, key) != getattr(_USUAL, key):
        pairs.append((key, getattr(self, key)))
    if self.everyone:
      pairs.append(("everyone", 1))
    return urllib.parse.urlencode(pairs)

  def link(self, path: str) -> str:
    """Returns the link to a page in this state."""
    query = self.to_query()
    return f"{path}?{query}" if query else path


_USUAL = State()


def from_query(query: str) -> State:
  """Parses the result of `to_query`; unknown keys are ignored.

  Raises:
    ValueError: A value is invalid.
  """
  pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
  given = dict(pairs)
  request = {}
  for key, text in pairs:
    if key in ("want", "without"):
      request[text] = float(key == "want")
    elif key == "partly":
      number, _, name = text.partition(" ")
      request[name] = _number("partly", number, float, 0.0, 1.0)
  face = given.get("face", PRIOR)
  kind, _, rest = face.partition(":")
  if kind not in (PRIOR, DATA, UPLOAD) or (kind == PRIOR) != (not rest):
    raise ValueError(
      f"face={face[:40]}: a face is `prior`, `data:` with a number, or "
      "`upload:` with a picture."
    )
  if kind == DATA:
    _number("face=data", rest, int, 0, 2**31)
  return State(
    face=face,
    request=tuple(sorted(request.items())),
    sampler=given.get("sampler", _USUAL.sampler),
    everyone=given.get("everyone") == "1",
    **{
      key: _number(key, given[key], *bounds)
      for key, bounds in _NUMBERS.items()
      if key in given
    },
  )


def _number(key: str, text: str, kind: Callable, low, high):
  try:
    number = kind(text)
  except ValueError:
    number = math.nan
  if not low <= number <= high:
    what = "a whole number" if kind is int else "a number"
    raise ValueError(f"{key}={text[:40]}: {what} from {low} to {high}.")
  return number
