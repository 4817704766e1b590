"""Shards: files that are made one by one, and not made again.

A shard depends on its work and its number alone, so that it does not matter
which process of which machine makes it, nor how often. It appears whole, by a
rename, and after it its mark, `<shard>.done.json`, with its checksum: what has
a mark that agrees is not made again.
"""

import contextlib
import dataclasses
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from lc_keras import files

_DONE = ".done.json"
# How many bad rows a mark names.
_NAMED = 20


@dataclasses.dataclass(frozen=True)
class Shard:
  """Some rows of a job.

  Attributes:
    name: Of its file, without the ending.
    split: What the rows are counted in, such as "train".
    start: The first row.
    stop: The row after the last.
  """

  name: str
  split: str
  start: int
  stop: int


@dataclasses.dataclass(frozen=True)
class Made:
  """What a shard has become.

  Attributes:
    rows: Rows in the file.
    bad: The rows that could not be made, by their numbers, and why.
  """

  rows: int
  bad: Mapping[int, str]


class Maker(Protocol):
  """What makes shards, with its models loaded."""

  def make(self, shard: Shard, path: str) -> Made:
    """Writes the file of a shard."""


class Work(Protocol):
  """A job, small enough to be sent to every worker.

  Attributes:
    ending: Of the files of its shards, such as ".npz".
    identity: All that the bytes of a shard depend on, but for the shard.
  """

  ending: str
  identity: Mapping[str, str]

  def open(self) -> Maker:
    """Loads what is needed to make shards; once in every process."""


def cut(split: str, rows: int, rows_per_shard: int) -> list[Shard]:
  """Cuts the rows of a split into shards."""
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


def path(folder: str, work: Work, shard: Shard) -> str:
  """Returns where the file of a shard is, or will be."""
  return os.path.join(folder, shard.name + work.ending)


def make(folder: str, work: Work, maker: Maker, shard: Shard) -> Made:
  """Makes a shard and marks it as done.

  Args:
    folder: Where to; it is there.
    work: The job.
    maker: What `work.open` gave.
    shard: The shard.
  """
  # Not named after the process: workers of several machines write here.
  aside = os.path.join(folder, f".tmp-{uuid.uuid4().hex}-{shard.name}")
  try:
    made = maker.make(shard, aside)
    files.sync(aside)
    checksum = files.checksum(aside)
    os.replace(aside, path(folder, work, shard))
  finally:
    if os.path.exists(aside):
      os.remove(aside)
  mark = {
    "identity": dict(work.identity),
    "checksum": checksum,
    "rows": made.rows,
    "bad": len(made.bad),
    "bad_rows": {str(row): made.bad[row] for row in list(made.bad)[:_NAMED]},
  }
  mark_aside = f"{aside}{_DONE}"
  with open(mark_aside, "w", encoding="utf-8") as file:
    json.dump(mark, file, indent=2)
  files.sync(mark_aside)
  os.replace(mark_aside, os.path.join(folder, shard.name + _DONE))
  files.sync(folder)
  return made


def mark(folder: str, work: Work, shard: Shard) -> dict | None:
  """Returns what is noted of a shard; None unless it is done, and whole.

  Raises:
    ValueError: It was made by other work.
  """
  try:
    with open(os.path.join(folder, shard.name + _DONE), encoding="utf-8") as f:
      known = json.load(f)
    checksum = files.checksum(path(folder, work, shard))
  except (FileNotFoundError, json.JSONDecodeError):
    return None
  if known["identity"] != dict(work.identity):
    changed = sorted(
      name
      for name in known["identity"].keys() | work.identity.keys()
      if known["identity"].get(name) != work.identity.get(name)
    )
    raise ValueError(
      f"{folder!r} holds shards of other work: {', '.join(changed)} differ. "
      "Choose another folder, or delete this one."
    )
  return known if known["checksum"] == checksum else None


def forget(folder: str, shard: Shard) -> None:
  """Takes the mark of a shard away, if it has one."""
  with contextlib.suppress(FileNotFoundError):
    os.remove(os.path.join(folder, shard.name + _DONE))


def count(folder: str, shards: Iterable[Shard]) -> int:
  """Returns how many shards have a mark; does not look at the files."""
  return sum(
    os.path.exists(os.path.join(folder, s.name + _DONE)) for s in shards
  )


def missing(folder: str, work: Work, shards: Iterable[Shard]) -> list[Shard]:
  """Returns the shards that are not there, or are damaged.

  Raises:
    ValueError: The folder holds shards of other work.
  """
  return [shard for shard in shards if mark(folder, work, shard) is None]


def check(
  folder: str, work: Work, shards: Sequence[Shard], max_bad: int
) -> dict[str, int]:
  """Makes sure that all shards are there, with few bad rows.

  Args:
    folder: Where they are.
    work: The job.
    shards: All of them.
    max_bad: Most bad rows, over all shards.

  Returns:
    "rows" and "bad", how many.

  Raises:
    ValueError: A shard is missing or damaged, or more rows are bad.
  """
  total, named = {"rows": 0, "bad": 0}, []
  for shard in shards:
    known = mark(folder, work, shard)
    if known is None:
      raise ValueError(
        f"{path(folder, work, shard)} is missing or damaged. The same command "
        "makes it again."
      )
    total["rows"] += known["rows"]
    total["bad"] += known["bad"]
    named += [
      f"{shard.split} {row}: {why}" for row, why in known["bad_rows"].items()
    ]
  if total["bad"] > max_bad:
    raise ValueError(
      f"{total['bad']} rows are bad, {max_bad} may be (--max_bad): "
      f"{'; '.join(named[:_NAMED])}. What is good is kept; mend the rows and "
      f"delete the shards that have them in {folder!r}."
    )
  return total
