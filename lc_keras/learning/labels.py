"""A few labels: values of some images, or of some latent vectors."""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lc_keras.data import latents as latent_rows

_ID, _VALUE, _WEIGHT = "id", "value", "weight"
_LATENT = "z"


@dataclasses.dataclass(frozen=True)
class Labels:
  """Values, and the images or latents that they are values of.

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
  """

  value: np.ndarray
  weight: np.ndarray | None = None
  ids: np.ndarray | None = None
  latents: np.ndarray | None = None

  def __post_init__(self):
    if self.weight is None:
      object.__setattr__(self, "weight", np.ones(len(self.value), np.float32))

  def rows(
    self, train: latent_rows.Latents, posterior_scale: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and scale of each, [n, latent_size].

    Args:
      train: The split that ids are rows of.
      posterior_scale: [latent_size], taken for latents that are given.

    Raises:
      ValueError: An id is no row, or latents have another size.
    """
    size = train.mean.shape[1]
    if self.ids is None:
      if self.latents.shape[1] != size:
        raise ValueError(
          f"The labels have latents of {self.latents.shape[1]} numbers; those "
          f"of this generator have {size}."
        )
      return self.latents, np.broadcast_to(posterior_scale, self.latents.shape)
    wrong = self.ids[(self.ids < 0) | (self.ids >= len(train))]
    if len(wrong):
      raise ValueError(
        f"The labels name {len(wrong)} images that are not there, such as "
        f"{wrong[0]}; ids are whole numbers from 0 to {len(train) - 1}, the "
        "place of the image in its split."
      )
    return train.mean[self.ids], train.scale[self.ids]


def read(labels) -> Labels:
  """Reads labels from a CSV file, a pandas frame, columns or an array.

  Columns are `value`, in [0, 1], perhaps `weight`, above 0, and either `id`,
  the place of an image in the training split, or `z0`, `z1` and so on, a latent
  vector. An array or a series [n] has the values of the first n images.

  >>> from lc_keras.learning import labels
  >>> labels.read({"id": [4, 2], "value": [1, 0.5]}).ids
  array([4, 2])

  Args:
    labels: One of these; a `Labels` is returned as it is.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: Something is wrong with it; the message says in which row.
  """
  if isinstance(labels, Labels):
    return labels
  if isinstance(labels, (str, os.PathLike)):
    return _read_table(_read_file(labels), os.fspath(labels))
  if isinstance(labels, (pd.DataFrame, Mapping)):
    return _read_table(pd.DataFrame(labels), "The table")
  value = np.asarray(labels)
  if value.ndim != 1:
    raise ValueError(
      f"Labels in an array must have the shape [n]; got {list(value.shape)}."
    )
  table = pd.DataFrame({_ID: np.arange(len(value)), _VALUE: value})
  return _read_table(table, "The array")


def _read_file(path):
  """Returns the table of a CSV file, all of it text."""
  try:
    # The header as a row, so that a longer row and a name that stands twice
    # are seen.
    table = pd.read_csv(
      path,
      header=None,
      dtype=str,
      keep_default_na=False,
      skipinitialspace=True,
      encoding="utf-8-sig",
    )
  except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
    raise ValueError(f"{path} is no CSV file with a header: {error}") from error
  return table.iloc[1:].set_axis(table.iloc[0].tolist(), axis="columns")


def _read_table(table, name):
  """Returns the labels of a table, after checking its numbers."""
  table = table.rename(columns=lambda column: str(column).strip())
  keys = _keys(name, list(table.columns))
  used = [*keys, _VALUE, *([_WEIGHT] if _WEIGHT in table else [])]
  if not len(table):
    raise ValueError(f"{name} has a header, and no labels below it.")
  numbers = table[used].apply(pd.to_numeric, errors="coerce").astype(float)
  for column in used:
    value = numbers[column].to_numpy()
    good, needed = np.isfinite(value), "a number"
    if column == _VALUE:
      good, needed = (value >= 0.0) & (value <= 1.0), "in [0, 1]"
    elif column == _WEIGHT:
      good, needed = good & (value > 0.0), "above 0"
    elif column == _ID:
      good, needed = value == np.round(value), "a whole number"
    if not good.all():
      row = int(np.flatnonzero(~good)[0])
      raise ValueError(
        f"{name}, label {row + 1}: {column} is {table[column].iloc[row]!r}, "
        f"and must be {needed}."
      )
  value = numbers[_VALUE].to_numpy(np.float32)
  weight = numbers[_WEIGHT].to_numpy(np.float32) if _WEIGHT in used else None
  if keys != [_ID]:
    return Labels(value, weight, latents=numbers[keys].to_numpy(np.float32))
  ids = numbers[_ID].astype(np.int64)
  if ids.duplicated().any():
    counts = ids.value_counts()
    raise ValueError(
      f"{name} has {counts.iloc[0]} labels of image {counts.index[0]}; give "
      "each image one."
    )
  return Labels(value, weight, ids=ids.to_numpy())


def _keys(name, columns):
  """Returns the columns that say what is labelled."""
  latents = [column for column in columns if column[:1] == _LATENT]
  numbered = [f"{_LATENT}{number}" for number in range(len(latents))]
  if len(set(columns)) < len(columns):
    raise ValueError(f"{name} has two columns of one name.")
  if _VALUE in columns and _ID in columns:
    return [_ID]
  if _VALUE in columns and latents and latents == numbered:
    return numbered
  raise ValueError(
    f"{name} has the columns {', '.join(columns) or '(none)'}; expected `id` "
    "(the place of an image in its split) or `z0`, `z1`, ... (a latent "
    "vector), `value` in [0, 1], and perhaps `weight`."
  )
