"""Tables of rows in files: written shard by shard, read row by row.

A shard is a NumPy file of records, one a row, with a field per column. Shards
are mapped into memory and never read as a whole: rows that are asked for are
copied, and what the operating system keeps of the rest it can give up at any
time.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Rows = Mapping[str, np.ndarray]

# What is held in memory while a table is written.
_SHARD_BYTES = 64 << 20


class Column:
  """One column of some shards, looked at like an array.

  Indexing returns arrays, `numpy.asarray` the whole column.

  Attributes:
    shape: [n, ...].
    dtype: Of the entries.
  """

  def __init__(self, parts: Sequence[np.ndarray]):
    """Joins columns of shards.

    Args:
      parts: At least one; [n_i, ...], all of the same type and shape but n_i.
    """
    self._parts = list(parts)
    self._starts = np.cumsum([0, *map(len, self._parts)])
    self.shape = (int(self._starts[-1]), *self._parts[0].shape[1:])
    self.dtype = self._parts[0].dtype

  def __len__(self) -> int:
    return self.shape[0]

  def __array__(self, dtype=None, copy=None) -> np.ndarray:
    del copy  # What shards hold is always copied.
    return self[:].astype(dtype or self.dtype, copy=False)

  def __getitem__(self, index: Any) -> np.ndarray:
    if isinstance(index, tuple):
      rows = self[index[0]]
      return rows[(slice(None),) * (rows.ndim == len(self.shape)) + index[1:]]
    if isinstance(index, slice):
      start, stop, step = index.indices(len(self))
      if step != 1:
        return self[np.arange(start, stop, step)]
      return self._between(start, max(start, stop))
    index = np.asarray(index)
    if index.dtype == bool:
      index = np.flatnonzero(index)
    return self._at(index)

  def _between(self, start, stop):
    taken = np.empty((stop - start, *self.shape[1:]), self.dtype)
    for first, part in zip(self._starts, self._parts):
      begin, end = max(start - first, 0), min(stop - first, len(part))
      if begin < end:
        taken[begin + first - start : end + first - start] = part[begin:end]
    return taken

  def _at(self, index):
    size = len(self)
    if ((index < -size) | (index >= size)).any():
      raise IndexError(f"Rows {index} of {size}.")
    rows = np.where(index < 0, index + size, index)
    if len(self._parts) == 1:
      return np.ascontiguousarray(self._parts[0][rows])
    taken = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
    shard = np.searchsorted(self._starts, rows, side="right") - 1
    for number in np.unique(shard):
      here = shard == number
      taken[here] = self._parts[number][rows[here] - self._starts[number]]
    return taken


def write(folder: str, name: str, pieces: Iterable[Rows]) -> Iterator[str]:
  """Writes a table, and yields the name of each shard when it is there.

  Args:
    folder: Where to; it is there.
    name: What the names of the shards begin with.
    pieces: Some rows at a time, [n, ...] of each column.
  """
  number, waiting, count = 0, [], 0
  for piece in pieces:
    records = _records(piece)
    capacity = max(_SHARD_BYTES // max(records.dtype.itemsize, 1), 1)
    while len(records) or not waiting:
      room = records[: capacity - count]
      waiting.append(room)
      count += len(room)
      records = records[len(room) :]
      if count == capacity:
        yield _write_one(folder, name, number, waiting)
        number, waiting, count = number + 1, [], 0
  # A table without rows still says what its columns are.
  if count or not number:
    yield _write_one(folder, name, number, waiting)


def read(paths: Sequence[str]) -> dict[str, Column]:
  """Returns the columns of a table; no row is read before it is asked for.

  Args:
    paths: The shards, in order.

  Raises:
    ValueError: A file is no shard, or the shards are not of one table.
  """
  parts = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
  for path, part in zip(paths, parts):
    if part.ndim != 1 or not part.dtype.names or part.dtype != parts[0].dtype:
      raise ValueError(
        f"{path} is not a shard like {paths[0]}: its records are "
        f"{part.dtype}, of shape {part.shape}."
      )
  names = parts[0].dtype.names
  return {name: Column([part[name] for part in parts]) for name in names}


def _records(piece):
  columns = {name: np.asarray(value) for name, value in piece.items()}
  fields = [
    (name, value.dtype, value.shape[1:]) for name, value in columns.items()
  ]
  records = np.empty(len(next(iter(columns.values()))), fields)
  for name, value in columns.items():
    records[name] = value
  return records


def _write_one(folder, name, number, records):
  file_name = f"{name}-{number:05d}.npy"
  np.save(os.path.join(folder, file_name), np.concatenate(records))
  return file_name
