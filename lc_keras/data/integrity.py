"""Checks that the files of a prepared data set are unchanged.

Their sizes, modification times and checksums are kept beside them in
`checked.json`. The first check computes all; later ones compare sizes and
times, and compute the checksum of a file only if these differ.
"""

import os
import warnings

import tensorflow_datasets as tfds

from lc_keras import files

_NAME = "checked.json"
_FORMAT = 1


def check(builder: tfds.core.DatasetBuilder, *, again: bool = False) -> None:
  """Checks the files of a prepared data set, except unchanged ones.

  Args:
    builder: Its tfds builder, prepared.
    again: Whether to compute all checksums, also of files whose sizes and times
      have not changed.

  Raises:
    FileNotFoundError: A file is missing.
    ValueError: A file is damaged.
  """
  folder = str(builder.data_dir)
  put_back = (
    f"Put back a copy, or delete {folder} to have the data set prepared again."
  )
  before, found = _read(folder), {}
  splits = builder.info.splits.values()
  for path in (str(path) for split in splits for path in split.filepaths):
    if not os.path.exists(path):
      raise FileNotFoundError(
        f"The data set's file {path} is missing. {put_back}"
      )
    name, status = os.path.basename(path), os.stat(path)
    state = {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    old = before.get(name)
    if old and not again and state.items() <= old.items():
      found[name] = old
      continue
    found[name] = state | {"sha256": files.checksum(path)}
    if old and found[name]["sha256"] != old["sha256"]:
      raise ValueError(
        f"The data set's file {path} is damaged: it has {status.st_size} bytes "
        f"(written: {old['bytes']}) and another checksum than when it was "
        f"written. {put_back}"
      )
  if found != before:
    try:
      known = {"format": _FORMAT, "files": found}
      files.write_json(os.path.join(folder, _NAME), known)
    except OSError as error:
      warnings.warn(
        f"{folder} has been checked, but that cannot be noted there "
        f"({error.strerror}): it is checked again the next time.",
        stacklevel=3,
      )


def _read(folder):
  """Returns the state of each file at the last check, by name."""
  path = os.path.join(folder, _NAME)
  known = files.read_json(path) if os.path.exists(path) else {}
  # A file of another format is written anew.
  return known["files"] if known.get("format") == _FORMAT else {}
