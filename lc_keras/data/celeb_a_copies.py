"""Reads copies of CelebA in the forms in which it is distributed.

Images and lists are recognised by their names, anywhere below a folder:

- the official files: img_align_celeba.zip, list_attr_celeba.txt and
  list_eval_partition.txt; the archive packed, or unpacked, as torchvision
  leaves it in root/celeba;
- Kaggle's: a folder img_align_celeba/img_align_celeba, list_attr_celeba.csv and
  list_eval_partition.csv;
- Hugging Face's: parquet files of the splits train, valid and test, with a
  column image and one an attribute.

Landmarks, boxes and identities are not needed.
"""

import abc
import contextlib
import os
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from lc_keras import files
from lc_keras.data import names
from lc_keras.data import preprocessing as preprocessings
from lc_keras.data import stored
from lc_keras.data import tables

ATTRIBUTES = tuple(
  "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs"
  " Big_Lips Big_Nose Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows"
  " Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones"
  " Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin"
  " Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair"
  " Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace"
  " Wearing_Necktie Young".split()
)
IMAGES = 202_599
# SHA-256 of the official files.
PUBLISHED = {
  "img_align_celeba.zip": (
    "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74"
  ),
  "list_attr_celeba.txt": (
    "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0"
  ),
  "list_eval_partition.txt": (
    "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7"
  ),
}
_FOLDER = "img_align_celeba"
_LIST, _PARTITION = "list_attr_celeba", "list_eval_partition"
_PICTURES = (".jpg", ".jpeg", ".png")
_DEPTH = 4  # levels of folders that are searched
_VALUES = {"-1": 0.0, "0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
_ROWS = 256  # rows of a parquet file that are read at once


class Copy(abc.ABC):
  """A copy of CelebA.

  Attributes:
    paths: The files that it consists of.
  """

  paths: Sequence[str]

  def state(self) -> str:
    """Returns a digest that changes if one of its files does."""
    return names.state_of(self.paths)

  @abc.abstractmethod
  def count(self) -> int:
    """Returns the number of its images, by its list or metadata."""

  @abc.abstractmethod
  def examples(
    self, split: str, preprocessing: preprocessings.Preprocessing
  ) -> Iterator[stored.Example]:
    """Yields the images and labels of a split, in order.

    Raises:
      ValueError: A list or an archive is malformed; the message is one sentence
        that names it.
    """

  def warn_of_differences(self) -> None:
    """Warns if this differs from CelebA as it was published."""
    for path in self.paths:
      published = PUBLISHED.get(os.path.basename(path))
      if published and files.checksum(path) != published:
        warnings.warn(
          f"{path} is not the file that CelebA's project page has (its "
          "checksum differs). It is used, and its contents are checked.",
          stacklevel=2,
        )
    count = self.count()
    if count != IMAGES:
      warnings.warn(
        f"This copy of CelebA has {count} images; the whole has {IMAGES}.",
        stacklevel=2,
      )


class _Listed(Copy):
  """Images in an archive or a folder, and two lists."""

  def __init__(self, images, attributes, partition):
    self._images, self._lists = images, (attributes, partition)
    self._is_archive = os.path.isfile(images)
    self._read = None

  @property
  def paths(self):
    if self._is_archive:
      return [self._images, *self._lists]
    found = sorted(os.listdir(self._images))
    return [*(os.path.join(self._images, one) for one in found), *self._lists]

  def count(self):
    """See base class."""
    return len(self._read_lists()[1])

  def _read_lists(self):
    if self._read is None:
      attributes, partition = self._lists
      self._read = _read_attributes(attributes), _read_splits(partition)
    return self._read

  def examples(self, split, preprocessing):
    """See base class."""
    labels, splits = self._read_lists()
    found, read = self._open()
    # A list may have other extensions than the files, as in the PNG copy.
    rows = tables.match(list(found), list(labels.index))
    places = tables.match(list(found), list(splits.index))
    values, splits_of = labels.to_numpy(), splits.to_numpy()

    def pictures():
      for name, row, place in zip(found, rows, places):
        if row < 0 or place < 0 or splits_of[place] != split:
          continue
        yield read(found[name]), values[row], name

    yield from stored.read_pictures(pictures(), preprocessing)
    nothing = np.zeros(len(ATTRIBUTES), np.float32)
    for name, row, place in zip(found, rows, places):
      if row < 0 or place < 0:
        if split == (splits_of[place] if place >= 0 else stored.SPLITS[0]):
          missed = self._lists[0 if row < 0 else 1]
          yield stored.Example(None, nothing, name, f"it is not in {missed}")
    there = {*places}
    for place, name in enumerate(splits.index):
      if place not in there and splits_of[place] == split:
        yield stored.Example(
          None, nothing, name, f"it is not in {self._images}, but in the lists"
        )

  def _open(self):
    """Returns {name: member or path}, and its file as `read_pictures` takes."""
    if not self._is_archive:
      found = filter(_is_picture, sorted(os.listdir(self._images)))
      return {one: os.path.join(self._images, one) for one in found}, str
    try:
      archive = zipfile.ZipFile(self._images)
    except (zipfile.BadZipFile, OSError) as error:
      raise ValueError(
        f"{self._images} is not a whole archive ({error}): fetch it again."
      ) from error

    def read(member):
      try:
        return archive.read(member)
      except Exception:  # zipfile and zlib raise several kinds.
        return b""  # No picture, which is said of it.

    members = filter(_is_picture, sorted(archive.namelist()))
    return {os.path.basename(one): one for one in members}, read


class _Shards(Copy):
  """Parquet files with images and labels."""

  def __init__(self, paths):
    self.paths = paths

  def count(self):
    """See base class."""
    return sum(map(_count, self.paths))

  def examples(self, split, preprocessing):
    """See base class."""
    mine = [path for path in self.paths if _split_of_shard(path) == split]
    yield from stored.read_pictures(self._pictures(mine), preprocessing)

  def _pictures(self, paths):
    for path in paths:
      row = 0
      for piece in _pieces(path):
        table = pd.DataFrame(
          {name: piece[name].to_pandas() for name in ATTRIBUTES}
        )
        labels = _values(table, path, row).to_numpy()
        for image, own in zip(piece["image"].to_pylist(), labels):
          row += 1
          if not isinstance(image, dict):
            image = {"bytes": image if isinstance(image, bytes) else b""}
          name = image.get("path") or f"{os.path.basename(path)}, row {row}"
          yield image.get("bytes") or b"", own, name


@contextlib.contextmanager
def _opened(path):
  """Opens a parquet file, and says which it is where reading it fails."""
  try:
    with parquet.ParquetFile(path) as file:
      yield file
  except (pa.ArrowException, OSError) as error:
    told = " ".join(str(error).split())  # Some have several lines.
    raise ValueError(
      f"{path} is no whole parquet file ({told}): fetch it again."
    ) from error


def _pieces(path):
  """Yields the images and labels of a parquet file, some rows at a time."""
  with _opened(path) as shard:
    yield from shard.iter_batches(_ROWS, columns=["image", *ATTRIBUTES])


def _count(path):
  with _opened(path) as shard:
    return shard.metadata.num_rows


def find(places: Iterable[str]) -> Copy | None:
  """Returns the first copy of CelebA in or below some folders.

  Raises:
    ValueError: There is a part of a copy; the message says what is missing.
  """
  for place in places:
    images, lists, shards = _look(os.path.expanduser(place))
    if images and len(lists) == 2:
      return _Listed(images, lists[_LIST], lists[_PARTITION])
    if shards:
      lacking = {*stored.SPLITS} - {*map(_split_of_shard, shards)}
      if lacking:
        raise ValueError(
          f"There is a part of CelebA in {place}; missing: parquet files of "
          f"{' and '.join(sorted(lacking))}, with the columns image and the "
          "40 attributes. Get them from the same source, and put them there, "
          "too."
        )
      return _Shards(shards)
    if images or lists:
      missing = [
        f"{name}.txt or .csv"
        for name in (_LIST, _PARTITION)
        if name not in lists
      ]
      if not images:
        missing.append(f"{_FOLDER}.zip or a folder {_FOLDER} with the images")
      raise ValueError(
        f"There is a part of CelebA in {place}; missing: {', '.join(missing)}. "
        "Get it from the same source, and put it there, too; or give the "
        "folder that holds all of it as --source_dir."
      )
  return None


def not_found(places: str) -> str:
  """Returns the error message for a copy that was not found."""
  return (
    f"CelebA is not there. In and below {places}, these were looked for: (1) "
    f"the official files {', '.join(PUBLISHED)}, the archive packed or "
    f"unpacked (torchvision's root/celeba); (2) Kaggle's folder {_FOLDER} with "
    f"{_LIST}.csv and {_PARTITION}.csv; (3) Hugging Face's parquet files, such "
    "as train-00000-of-00019.parquet, with the columns image and the 40 "
    "attributes. Get one of them from CelebA's project page (MMLAB, the "
    "Chinese University of Hong Kong; Align&Cropped Images), from kaggle.com "
    "(celeba-dataset) or from huggingface.co (flwrlabs/celeba), and give its "
    "folder as --source_dir."
  )


def _look(place):
  """Returns the path of the images, lists by name, and parquet files."""
  images, lists, shards = None, {}, []
  for folder, below, found in os.walk(place, followlinks=True, onerror=_refuse):
    below.sort()
    if os.path.relpath(folder, place).count(os.sep) >= _DEPTH - 1:
      below.clear()
    if os.path.basename(folder).startswith(_FOLDER):
      if any(map(_is_picture, found)):
        images = folder  # Preferred to an archive of them.
        below.clear()
    for name in sorted(found):
      stem, ending = os.path.splitext(name)
      path = os.path.join(folder, name)
      if name == f"{_FOLDER}.zip":
        images = images or path
      elif stem in (_LIST, _PARTITION) and ending in (".txt", ".csv"):
        lists.setdefault(stem, path)
      elif ending == ".parquet" and _split_of_shard(path) and _has_all(path):
        shards.append(path)
  return images, lists, shards


def _refuse(error):
  """Raises the error of a folder of images that cannot be read."""
  name = os.path.basename(error.filename)
  if isinstance(error, PermissionError) and name.startswith(_FOLDER):
    raise error


def _is_picture(path):
  """Says whether a file is an image by its name."""
  name = os.path.basename(path).lower()
  # Macs put a file ._000001.jpg beside an image, in archives and on disks.
  return name.endswith(_PICTURES) and not name.startswith(".")


def _split_of_shard(path):
  """Returns the split in the name of a file or of its folder, or None."""
  folder, name = os.path.split(path)
  return names.split_named(re.split(r"[-.]", name)[0]) or names.split_named(
    os.path.basename(folder)
  )


def _has_all(path):
  try:
    return {"image", *ATTRIBUTES} <= {*parquet.read_schema(path).names}
  except (pa.ArrowException, OSError):
    return True  # Reading it raises an error that names it.


def _read_attributes(path):
  """Returns float32 labels by file name."""
  table = tables.by_file_name(tables.read(path), path)
  if not len(table.columns) or not {*table.columns} <= {*ATTRIBUTES}:
    raise ValueError(
      f"{path} does not have CelebA's 40 attributes in its header: fetch it "
      "again."
    )
  known = [name for name in ATTRIBUTES if name in table]
  if len(known) < len(ATTRIBUTES):
    warnings.warn(
      f"{path} has {len(known)} of CelebA's {len(ATTRIBUTES)} attributes; the "
      "others are not known.",
      stacklevel=2,
    )
  return _values(table[known], path).reindex(columns=list(ATTRIBUTES))


def _values(table, path, first=0):
  """Returns labels as float32, from -1 and 1, 0 and 1, or booleans.

  Args:
    table: Some rows of a file.
    path: The file.
    first: Number of rows before them.
  """
  found = {}
  for name in table:
    codes, cells = pd.factorize(table[name], use_na_sentinel=False)
    text = [str(cell).lower() for cell in cells]
    known = np.array([_VALUES.get(cell, np.nan) for cell in text], np.float32)
    if np.isnan(known).any():
      code = int(np.flatnonzero(np.isnan(known))[0])
      row = first + int(np.argmax(codes == code))
      raise ValueError(
        f"{path}, row {row + 1}: {name} is {text[code]!r}, and must be -1 or "
        "1. Fetch it again."
      )
    found[name] = known[codes]
  return pd.DataFrame(found, index=table.index)


def _read_splits(path):
  """Returns the split of each file, by its name."""
  columns = None
  if path.endswith(".txt"):
    columns = [tables.FILE_NAME, "partition"]
  table = tables.by_file_name(tables.read(path, columns), path)
  if not len(table.columns):
    raise ValueError(
      f"{path} has file names only: a second column must have the split of "
      "each file, 0, 1 or 2. Fetch it again."
    )
  splits = table.iloc[:, 0].astype(str)
  known = splits.map(lambda split: dict(zip("012", stored.SPLITS)).get(split))
  if known.isna().any():
    row = int(np.argmax(known.isna()))
    raise ValueError(
      f"{path}, row {row + 1}: {table.index[row]} is in the split "
      f"{splits.iloc[row]!r}, and must be in 0, 1 or 2. Fetch it again."
    )
  for split in stored.SPLITS:
    if split not in set(known):
      raise ValueError(
        f"{path} has no image of the split {split}: fetch it again."
      )
  return known
