"""Attributes: their names, and which exclude each other."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from lc_keras import spelling

# The words of the language of requests, which cannot be names.
RESERVED = ("and", "or", "not", "realism")


class Attributes:
  """The attributes of a data set, in the order of its label columns.

  Some attributes exclude each other, such as bald and blond. A request for one
  then also requests the absence of the others, and a request for both is a
  contradiction.

  >>> faces = Attributes(["Bald", "Blond_Hair"], [["Bald", "Blond_Hair"]])
  >>> faces.index("blond hair")
  1
  """

  def __init__(
    self,
    names: Sequence[str],
    exclusive: Iterable[Sequence[str]] = (),
    continuous: Sequence[str] = (),
  ):
    """Creates the attributes.

    Args:
      names: One name per label column; none before anything is learned.
      exclusive: Groups of names of which at most one can be on. Names that
        are not in `names` are ignored, so that a subset of a data set's
        attributes can keep its groups.
      continuous: Names of the attributes that may have any value in [0, 1]; the
        others are on or off. Names that are not in `names` are ignored.

    Raises:
      ValueError: A name appears twice, or makes requests ambiguous.
    """
    self.names = tuple(names)
    _check_names(self.names)
    self.continuous = tuple(n for n in self.names if n in continuous)
    kept = [tuple(n for n in group if n in self.names) for group in exclusive]
    # Two groups may be equal once names are left out.
    self.exclusive = tuple(dict.fromkeys(g for g in kept if len(g) > 1))
    self.excludes = np.zeros([len(self.names)] * 2, np.float32)
    for group in self.exclusive:
      columns = [self.names.index(name) for name in group]
      self.excludes[np.ix_(columns, columns)] = 1.0
    np.fill_diagonal(self.excludes, 0.0)

  def __len__(self) -> int:
    return len(self.names)

  def extended(
    self, names: Sequence[str], continuous: Sequence[str] = ()
  ) -> "Attributes":
    """Returns these attributes and, after them, new ones that exclude nothing.

    Args:
      names: Names of the new attributes.
      continuous: Those of the new attributes that are continuous.

    Raises:
      ValueError: A name is taken.
    """
    own = {_plain(name): name for name in self.names}
    for name in names:
      if taken := own.get(_plain(name)):
        raise ValueError(
          f"There is an attribute {taken!r} already. Request it as it is, or "
          "give the new one another name."
        )
    return Attributes(
      (*self.names, *names), self.exclusive, (*self.continuous, *continuous)
    )

  def index(self, name: str) -> int:
    """Returns the column of a name, written in any case, with _ or blanks.

    Raises:
      ValueError: No attribute has this name; the message lists the nearest.
    """
    plain_name = _plain(name)
    for column, own in enumerate(self.names):
      if _plain(own) == plain_name:
        return column
    raise ValueError(
      f"Unknown attribute {name!r}: {spelling.suggest(name, self.names)}"
    )

  def request(
    self, labels: np.ndarray, name: str, on: bool
  ) -> tuple[np.ndarray, np.ndarray]:
    """Switches one attribute, and switches off those that it excludes.

    Args:
      labels: [n, num_attributes] in {0, 1}.
      name: The attribute to switch.
      on: Its new value.

    Returns:
      The new labels, [n, num_attributes] float32, and a bool
      [num_attributes] that marks the attributes of the request: the attribute
      and, if it is switched on, those that it excludes.
    """
    column = self.index(name)
    asked = np.zeros(len(self), bool)
    asked[column] = True
    targets = np.array(labels, np.float32)
    if on:
      asked |= self.excludes[column] > 0
      targets[:, asked] = 0.0
    targets[:, column] = float(on)
    return targets, asked


def _check_names(names):
  """Raises ValueError for names that requests cannot spell unambiguously."""
  for name in names:
    if not isinstance(name, str) or not name.strip():
      raise ValueError(
        f"The name of an attribute is a text that is not blank; got {name!r}."
      )
  plain = {}
  for name in names:
    if _plain(name) in plain:
      raise ValueError(
        "Attribute names must differ in more than case, _ and blanks; got "
        f"{plain[_plain(name)]!r} and {name!r}."
      )
    plain[_plain(name)] = name
  for name in names:
    if _plain(name) in RESERVED:
      raise ValueError(
        f"{name!r} is a word of the language of requests ({', '.join(RESERVED)}"
        ") and cannot be the name of an attribute: rename it."
      )
    # "not Young" beside "Young", "Black or Brown" beside both.
    parts = re.split(r"_?,_?|_and_|_or_", _plain(name))
    named = [re.sub("^(not_)*", "", part) in plain for part in parts]
    if _plain(name) != parts[0].removeprefix("not_") and all(named):
      raise ValueError(
        f"The name {name!r} is also a request for other attributes of "
        f"{', '.join(names)}: rename it, or leave it out."
      )


def _plain(name: str) -> str:
  return re.sub(r"[\s_]+", "_", name.strip().lower())
