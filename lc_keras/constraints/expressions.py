"""Wishes about attributes, joined by and, or and not, and what they amount to.

  wish = (Has("Smiling") | Has("Eyeglasses")) & ~Has("Male")
  constraint = Request(wish, attributes).rows(16)

`language` reads the same from text.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras.constraints import attributes as attributes_lib
from lc_keras.constraints import constraint as constraint_lib

# More are rather a mistake than a wish, and all of them are held in memory.
MAX_ALTERNATIVES = 64


class Expression(abc.ABC):
  """Something that can be wished for: `a & b`, `a | b`, `~a`, `2 * a`.

  There is no node for "not" and none for a weight: both go down to the single
  wants at once, by De Morgan's laws. A wish is thus always in negation normal
  form. `str` writes it in the language that `language.parse` reads.
  """

  def __and__(self, other: "Expression") -> "Expression":
    return And((self, other))

  def __or__(self, other: "Expression") -> "Expression":
    return Or((self, other))

  @abc.abstractmethod
  def __invert__(self) -> "Expression":
    """The opposite, as important.

    Raises:
      ValueError: There is none: 0.7 of a continuous attribute is wanted.
    """

  @abc.abstractmethod
  def __rmul__(self, weight: float) -> "Expression":
    """The same, `weight` times as important.

    Raises:
      ValueError: The weight is not a number above 0.
    """


@dataclasses.dataclass(frozen=True)
class Has(Expression):
  """One attribute and the value that it should have.

  Attributes:
    name: Of the attribute, in any spelling that `Attributes.index` takes.
    value: In [0, 1]: 1 is on, 0 is off. Between is for continuous attributes.
    weight: Above 0, how much it counts.
  """

  name: str
  value: float = 1.0
  weight: float = 1.0

  def __post_init__(self):
    if not 0.0 <= self.value <= 1.0:
      raise ValueError(f"{self.name} = {self.value:g}: must be in [0, 1].")
    if not 0.0 < self.weight < np.inf:
      raise ValueError(
        f"{self.weight:g} * {self.name}: a weight must be above 0. To leave "
        "an attribute open, leave it out."
      )

  def __invert__(self):
    if self.value not in (0.0, 1.0):
      raise ValueError(f"not {self}: say what it should be instead.")
    return dataclasses.replace(self, value=1.0 - self.value)

  def __rmul__(self, weight):
    return dataclasses.replace(self, weight=weight * self.weight)

  def __str__(self):
    times = "" if self.weight == 1.0 else f"{self.weight!r} * "
    if self.value in (0.0, 1.0):
      return f"{times}{'' if self.value else 'not '}{self.name}"
    return f"{times}{self.name} = {self.value!r}"


@dataclasses.dataclass(frozen=True)
class And(Expression):
  """All of its parts; without parts, nothing in particular."""

  parts: tuple[Expression, ...] = ()

  def __invert__(self):
    return Or(tuple(~part for part in self.parts))

  def __rmul__(self, weight):
    return And(tuple(weight * part for part in self.parts))

  def __str__(self):
    return f"({' and '.join(map(str, self.parts))})"


@dataclasses.dataclass(frozen=True)
class Or(Expression):
  """At least one of its parts."""

  parts: tuple[Expression, ...]

  def __invert__(self):
    return And(tuple(~part for part in self.parts))

  def __rmul__(self, weight):
    return Or(tuple(weight * part for part in self.parts))

  def __str__(self):
    return f"({' or '.join(map(str, self.parts))})"


class Alternative(NamedTuple):
  """One way to satisfy an expression, a conjunction of targets.

  Attributes:
    values: float32 [num_attributes] in [0, 1].
    weights: float32 [num_attributes] from 0 up; 0 leaves an attribute open.
  """

  values: np.ndarray
  weights: np.ndarray


class Request:
  """What a wish amounts to: alternatives, of which one must hold.

  The disjunctive normal form of the wish. An alternative asks for its wants
  and, as much, for the absence of what these rule out; where an attribute is
  asked for repeatedly, the largest weight counts. Alternatives that contradict
  themselves, or ask for more than another that would do, are dropped.

  Attributes:
    attributes: The attributes, in the order of the columns.
    alternatives: At least one `Alternative`.
    realism_weight: See `Constraint`.
  """

  def __init__(
    self,
    wish: Expression,
    attributes: attributes_lib.Attributes,
    realism_weight: float = 1.0,
  ):
    """Works out the alternatives.

    Args:
      wish: What is wanted.
      attributes: The attributes that it is about.
      realism_weight: Above 0, see `Constraint`.

    Raises:
      ValueError: A name is unknown, a binary attribute is wanted in part, all
        alternatives contradict themselves, there are more than
        `MAX_ALTERNATIVES`, or the realism weight is not above 0.
    """
    if not 0.0 < realism_weight < np.inf:
      raise ValueError(
        f"{realism_weight:g} * realism: a weight must be above 0."
      )
    self.attributes = attributes
    self.realism_weight = realism_weight
    expansion = _Expansion(attributes)
    conjunctions = expansion.expand(wish)
    if not conjunctions:
      raise ValueError(expansion.contradiction)
    self.alternatives = tuple(
      self._alternative(wants)
      for wants in conjunctions
      # What asks for all of another, and more, adds no way to satisfy it.
      if not any(set(other) < set(wants) for other in conjunctions)
    )

  def rows(self, n: int, first: int = 0) -> constraint_lib.Constraint:
    """Returns a constraint of n rows that take the alternatives in turns.

    Args:
      n: How many.
      first: Which turn the first one takes.
    """
    return self._constraint(
      np.arange(first, first + n) % len(self.alternatives)
    )

  def nearest(self, probabilities: tf.Tensor) -> constraint_lib.Constraint:
    """Returns a constraint that asks each row for what it misses least.

    Args:
      probabilities: [batch, num_attributes] in [0, 1], what the rows have now.

    Returns:
      Per row the alternative with the least cross-entropy, summed by weight: an
      alternative that changes less wins against one that changes more.
    """
    probabilities = tf.clip_by_value(probabilities, 1e-6, 1.0 - 1e-6)
    logits = tf.math.log(probabilities) - tf.math.log1p(-probabilities)
    missing = [
      tf.reduce_sum(weights) * constraint.energy(logits)
      for constraint, weights in zip(
        self._spread(probabilities), self._stacked.weights
      )
    ]
    return self._constraint(tf.argmin(tf.stack(missing, axis=-1), axis=-1))

  def satisfied(
    self, probabilities: tf.Tensor, tolerance: float = 0.5
  ) -> tf.Tensor:
    """Returns whether some alternative holds, bool [batch].

    Args:
      probabilities: [batch, num_attributes] in [0, 1].
      tolerance: See `Constraint.satisfied`.
    """
    held = [
      constraint.satisfied(probabilities, tolerance)
      for constraint in self._spread(probabilities)
    ]
    return tf.reduce_any(tf.stack(held, axis=-1), axis=-1)

  @functools.cached_property
  def _stacked(self):
    """The alternatives as one, [num_alternatives, num_attributes]."""
    return Alternative(*map(np.stack, zip(*self.alternatives)))

  def _spread(self, probabilities):
    """Yields each alternative as a constraint on all rows."""
    count = tf.shape(probabilities)[0]
    for index in range(len(self.alternatives)):
      yield self._constraint(tf.fill([count], index))

  def _constraint(self, indices):
    return constraint_lib.Constraint(
      tf.gather(self._stacked.values, indices),
      tf.gather(self._stacked.weights, indices),
      self.realism_weight,
    )

  def _alternative(self, wants):
    values, weights = np.zeros([2, len(self.attributes)], np.float32)
    for want in wants:
      column = self.attributes.index(want.name)
      values[column] = want.value
      weights[column] = want.weight
    on = np.where(values > 0.5, weights, 0.0)[:, np.newaxis]
    implied = (on * self.attributes.excludes).max(axis=0)
    return Alternative(values, np.maximum(weights, implied))


class _Expansion:
  """Expands wishes into conjunctions: tuples of wants, one an attribute."""

  def __init__(self, attributes):
    self._attributes = attributes
    # Why there is no conjunction, should there be none.
    self.contradiction = "Nothing satisfies an `or` of nothing."

  def expand(self, wish: Expression) -> list[tuple[Has, ...]]:
    """Returns the conjunctions that do not contradict themselves."""
    match wish:
      case Has():
        return [(self._checked(wish),)]
      case Or(parts):
        return self._bounded(c for part in parts for c in self.expand(part))
      case And(parts):
        conjunctions = [()]
        for part in parts:
          more = self.expand(part)
          conjunctions = self._bounded(
            self._merged(first, second)
            for first in conjunctions
            for second in more
            if not self._contradict(first, second)
          )
        return conjunctions
    raise TypeError(f"Not a wish: {wish!r}.")

  def _checked(self, want):
    name = self._attributes.names[self._attributes.index(want.name)]
    if want.value not in (0.0, 1.0) and name not in self._attributes.continuous:
      raise ValueError(
        f"{name} = {want.value:g}: {name} is on or off. Write {name} or not "
        f"{name}; for how much it counts, 2 * {name}."
      )
    return dataclasses.replace(want, name=name)

  def _merged(self, first, second):
    wants = {want.name: want for want in first}
    for want in second:
      weight = max(want.weight, wants.get(want.name, want).weight)
      wants[want.name] = dataclasses.replace(want, weight=weight)
    return tuple(sorted(wants.values(), key=lambda want: want.name))

  def _contradict(self, first, second):
    """Returns whether two conjunctions do, and notes why."""
    return any(self._clash(a, b) for a in first for b in second)

  def _clash(self, first, second):
    if first.name == second.name:
      clash = first.value != second.value
      text = f"{first} and {second} contradict each other."
    else:
      columns = map(self._attributes.index, (first.name, second.name))
      both_on = min(first.value, second.value) > 0.5
      clash = both_on and self._attributes.excludes[*columns] > 0.0
      text = (
        f"{first.name} and {second.name} rule each other out: ask for one of "
        "them, or join them by `or`."
      )
    if clash:
      self.contradiction = text
    return clash

  def _bounded(self, conjunctions: Iterable[tuple[Has, ...]]):
    """Returns them as a list without repetitions, or refuses their number."""
    distinct = list(dict.fromkeys(conjunctions))
    if len(distinct) > MAX_ALTERNATIVES:
      raise ValueError(
        f"The request has {len(distinct)} alternatives or more; at most "
        f"{MAX_ALTERNATIVES} are possible. Use `or` less often."
      )
    return distinct
