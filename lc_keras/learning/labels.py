"""Labels: values of some images, or of some latent vectors."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lc_keras.data import latents as latent_rows
from lc_keras.data import tables
from lc_keras.generators import generator as generators

_ID, _SEED, _VALUE, _WEIGHT = "id", "seed", "value", "weight"
# Whole numbers up to here are exact as float64.
_LARGEST = 2**53
_LATENT = "z"


@dataclasses.dataclass(frozen=True)
class Labels:
  """Values, and the images or latents that they belong to.

  >>> import numpy as np
  >>> import lc_keras
  >>> labels = lc_keras.Labels(value=np.array([1.0, 0.0]), ids=np.array([7, 3]))
  >>> labels.weight
  array([1., 1.], dtype=float32)

  Attributes:
    value: float32 [n] in [0, 1].
    weight: float32 [n] above 0; 1 if not given.
    ids: int64 [n], rows of the training split; None if latents are given.
    latents: float32 [n, latent_size]; None if ids are given.
    files: n names of image files, in place of ids until `located` finds them.
    seeds: int64 [n], seeds of the labelled draws, see `Generator.sample`; None
      if anything else is given.
  """

  value: np.ndarray
  weight: np.ndarray | None = None
  ids: np.ndarray | None = None
  latents: np.ndarray | None = None
  files: Sequence[str] | None = None
  seeds: np.ndarray | None = None

  def __post_init__(self):
    if self.weight is None:
      object.__setattr__(self, "weight", np.ones(len(self.value), np.float32))

  def located(self, names: Sequence[str] | None) -> "Labels":
    """Returns labels by file name as labels by id, other labels unchanged.

    Args:
      names: File names of the training split, in order; None for images that
        have none. Labels of other images are left out.

    Raises:
      ValueError: No label is of a training image.
    """
    if self.files is None:
      return self
    if names is None:
      raise ValueError(
        "The labels name files, and the training images have no names: give "
        "`id`, the place of each image in the training split."
      )
    ids = tables.match(names, self.files)
    rows = np.flatnonzero(ids >= 0)
    if not len(rows):
      raise ValueError(
        f"None of the {len(self.files)} labels is of a training image: they "
        f"name files such as {self.files[0]}, and the images are called "
        f"{names[0]} and so on."
      )
    ids = ids[rows]
    return Labels(self.value[ids], self.weight[ids], ids=rows)

  def rows(
    self,
    train: latent_rows.Latents,
    posterior_scale: np.ndarray,
    generator=None,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns posterior mean and scale of the labelled rows, [n, latent_size].

    Args:
      train: The split whose rows the ids are.
      posterior_scale: [latent_size], the scale of given or drawn latents.
      generator: Draws the latents of seeds.

    Raises:
      ValueError: An id is not a row, or latents have another size.
    """
    size, latents = train.mean.shape[1], self.latents
    if self.seeds is not None:
      latents = generators.draw_rows(generator, self.seeds)
    if latents is not None:
      if latents.shape[1] != size:
        raise ValueError(
          f"The labels have latents of {latents.shape[1]} numbers; those of "
          f"this generator have {size}."
        )
      return latents, np.broadcast_to(posterior_scale, latents.shape)
    wrong = self.ids[(self.ids < 0) | (self.ids >= len(train))]
    if len(wrong):
      raise ValueError(
        f"The labels name {len(wrong)} images that are not there, such as "
        f"{wrong[0]}; ids are whole numbers from 0 to {len(train) - 1}, the "
        "place of the image in its split."
      )
    return train.mean[self.ids], train.scale[self.ids]


