"""A few labels: values of some images, or of some latent vectors."""

import csv
import dataclasses
import math

import numpy as np

from lc_keras.data import latents as latents_lib

_ID, _VALUE, _WEIGHT = "id", "value", "weight"
_LATENT = "z"


@dataclasses.dataclass(frozen=True)
class Labels:
  """Values, and what they are values of.

  Attributes:
    value: float32 [n] in [0, 1].
    weight: float32 [n] above 0.
    ids: int64 [n], rows of the cache; None if latents are given.
    latents: float32 [n, latent_size]; None if ids are given.
  """

  value: np.ndarray
  weight: np.ndarray
  ids: np.ndarray | None = None
  latents: np.ndarray | None = None

  def rows(
    self, cache: latents_lib.Latents, posterior_scale: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and scale of each, [n, latent_size].

    Args:
      cache: The split that ids are rows of.
      posterior_scale: [latent_size], taken for latents that are given.

    Raises:
      ValueError: An id is no row, or latents have another size.
    """
    size = cache.mean.shape[1]
    if self.ids is None:
      if self.latents.shape[1] != size:
        raise ValueError(
          f"The labels have latents of {self.latents.shape[1]} numbers; those "
          f"of this generator have {size}."
        )
      return self.latents, np.broadcast_to(posterior_scale, self.latents.shape)
    wrong = self.ids[(self.ids < 0) | (self.ids >= len(cache))]
    if len(wrong):
      raise ValueError(
        f"The labels name {len(wrong)} images that are not there, such as "
        f"{wrong[0]}; ids are whole numbers from 0 to {len(cache) - 1}, the "
        "place of the image in its split."
      )
    return cache.mean[self.ids], cache.scale[self.ids]


def read(path: str) -> Labels:
  """Reads labels from a CSV file with a header.

  Columns are `value`, in [0, 1], perhaps `weight`, above 0, and either `id`,
  the place of an image in its split, or `z0`, `z1` and so on, a latent vector.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: Something is wrong with it; the message says in which line.
  """
  with open(path, newline="", encoding="utf-8-sig") as file:
    reader = csv.DictReader(file, strict=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    keys = _keys(path, names)
    used = [*keys, _VALUE, *([_WEIGHT] if _WEIGHT in names else [])]
    table = [
      [_number(path, reader.line_num, row, name) for name in used]
      for row in reader
    ]
  if not table:
    raise ValueError(f"{path} has a header, and no labels below it.")
  columns = np.array(table)
  value = columns[:, len(keys)]
  weight = columns[:, -1] if _WEIGHT in names else np.ones_like(value)
  for name, column, good in (
    (_VALUE, value, (value >= 0.0) & (value <= 1.0)),
    (_WEIGHT, weight, weight > 0.0),
  ):
    if not good.all():
      line = int(np.flatnonzero(~good)[0])
      raise ValueError(
        f"{path}, label {line + 1}: {name} is {column[line]:g}, and must be "
        f"{'in [0, 1]' if name == _VALUE else 'above 0'}."
      )
  known = np.float32(value), np.float32(weight)
  if keys != [_ID]:
    return Labels(*known, latents=np.float32(columns[:, : len(keys)]))
  ids = columns[:, 0].astype(np.int64)
  if (ids != columns[:, 0]).any():
    raise ValueError(f"{path}: ids must be whole numbers.")
  unique, counts = np.unique(ids, return_counts=True)
  if (counts > 1).any():
    raise ValueError(
      f"{path} has {counts.max()} labels of image {unique[counts.argmax()]}; "
      "give each image one."
    )
  return Labels(*known, ids=ids)


def _keys(path, names):
  """Returns the columns that say what is labelled."""
  latents = [name for name in names if name[:1] == _LATENT]
  numbered = [f"{_LATENT}{number}" for number in range(len(latents))]
  if _VALUE in names and _ID in names:
    return [_ID]
  if _VALUE in names and latents and latents == numbered:
    return numbered
  raise ValueError(
    f"{path} has the columns {', '.join(names) or '(none)'}; expected `id` "
    "(the place of an image in its split) or `z0`, `z1`, ... (a latent "
    "vector), `value` in [0, 1], and perhaps `weight`."
  )


def _number(path, line, row, name):
  try:
    number = float(row[name])
  except (TypeError, ValueError):
    number = math.nan
  if not math.isfinite(number):
    raise ValueError(
      f"{path}, line {line}: {name} is {row[name]!r}, not a number."
    )
  return number
