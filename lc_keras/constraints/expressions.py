"""Expressions of attributes, joined by and, or and not.

>>> from lc_keras.constraints import attributes
>>> faces = attributes.Attributes(["Smiling", "Eyeglasses", "Male"])
>>> expression = (Has("Smiling") | Has("Eyeglasses")) & ~Has("Male")
>>> [alternative.values for alternative in alternatives(expression, faces)]
[array([1., 0., 0.], dtype=float32), array([0., 1., 0.], dtype=float32)]

`language` parses them from text, `requests` applies them to rows. Neither this
module nor `language` loads TensorFlow.
"""

import abc
import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lc_keras.constraints import attributes as attribute_names

# More are probably a mistake, and all of them are held in memory.
MAX_ALTERNATIVES = 64


class Expression(abc.ABC):
  """An expression of attributes: `a & b`, `a | b`, `~a`, `2 * a`.

  There is no node for "not" and none for a weight: both are moved to the leaves
  (`Has`) at once, by De Morgan's laws. An expression is thus always in negation
  normal form. `str` writes it in the language of `language`.

  It has no truth value, since Python's `a and b` would silently be b alone.

  >>> Has("Smiling") and ~Has("Male")  # doctest: +ELLIPSIS
  Traceback (most recent call last):
  TypeError: Smiling is neither true nor false: join constraints with & | ~ ...
  """

  def __and__(self, other: "Expression") -> "Expression":
    if not isinstance(other, Expression):
      raise _no_constraint(other)
    return And((self, other))

  def __or__(self, other: "Expression") -> "Expression":
    if not isinstance(other, Expression):
      raise _no_constraint(other)
    return Or((self, other))

  def __bool__(self):
    raise TypeError(
      f"{self} is neither true nor false: join constraints with & | ~ (a & b, "
      "a | b, ~a) instead of `and`, `or`, `not`, and do not ask `if` of them."
    )

  def _no_order(self, other):
    raise TypeError(
      f"{self} cannot be compared with {other!r}: to ask for a degree, write "
      'lc_keras.Has("Age", 0.7), or "Age = 0.7" as text; join constraints with '
      "& | ~ (a & b, a | b, ~a)."
    )

  __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _no_order

  @abc.abstractmethod
  def __invert__(self) -> "Expression":
    """Returns the negation, with the same weights.

    Raises:
      ValueError: A value between 0 and 1 has no negation.
    """

  @abc.abstractmethod
  def __rmul__(self, weight: float) -> "Expression":
    """Returns the expression with all weights times `weight`.

    Raises:
      ValueError: The weight is not a number above 0.
    """


@dataclasses.dataclass(frozen=True)
class Has(Expression):
  """One attribute and its target.

  Attributes:
    name: Name of the attribute, in any spelling that `Attributes.index` takes.
    value: Target in [0, 1]: 1 is on, 0 off; others for continuous attributes.
    weight: Weight of the target, above 0.
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
  """All of its parts hold; without parts, it has no targets."""

  parts: tuple[Expression, ...] = ()

  def __invert__(self):
    return Or(tuple(~part for part in self.parts))

  def __rmul__(self, weight):
    return And(tuple(weight * part for part in self.parts))

  def __str__(self):
    return f"({' and '.join(map(str, self.parts))})"


@dataclasses.dataclass(frozen=True)
class Or(Expression):
  """At least one of its parts holds."""

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


def alternatives(
  expression: Expression, attributes: attribute_names.Attributes
) -> tuple[Alternative, ...]:
  """Returns the disjunctive normal form of an expression.

  An alternative requests its attributes and, with the same weight, the absence
  of those that they exclude; the largest weight of a repeated attribute counts.
  Alternatives that contradict themselves, or contain another alternative, are
  dropped.

  Args:
    expression: The expression.
    attributes: The attributes that it can name.

  Raises:
    ValueError: A name is unknown, the value of a binary attribute is neither
      0 nor 1, all alternatives contradict themselves, or there are more than
      `MAX_ALTERNATIVES`.
  """
  expansion = _Expansion(attributes)
  conjunctions = expansion.expand(expression)
  if not conjunctions:
    raise ValueError(expansion.contradiction)
  return tuple(
    _alternative(parts, attributes)
    for parts in conjunctions
    # One that contains another adds no way to satisfy the request.
    if not any(set(other) < set(parts) for other in conjunctions)
  )


def check_realism(weight: float) -> None:
  """Raises ValueError for a weight of realism that is not above 0."""
  if not 0.0 < weight < np.inf:
    raise ValueError(f"{weight:g} * realism: a weight must be above 0.")


def _alternative(parts, attributes):
  values, weights = np.zeros([2, len(attributes)], np.float32)
  for has in parts:
    column = attributes.index(has.name)
    values[column] = has.value
    weights[column] = has.weight
  on = np.where(values > 0.5, weights, 0.0)[:, np.newaxis]
  implied = (on * attributes.excludes).max(axis=0)
  return Alternative(values, np.maximum(weights, implied))


class _Expansion:
  """Expands expressions into conjunctions: tuples of `Has`."""

  def __init__(self, attributes):
    self._attributes = attributes
    # The error message, if there is no conjunction.
    self.contradiction = "Nothing satisfies an `or` of nothing."

  def expand(self, expression: Expression) -> list[tuple[Has, ...]]:
    """Returns the conjunctions that do not contradict themselves."""
    match expression:
      case Has():
        return [(self._checked(expression),)]
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
    raise _no_constraint(expression)

  def _checked(self, has):
    name = self._attributes.names[self._attributes.index(has.name)]
    if has.value not in (0.0, 1.0) and name not in self._attributes.continuous:
      raise ValueError(
        f"{name} = {has.value:g}: {name} is on or off. Write {name} or not "
        f"{name}; for how much it counts, 2 * {name}."
      )
    return dataclasses.replace(has, name=name)

  def _merged(self, first, second):
    merged = {has.name: has for has in first}
    for has in second:
      weight = max(has.weight, merged.get(has.name, has).weight)
      merged[has.name] = dataclasses.replace(has, weight=weight)
    return tuple(sorted(merged.values(), key=lambda has: has.name))

  def _contradict(self, first, second):
    """Returns whether two conjunctions contradict each other; notes why."""
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
    """Returns the distinct ones as a list; raises ValueError for too many."""
    distinct = list(dict.fromkeys(conjunctions))
    if len(distinct) > MAX_ALTERNATIVES:
      raise ValueError(
        f"The request has {len(distinct)} alternatives or more; at most "
        f"{MAX_ALTERNATIVES} are possible. Use `or` less often."
      )
    return distinct


def _no_constraint(other):
  """Returns the error for an object that is not an expression."""
  return TypeError(
    f"{other!r} is no constraint. Constraints are control.constraint(name) or "
    "lc_keras.Has(name), joined with & | ~ (a & b, a | b, ~a)."
  )
