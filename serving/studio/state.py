"""What is asked for on a page, as a link: the link is all that there is.

  /?face=data%3A3&want=Smiling&without=Male&strength=0.8&sampler=search

What has its usual value is left out.
"""

import dataclasses
import math
import urllib.parse
from collections.abc import Callable

# Where a face comes from: face=prior, face=data:NUMBER, face=upload:PICTURE.
PRIOR, DATA, UPLOAD = "prior", "data", "upload"
LARGEST_STRENGTH = 2.0
LARGEST_REALISM_WEIGHT = 5.0


@dataclasses.dataclass(frozen=True)
class State:
  """What is asked for.

  Attributes:
    face: "prior", "data:3" (the third of the studio's pictures, from 0), or
      "upload:" and a picture as `faces.Faces.take` writes it.
    wishes: Attributes and what is wanted of them, in [0, 1]: 1 is with, 0 is
      without; who is not named does not matter. Sorted by name.
    strength: How much of the change is made, in [0, 2].
    realism_weight: How much realism counts, in [0, 5].
    sampler: Who makes the change.
    seed: Of all draws.
    everyone: Whether every attribute is shown on the same person, too.
  """

  face: str = PRIOR
  wishes: tuple[tuple[str, float], ...] = ()
  strength: float = 1.0
  realism_weight: float = 1.0
  sampler: str = "actor"
  seed: int = 0
  everyone: bool = False

  def wish(self, name: str) -> float | None:
    """Returns what is wanted of an attribute; None if it does not matter."""
    return dict(self.wishes).get(name)

  def wishing(self, name: str, value: float | None) -> "State":
    """Returns the same with another wish for an attribute; None takes it."""
    wishes = dict(self.wishes) | {name: value}
    kept = {key: value for key, value in wishes.items() if value is not None}
    return dataclasses.replace(self, wishes=tuple(sorted(kept.items())))

  def to_query(self) -> str:
    """Returns the part of a link behind its question mark."""
    pairs = [("face", self.face)] if self.face != PRIOR else []
    for name, value in self.wishes:
      key = {1.0: "want", 0.0: "without"}.get(value, "partly")
      pairs.append((key, f"{value!r} {name}" if key == "partly" else name))
    for key in ("strength", "realism_weight", "sampler", "seed"):
      if getattr(self, key) != getattr(_USUAL, key):
        pairs.append((key, getattr(self, key)))
    if self.everyone:
      pairs.append(("everyone", 1))
    return urllib.parse.urlencode(pairs)


_USUAL = State()


def from_query(query: str) -> State:
  """Reads what `to_query` has written; a key that it does not know is nothing.

  Raises:
    ValueError: A value cannot be meant, in a sentence.
  """
  pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
  given = dict(pairs)
  wishes = {}
  for key, text in pairs:
    if key in ("want", "without"):
      wishes[text] = float(key == "want")
    elif key == "partly":
      number, _, name = text.partition(" ")
      wishes[name] = _number("partly", number, float, 0.0, 1.0)
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
    wishes=tuple(sorted(wishes.items())),
    strength=_given(given, "strength", float, 0.0, LARGEST_STRENGTH),
    realism_weight=_given(
      given, "realism_weight", float, 0.0, LARGEST_REALISM_WEIGHT
    ),
    sampler=given.get("sampler", _USUAL.sampler),
    seed=_given(given, "seed", int, -(2**63), 2**63 - 1),
    everyone=given.get("everyone") == "1",
  )


def _given(given, key, kind, low, high):
  if key not in given:
    return getattr(_USUAL, key)
  return _number(key, given[key], kind, low, high)


def _number(key: str, text: str, kind: Callable, low, high):
  try:
    value = kind(text)
  except ValueError:
    value = math.nan
  if not low <= value <= high:
    what = "a whole number" if kind is int else "a number"
    raise ValueError(f"{key}={text[:40]}: {what} from {low} to {high}.")
  return value
