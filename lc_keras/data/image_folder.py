"""Folders of your own images, with labels from a table or from subfolders.

`images:FOLDER`, with options as in `images:FOLDER?image_size=64&crop=center`;
docs/data.md has the forms of folders and tables.
"""

import hashlib
import os
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from lc_keras.data import images
from lc_keras.data import label_columns
from lc_keras.data import names
from lc_keras.data import preprocessing as preprocessings
from lc_keras.data import stored
from lc_keras.data import tables

_VERSION = "1.0.0"
_SPLIT_COLUMN = "split"
# Names of tables, of which the first that exists is read.
_TABLES = tuple(
  f"{name}{ending}"
  for name in ("metadata", "list_attr_celeba")
  for ending in (".csv", ".jsonl", ".tsv", ".parquet", ".txt")
)


def load(
  folder: str,
  data_dir: str,
  *,
  image_size: str = "64",
  crop: str = images.CENTER,
  splits: str = "0.8,0.1,0.1",
  labels: str | None = None,
) -> stored.Dataset:
  """Returns the data set of a folder of images.

  Args:
    folder: Folder with images of any size and format, in it or below.
    data_dir: Folder of all prepared data sets; once this one is prepared there,
      the images are no longer needed.
    image_size: See `names.image_shape`.
    crop: The part of a picture that becomes the image, see `images.box`.
    splits: Shares of train, validation and test, by a hash of the file name.
    labels: A table; by default metadata.csv or the like in the folder.

  Raises:
    FileNotFoundError: There is no such folder, and nothing is prepared.
    ValueError: There are no images, or the table is wrong.
  """
  shape, shares = names.image_shape(image_size), names.shares(splits)
  images.check_crop(crop)
  folder = os.path.abspath(os.path.expanduser(folder))
  labels = labels and names.beside(folder, labels)
  whole = "\n".join([folder, str(shape), crop, splits, labels or ""])
  called = re.sub(r"\W+", "_", os.path.basename(folder)).strip("_").lower()
  name = f"images_{called or 'root'}_{names.digest(whole)}"
  found = _Folder(folder, labels, shares)
  known = stored.read_about(os.path.join(data_dir, name, _VERSION))
  state = found.state()
  if known is None or state not in (None, known["state"]):
    if state is None:
      raise FileNotFoundError(
        f"There is no folder {folder}: give --dataset=images:FOLDER, a folder "
        "with images in it or below."
      )
    known = found.about()
  return stored.from_examples(
    name,
    lambda split, _: stored.read_pictures(
      found.pictures(split), preprocessings.Preprocessing(shape, crop)
    ),
    image_shape=shape,
    attributes=known["all_attributes"],
    exclusive=known["exclusive"],
    continuous=known["continuous"],
    version=_VERSION,
    crop=crop,
    state=lambda _: state,
    notes=known["notes"],
  )


