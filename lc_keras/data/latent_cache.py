"""The latents of a data set in files: pixels are looked at once.

A folder of shards and a manifest, which says what the latents come from and the
checksum of each file.
"""

import json
import os
from collections.abc import Iterable, Mapping

import numpy as np

from lc_keras import files
from lc_keras.data import latents
from lc_keras.data import shards

_MANIFEST = "manifest.json"
_FORMAT = 2
# One .npz file per split, from before there were shards; still read.
_WHOLE_FILES = 1


def write(
  folder: str,
  splits: Mapping[str, latents.Latents | Iterable[latents.Latents]],
  source: Mapping[str, str],
) -> None:
  """Writes a cache; the manifest last, so that half a cache is none.

  Args:
    folder: Replaced as a whole, once all is written beside it.
    splits: By name, each as a whole or in pieces, of which one shard at a time
      is held in memory; "train" gives sigma_bar.
    source: Where the latents come from; `read` compares it.
  """
  with files.replacing(folder) as aside:
    os.makedirs(aside)
    tables, checksums, means = {}, {}, {}
    for split, rows in splits.items():
      pieces = rows.pieces() if isinstance(rows, latents.Latents) else rows
      means[split] = _Means()
      tables[split] = []
      for name in shards.write(aside, split, map(means[split].seen, pieces)):
        tables[split].append(name)
        checksums[name] = files.checksum(os.path.join(aside, name))
    files.write_json(
      os.path.join(aside, _MANIFEST),
      {
        "format": _FORMAT,
        "source": dict(source),
        "shards": tables,
        "checksums": checksums,
        "rows": {split: mean.rows for split, mean in means.items()},
        "posterior_scale": means["train"].of("scale"),
        "attribute_frequencies": means["train"].of("attributes"),
      },
    )


class _Means:
  """The means of columns that pass by."""

  def __init__(self):
    self.rows = 0
    self._sums = {"scale": 0.0, "attributes": 0.0}

  def seen(self, piece):
    """Counts a piece, and returns its columns."""
    self.rows += len(piece)
    for name in self._sums:
      column = getattr(piece, name)
      self._sums[name] += np.sum(column, axis=0, dtype=np.float64)
    return vars(piece)

  def of(self, name):
    """Returns the mean of a column, a list."""
    return (self._sums[name] / self.rows).tolist()


def read_manifest(folder: str, source: Mapping[str, str] | None = None) -> dict:
  """Returns a cache's manifest after checking that it is the right one.

  Args:
    folder: What `write` wrote.
    source: What the latents must come from; None accepts any.

  Raises:
    FileNotFoundError: There is no whole cache.
    ValueError: The cache is of another format, or of another source.
  """
  path = os.path.join(folder, _MANIFEST)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"No latent cache in {folder!r}. Write it with "
      "`python -m trainers.latents` and the same --run_dir."
    )
  with open(path, encoding="utf-8") as file:
    manifest = json.load(file)
  if manifest["format"] not in (_WHOLE_FILES, _FORMAT):
    raise ValueError(
      f"The latent cache in {folder!r} has format {manifest['format']}; this "
      f"version reads {_WHOLE_FILES} and {_FORMAT}. Delete the folder and run "
      "`python -m trainers.latents` again."
    )
  known = manifest["source"]
  if "vae" in known:
    # Its name before there were other generators.
    known["generator"] = known.pop("vae")
  for key, value in (source or {}).items():
    found = known.get(key)
    if found != value:
      raise ValueError(
        f"The latent cache in {folder!r} is stale or foreign: its {key} is "
        f"{found!r}, expected {value!r}. Delete the folder and run "
        "`python -m trainers.latents` again."
      )
  for name in manifest["checksums"]:
    files.check_name(name, f"a file of the latent cache in {folder!r}")
  return manifest


def read(
  folder: str, split: str, source: Mapping[str, str] | None = None
) -> latents.Latents:
  """Opens one split of a cache, after comparing checksums.

  Its rows stay in their files. (Those of a cache that was written before there
  were shards are read into memory.)

  Raises:
    FileNotFoundError: There is no whole cache, or no such split.
    ValueError: The cache is stale, foreign or damaged.
  """
  manifest = read_manifest(folder, source)
  if split not in manifest["rows"]:
    raise FileNotFoundError(
      f"The latent cache in {folder!r} has no split {split!r}; it has "
      f"{', '.join(sorted(manifest['rows']))}."
    )
  whole = manifest["format"] == _WHOLE_FILES
  names = [f"{split}.npz"] if whole else manifest["shards"][split]
  paths = [os.path.join(folder, os.path.basename(name)) for name in names]
  for name, path in zip(names, paths):
    known = manifest["checksums"][name]
    if not os.path.exists(path) or files.checksum(path) != known:
      raise ValueError(
        f"{path} is damaged: it is missing, or its checksum is not the "
        f"manifest's. Delete {folder!r} and run `python -m trainers.latents` "
        "again."
      )
  if not whole:
    return latents.Latents(**shards.read(paths))
  with np.load(paths[0], allow_pickle=False) as arrays:
    return latents.Latents(
      arrays["mean"], arrays["scale"], arrays["attributes"]
    )
