"""Shards: files that are made one by one, each only once.

A shard depends on its work and its number alone: any process of any machine may
make it, any number of times. A rename makes the file appear complete; then its
mark, `<shard>.done.json`, is written with the checksum. A shard that matches
its mark is not made again.
"""

import dataclasses
import json
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from lc_keras import files

_DONE = ".done.json"
# Most bad rows that a mark lists.
_NAMED = 20


@dataclasses.dataclass(frozen=True)
class Shard:
  """A range of rows of a job.

  Attributes:
    name: Name of its file, without the ending.
    split: Name of the rows' split, such as "train".
    start: The first row.
    stop: The row after the last.
  """

  name: str
  split: str
  start: int
  stop: int


# Writes a shard to a path; returns the reasons for omitted rows, by row number.
Make = Callable[[Shard, str], Mapping[int, str]]


class Work(Protocol):
  """Makes shards; small enough to be sent to every worker.

  Attributes:
    ending: Ending of the files, such as ".npz".
    identity: Everything besides the shard that the bytes of a file depend on.
  """

  ending: str
  identity: Mapping[str, str]

  def open(self) -> Make:
    """Loads the models, once in every process."""


def cut(split: str, rows: int, rows_per_shard: int) -> list[Shard]:
  """Cuts the rows of a split into shards.

  >>> from bulk import shards
  >>> [(s.name, s.start, s.stop) for s in shards.cut("test", 5, 3)]
  [('test-00000-of-00002', 0, 3), ('test-00001-of-00002', 3, 5)]
  """
  starts = range(0, rows, rows_per_shard)
  return [
    Shard(
      f"{split}-{number:05d}-of-{len(starts):05d}",
      split,
      start,
      min(start + rows_per_shard, rows),
    )
    for number, start in enumerate(starts)
  ]


@dataclasses.dataclass(frozen=True)
class Job:
  """Work cut into shards in a folder.

  Attributes:
    folder: Every worker must see it by this name.
    work: Makes the shards.
    shards: All shards.
  """

  folder: str
  work: Work
  shards: Sequence[Shard]

  def path(self, shard: Shard) -> str:
    """Returns the path of a shard's file."""
    return os.path.join(self.folder, shard.name + self.work.ending)

  def make(self, make: Make, shard: Shard) -> dict:
    """Makes a shard by a function of `work.open`; marks it as done.

    Returns:
      The mark, with the numbers of "rows" and "bad" rows.
    """
    # Not named after the process: workers of several machines write here.
    aside = os.path.join(self.folder, f".tmp-{uuid.uuid4().hex}-{shard.name}")
    try:
      bad = make(shard, aside)
      files.sync(aside)
      checksum = files.checksum(aside)
      os.replace(aside, self.path(shard))
    finally:
      if os.path.exists(aside):
        os.remove(aside)
    mark = {
      "identity": dict(self.work.identity),
      "checksum": checksum,
      "rows": shard.stop - shard.start - len(bad),
      "bad": len(bad),
      "bad_rows": {str(row): bad[row] for row in list(bad)[:_NAMED]},
    }
    mark_aside = f"{aside}{_DONE}"
    with open(mark_aside, "w", encoding="utf-8") as file:
      json.dump(mark, file, indent=2)
    files.sync(mark_aside)
    os.replace(mark_aside, self._mark(shard))
    files.sync(self.folder)
    return mark

  def missing(self) -> list[Shard]:
    """Returns shards that are missing or damaged, and removes their marks.

    Raises:
      ValueError: The folder holds shards of other work.
    """
    missing = [shard for shard in self.shards if self._done(shard) is None]
    for shard in filter(self.is_marked, missing):
      os.remove(self._mark(shard))
    return missing

  def total(self, max_bad: int) -> dict[str, int]:
    """Checks that all shards exist, and counts their rows.

    Returns:
      "rows" and "bad", numbers of rows.

    Raises:
      ValueError: A shard is missing or damaged, or more than `max_bad` rows
        are bad.
    """
    total, named = {"rows": 0, "bad": 0}, []
    for shard in self.shards:
      mark = self._done(shard)
      if mark is None:
        raise ValueError(
          f"{self.path(shard)} is missing or damaged. The same command makes "
          "it again."
        )
      for name in total:
        total[name] += mark[name]
      bad = mark["bad_rows"].items()
      named += [f"{shard.split} {row}: {why}" for row, why in bad]
    if total["bad"] > max_bad:
      raise ValueError(
        f"{total['bad']} rows are bad, {max_bad} may be (--max_bad): "
        f"{'; '.join(named[:_NAMED])}. Good rows are kept; mend the bad ones "
        f"and delete their shards in {self.folder!r}."
      )
    return total

  def is_marked(self, shard: Shard) -> bool:
    """Returns whether a shard has a mark; does not check its file."""
    return os.path.exists(self._mark(shard))

  def _mark(self, shard):
    return os.path.join(self.folder, shard.name + _DONE)

  def _done(self, shard):
    """Returns the mark of a shard; None unless the shard is complete."""
    try:
      mark = files.read_json(self._mark(shard))
      checksum = files.checksum(self.path(shard))
    except (FileNotFoundError, ValueError):  # Missing, or damaged.
      return None
    known, own = mark["identity"], self.work.identity
    names = sorted({*known, *own})
    changed = [name for name in names if known.get(name) != own.get(name)]
    if changed:
      raise ValueError(
        f"{self.folder!r} holds shards of other work: {', '.join(changed)} "
        "differ. Choose another folder, or delete this one."
      )
    return mark if mark["checksum"] == checksum else None


def split_rows(
  shard: Shard, columns: Iterable[np.ndarray]
) -> tuple[np.ndarray, dict[int, str]]:
  """Separates rows of finite values from bad rows, in columns [rows, size].

  Returns:
    Indices of the good rows, and reasons for the bad rows, by row number.
  """
  good = np.all([np.isfinite(c).all(axis=1) for c in columns], axis=0)
  bad = shard.start + np.flatnonzero(~good)
  return np.flatnonzero(good), dict.fromkeys(bad.tolist(), "not a number")
