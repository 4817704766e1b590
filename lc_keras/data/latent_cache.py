"""The latents of a data set in files, so that images are encoded once.

A cache is a folder with one NumPy file per split, of records with the fields
"mean", "scale" and "attributes", and a manifest, which has the source of the
latents and the checksum of each file.

>>> import tempfile
>>> import numpy as np
>>> from lc_keras.data import latent_cache, latents
>>> rows = latents.Latents(np.ones([5, 4]), np.ones([5, 4]), np.ones([5, 3]))
>>> folder = tempfile.mkdtemp() + "/cache"
>>> latent_cache.write(folder, {"train": rows}, {"dataset": "discs"})
>>> latent_cache.read(folder, "train").mean.shape
(5, 4)
"""

import os
from collections.abc import Iterable, Mapping

import numpy as np

from lc_keras import files
from lc_keras.data import latents

_MANIFEST = "manifest.json"
_FORMAT = 3
_AGAIN = "Delete the folder and run `python -m trainers.latents` again."


def write(
  folder: str,
  splits: Mapping[str, latents.Latents | Iterable[latents.Latents]],
  source: Mapping[str, str],
  dtype: str = "float32",
) -> None:
  """Writes a cache, which replaces the folder once it is complete.

  Args:
    folder: Folder of the cache.
    splits: Latents by split, each whole or in pieces, of which one at a time is
      held in memory; "train" is required, for sigma_bar.
    source: Where the latents come from; `read` compares it.
    dtype: Type of the numbers in the files; "float16" halves the size.

  Raises:
    ValueError: A split has no rows.
  """
  with files.replacing(folder) as aside:
    os.makedirs(aside)
    means, checksums = {}, {}
    for split, rows in splits.items():
      pieces = rows.pieces() if isinstance(rows, latents.Latents) else rows
      path = os.path.join(aside, _file_name(split))
      means[split] = _write_split(path, pieces, dtype)
      checksums[split] = files.checksum(path)
    files.write_json(
      os.path.join(aside, _MANIFEST),
      {
        "format": _FORMAT,
        "source": dict(source),
        "checksums": checksums,
        "rows": {split: mean.rows for split, mean in means.items()},
        "posterior_scale": means["train"].of("scale"),
        "attribute_frequencies": means["train"].of("attributes"),
      },
    )


def read_manifest(folder: str, source: Mapping[str, str] | None = None) -> dict:
  """Returns a cache's manifest after checking where the latents come from.

  Args:
    folder: Written by `write`.
    source: Where the latents must come from; None accepts any.

  Raises:
    FileNotFoundError: There is no complete cache.
    ValueError: The cache has another format, or another source.
  """
  path = os.path.join(folder, _MANIFEST)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"No latent cache in {folder!r}. Write it with "
      "`python -m trainers.latents` and the same --run_dir."
    )
  manifest = files.read_json(path)
  if manifest["format"] != _FORMAT:
    raise ValueError(
      f"The latent cache in {folder!r} has format {manifest['format']}; this "
      f"version reads {_FORMAT}. {_AGAIN}"
    )
  for key, value in (source or {}).items():
    found = manifest["source"].get(key)
    if found != value:
      raise ValueError(
        f"The latent cache in {folder!r} is stale or foreign: its {key} is "
        f"{found!r}, expected {value!r}. {_AGAIN}"
      )
  return manifest


def read(
  folder: str, split: str, source: Mapping[str, str] | None = None
) -> latents.Latents:
  """Opens one split of a cache, after comparing its checksum.

  The file is mapped into memory: rows are read when they are used.

  Args:
    folder: Written by `write`.
    split: Name of the split.
    source: See `read_manifest`.

  Raises:
    FileNotFoundError: There is no complete cache, or no such split.
    ValueError: The cache is stale, foreign or damaged.
  """
  checksums = read_manifest(folder, source)["checksums"]
  if split not in checksums:
    raise FileNotFoundError(
      f"The latent cache in {folder!r} has no split {split!r}; it has "
      f"{', '.join(sorted(checksums))}."
    )
  path = os.path.join(folder, _file_name(split))
  if not os.path.exists(path) or files.checksum(path) != checksums[split]:
    raise ValueError(
      f"{path} is damaged: it is missing, or its checksum is not the "
      f"manifest's. {_AGAIN}"
    )
  records = np.load(path, mmap_mode="r", allow_pickle=False)
  return latents.Latents(
    *(np.asarray(records[name], np.float32) for name in latents.COLUMNS)
  )


def _file_name(split):
  # Names in a foreign manifest could point outside the folder.
  files.check_name(split, "a split of a latent cache")
  return f"{split}.npy"


class _Means:
  """Running means of columns over pieces, of known values only.

  Attributes:
    rows: Number of rows so far.
  """

  def __init__(self):
    self.rows = 0
    self._sums = {"scale": 0.0, "attributes": 0.0}
    self._counts = {"scale": 0, "attributes": 0}

  def add(self, piece):
    self.rows += len(piece)
    for name in self._sums:
      column = getattr(piece, name)
      known = ~np.isnan(column)
      self._sums[name] += np.sum(column, axis=0, dtype=np.float64, where=known)
      self._counts[name] += known.sum(axis=0)

  def of(self, name):
    """Returns the mean of a column, a list."""
    return (self._sums[name] / np.maximum(self._counts[name], 1)).tolist()


def _write_split(path, pieces, dtype):
  """Writes the rows of a split one after the other; returns their means."""
  means, records = _Means(), None
  with open(path, "wb") as file:
    for piece in pieces:
      is_first, records = records is None, _records(piece, dtype)
      if is_first:
        _write_header(file, records.dtype, 0)
      records.tofile(file)
      means.add(piece)
    if not means.rows:
      raise ValueError(f"No rows were given for {path}.")
    file.seek(0)  # A header has the same length whatever the number of rows.
    _write_header(file, records.dtype, means.rows)
  return means


def _write_header(file, dtype, rows):
  description = np.lib.format.dtype_to_descr(dtype)
  header = {"descr": description, "fortran_order": False, "shape": (rows,)}
  np.lib.format.write_array_header_1_0(file, header)
  file.flush()


def _records(piece, dtype):
  columns = {name: getattr(piece, name) for name in latents.COLUMNS}
  fields = [(n, dtype, column.shape[1:]) for n, column in columns.items()]
  records = np.empty(len(piece), fields)
  for name, column in columns.items():
    records[name] = column
  return records