class _Folder:
  """A folder of images: its files, their splits and their labels."""

  def __init__(self, folder, labels, shares):
    self._folder, self._labels, self._shares = folder, labels, shares
    self._known = None

  def state(self) -> str | None:
    """Returns a digest of the files' state; None if there is no folder."""
    if not os.path.isdir(self._folder):
      return None
    paths = [*self._files(), *(path for path, _ in self._tables())]
    return names.state_of(os.path.join(self._folder, path) for path in paths)

  def about(self) -> dict:
    """Describes the labels, in the form of `stored.read_about`."""
    _, _, attributes, notes = self._read()
    return {
      "all_attributes": attributes.names,
      "exclusive": attributes.exclusive,
      "continuous": attributes.continuous,
      "notes": notes,
    }

  def pictures(self, split: str) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yields path, labels and name of each image of a split."""
    splits, values, _, _ = self._read()
    for path, own, labels in zip(self._files(), splits, values):
      if own == split:
        yield os.path.join(self._folder, path), labels, path

  def _files(self) -> list[str]:
    """Returns the paths of all images below the folder, in order."""
    endings, found = images.endings(), []
    above = {self._folder: ()}  # The folders that each lies in.
    walk = os.walk(self._folder, followlinks=True, onerror=_refuse)
    for folder, below, files in walk:
      here = os.path.realpath(folder)
      if here in above[folder]:  # A link back has the same images again.
        below.clear()
        continue
      below[:] = [name for name in below if name[:1] != "."]
      for name in below:
        above[os.path.join(folder, name)] = (*above[folder], here)
      inside = os.path.relpath(folder, self._folder)
      for name in files:
        if name[:1] != "." and os.path.splitext(name)[1].lower() in endings:
          found.append(name if inside == "." else os.path.join(inside, name))
          tables.check_name(found[-1])
    return sorted(found)

  def _tables(self) -> list[tuple[str, str]]:
    """Returns the tables, each with the folder that its names start from."""
    if self._labels:
      return [(self._labels, "")]
    found = []
    for inside in ("", *names.SPLIT_NAMES):
      for name in _TABLES:
        if os.path.isfile(os.path.join(self._folder, inside, name)):
          found.append((os.path.join(inside, name), inside))
          break
    return found

  def _read(self):
    """Returns splits and labels of all files, the attributes, and notes."""
    if self._known is None:
      files = self._files()
      if not files:
        raise ValueError(
          f"The folder {self._folder} has no images, in it or below: give "
          "--dataset=images:FOLDER, a folder with PNG, JPEG or other pictures."
        )
      table, called, notes = self._table(files)
      splits = self._split(files, table, called)
      table = table.drop(columns=_SPLIT_COLUMN, errors="ignore")
      values, attributes, more = label_columns.from_table(table, called)
      self._known = splits, values, attributes, [*notes, *more]
    return self._known

  def _table(self, files):
    """Returns a row of labels for each file, their source, and notes."""
    found, notes = self._tables(), []
    if not found:
      table = pd.DataFrame(index=range(len(files)))
      classes = [_class_of(path) for path in files]
      if len({*classes} - {""}) > 1:
        table["label"] = classes
        outside = classes.count("")
        if outside:
          notes.append(
            f"{outside} images lie in no folder of a class, such as "
            f"{files[classes.index('')]}: their labels are not known"
          )
      else:
        notes.append(
          f"no labels: there is no {_TABLES[0]} in {self._folder}, and there "
          "are no folders by class; --labels names another table"
        )
      return table, f"The folders of {self._folder}", notes
    parts = []
    for path, inside in found:
      path = os.path.join(self._folder, path)
      part = tables.by_file_name(tables.read(path), path)
      if inside:
        part.index = [f"{inside}/{name}" for name in part.index]
      parts.append(part)
    table = pd.concat(parts)
    rows = tables.match(files, list(table.index))
    if (rows < 0).all():
      raise ValueError(
        f"None of the {len(table)} rows of {path} is of one of the "
        f"{len(files)} images in {self._folder}: its file names are like "
        f"{table.index[0]!r}, those of the images like {files[0]!r}. Where a "
        "name is that of images in several folders, give its path."
      )
    if (rows < 0).any():
      notes.append(
        f"{(rows < 0).sum()} of {len(files)} images have no row in {path}, "
        f"such as {files[np.argmax(rows < 0)]}: their labels are not known"
      )
    unused = len(table) - len({*rows} - {-1})
    if unused:
      notes.append(f"{unused} rows of {path} are of images that are not there")
    table = table.reset_index(drop=True).reindex(np.where(rows < 0, -1, rows))
    return table.reset_index(drop=True), path, notes

  def _split(self, files, table, called):
    """Returns the split of each file."""
    places = [_hash(path) for path in files]
    if _SPLIT_COLUMN in table:
      words = [str(cell) for cell in table[_SPLIT_COLUMN]]
      splits = [names.split_named(word) for word in words]
      for word, own in zip(words, splits):
        if own is None and word.strip().lower() not in ("", "nan", "none"):
          raise ValueError(
            f"{called}, column {_SPLIT_COLUMN}: {word!r} is none of "
            f"{', '.join(stored.SPLITS)}."
          )
    else:
      splits = [names.split_named(_parts(path)[0]) for path in files]
      if None in splits and any(splits):
        raise ValueError(
          f"{files[splits.index(None)]} in {self._folder} is in none of the "
          "folders train, validation and test, and other images are: move it "
          "into one of them."
        )
    # Missing splits are taken from training images, and from those of no split.
    missing = [split for split in stored.SPLITS if split not in splits]
    edges = np.cumsum(
      [
        share if split in missing else 0.0
        for split, share in zip(stored.SPLITS[::-1], self._shares[::-1])
      ]
    )
    if len(missing) == len(stored.SPLITS):
      missing = missing[1:]
    for row, (own, place) in enumerate(zip(splits, places)):
      if own in (None, "train"):
        for split, edge in zip(stored.SPLITS[::-1], edges):
          if split in missing and place < edge:
            splits[row] = split
            break
        else:
          splits[row] = "train"
    for split in stored.SPLITS:
      if split not in splits:
        raise ValueError(
          f"None of the {len(files)} images in {self._folder} is in the split "
          f"{split}: give more images, or other --splits."
        )
    return splits


def _refuse(error):
  raise error  # A folder that cannot be read would count as empty.


def _parts(path):
  return path.replace("\\", "/").split("/")


def _class_of(path):
  """Returns the top folder of an image, below that of its split, or empty."""
  inside = _parts(path)[:-1]
  if inside and names.split_named(inside[0]):
    inside = inside[1:]
  return inside[0] if inside else ""


def _hash(path):
  """Returns a number in [0, 1) that depends on the name of the file alone."""
  digest = hashlib.sha256("/".join(_parts(path)).encode(errors="replace"))
  return int.from_bytes(digest.digest()[:8]) / 2.0**64