def read(labels, name: str | None = None) -> Labels:
  """Reads labels from a table in a file or in memory, or from an array.

  Columns are `value`, in [0, 1] (or -1 and 1), perhaps `weight`, above 0, and a
  key: `file_name`, an image's file; `id`, the place of an image in the training
  split; `seed`, of an image of `Generator.sample`; or `z0`, `z1` and so on, a
  latent vector. An array or a series [n] has the values of the first n images.

  >>> from lc_keras.learning import labels
  >>> labels.read({"id": [4, 2], "value": [1, 0.5]}).ids
  array([4, 2])
  >>> labels.read({"file_name": ["b.png"], "Red": [1]}, "Red").files
  ('b.png',)

  Args:
    labels: One of these; a file is any that `tables.read` reads; a `Labels` is
      returned as it is.
    name: Name of the constraint; a column of this name is used if there is no
      `value`.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: The labels are invalid; the message says in which row.
  """
  if isinstance(labels, Labels):
    return labels
  if isinstance(labels, (str, os.PathLike)):
    return _read_table(tables.read(labels), os.fspath(labels), name)
  if isinstance(labels, (pd.DataFrame, Mapping)):
    try:
      table = pd.DataFrame(labels)
    except ValueError as error:
      raise ValueError(f"The labels are no table: {error}.") from None
    return _read_table(table, "The table", name)
  value = np.asarray(labels)
  if value.ndim != 1:
    raise ValueError(
      f"Labels in an array must have the shape [n]; got {list(value.shape)}."
    )
  table = pd.DataFrame({_ID: np.arange(len(value)), _VALUE: value})
  return _read_table(table, "The array", name)


def _read_table(table, name, wanted):
  """Returns the labels of a table, after checking its numbers."""
  table = table.rename(columns=lambda column: str(column).strip())
  if _VALUE not in table and wanted in table:
    table = table.rename(columns={wanted: _VALUE})
  if table.columns.has_duplicates:
    raise ValueError(f"{name} has two columns of one name.")
  if not len(table):
    raise ValueError(f"{name} has a header, and no labels below it.")
  keys = _keys(name, list(table.columns))
  if keys is None:
    table = tables.by_file_name(table, name)
  used = [*(keys or ()), _VALUE, *([_WEIGHT] if _WEIGHT in table else [])]
  numbers = table[used].apply(pd.to_numeric, errors="coerce").astype(float)
  if set(numbers[_VALUE]) == {-1.0, 1.0}:
    numbers[_VALUE] = numbers[_VALUE].clip(lower=0.0)
  for column in used:
    value = numbers[column].to_numpy()
    good, needed = np.isfinite(value), "a number"
    if column == _VALUE:
      good, needed = (value >= 0.0) & (value <= 1.0), "in [0, 1]"
    elif column == _WEIGHT:
      good, needed = good & (value > 0.0), "above 0"
    elif column in (_ID, _SEED):
      good = (value == np.round(value)) & (np.abs(value) < _LARGEST)
      needed = "a whole number"
    if not good.all():
      row = int(np.flatnonzero(~good)[0])
      raise ValueError(
        f"{name}, label {row + 1}: {column} is {table[column].iloc[row]!r}, "
        f"and must be {needed}."
      )
  value = numbers[_VALUE].to_numpy(np.float32)
  weight = numbers[_WEIGHT].to_numpy(np.float32) if _WEIGHT in used else None
  if keys is None:
    return Labels(value, weight, files=tuple(table.index))
  if keys not in ([_ID], [_SEED]):
    return Labels(value, weight, latents=numbers[keys].to_numpy(np.float32))
  (key,) = keys
  ids = numbers[key].astype(np.int64)
  if ids.duplicated().any():
    counts = ids.value_counts()
    what = "image" if key == _ID else key
    raise ValueError(
      f"{name} has {counts.iloc[0]} labels of {what} {counts.index[0]}; give "
      "each image one."
    )
  return Labels(value, weight, **{f"{key}s": ids.to_numpy()})


def _keys(name, columns):
  """Returns the names of the key columns; None for file names."""
  latents = [column for column in columns if column[:1] == _LATENT]
  numbered = [f"{_LATENT}{number}" for number in range(len(latents))]
  if _VALUE in columns:
    for key in (_ID, _SEED):
      if key in columns:
        return [key]
    if latents and latents == numbered:
      return numbered
    if tables.has_file_names(columns):
      return None
  raise ValueError(
    f"{name} has the columns {', '.join(columns) or '(none)'}; expected "
    "`file_name` (of the image), `id` (the place of an image in its split), "
    "`seed` (of an image that was made) or `z0`, `z1`, ... (a latent vector), "
    "and `value` in [0, 1], and perhaps `weight`."
  )
