"""The cached posterior of a data set: pixels are looked at once.

Everything after the generative model trains on z = mean + scale * eps with
fresh eps, so one pass that writes mean, scale and attributes of every image is
all that is needed (Engel et al. 2018, section 3). A generative model that
cannot encode has no posterior: draws of its prior take their place.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

import numpy as np
import tensorflow as tf

from lc_keras import files
from lc_keras import shards
from lc_keras import streams

_MANIFEST = "manifest.json"
_FORMAT = 2
# One .npz file per split, from before there were shards; still read.
_WHOLE_FILES = 1
# Rows looked at together where all have to be.
_PIECE = 8192
# Where single numbers cannot tell rows apart any more: uniform draws have 23
# bits.
_MOST_COARSE_ROWS = 1 << 22

Array = np.ndarray | shards.Column


@dataclasses.dataclass(frozen=True)
class Latents:
  """The posterior of one split, or draws of the prior.

  Columns are arrays, or, of a cache, shards in files that are indexed like
  arrays; `numpy.asarray` reads such a column as a whole.

  Attributes:
    mean: float32 [n, latent_size].
    scale: float32 [n, latent_size], standard deviations.
    attributes: float32 [n, num_attributes] in {0, 1}; [n, 0] if nobody knows.
  """

  mean: Array
  scale: Array
  attributes: Array

  def __len__(self) -> int:
    return len(self.mean)

  def take(self, rows: np.ndarray | slice) -> Self:
    """Returns some rows, as arrays."""
    columns = vars(self).items()
    return Latents(**{name: value[rows] for name, value in columns})

  def pieces(self) -> Iterator[Self]:
    """Yields all rows in order, as many at a time as can be held."""
    for start in range(0, len(self), _PIECE):
      yield self.take(slice(start, start + _PIECE))


@dataclasses.dataclass(frozen=True)
class Moments:
  """How the rows of a split are spread.

  Attributes:
    center: float64 [latent_size], the mean of the means.
    covariance: float64 [latent_size, latent_size], of the means.
    noise: float64 [latent_size], the posterior's variance on average.
  """

  center: np.ndarray
  covariance: np.ndarray
  noise: np.ndarray

  def principal_axes(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns along which axes draws of the posterior vary, and how much.

    Unlike `covariance`, this counts the posterior's own noise.

    Returns:
      Variances, float64 [latent_size] in rising order, and the axes, float64
      [latent_size, latent_size], one a column.
    """
    return np.linalg.eigh(self.covariance + np.diag(self.noise))


def join(pieces: Iterable[Latents]) -> Latents:
  """Returns all rows of some pieces, as arrays."""
  columns = [dataclasses.astuple(piece) for piece in pieces]
  return Latents(*map(np.concatenate, zip(*columns)))


def encode(
  generator, dataset: Iterable[Mapping[str, tf.Tensor]]
) -> Iterator[Latents]:
  """Encodes every image of a data set, in order; yields a piece per batch.

  Args:
    generator: A model with `encode(images)`.
    dataset: Batches of "image" and "attributes".
  """
  function = tf.function(
    lambda images: _mean_and_scale(generator.encode(images)), autograph=False
  )
  for batch in dataset:
    mean, scale = function(batch["image"])
    yield Latents(mean.numpy(), scale.numpy(), batch["attributes"].numpy())


def draw(
  generator,
  rows: int,
  scale: float,
  seed: tuple[int, int],
  *,
  read: Callable[[tf.Tensor], tf.Tensor] | None = None,
  batch_size: int = 256,
  progress: Callable[[Iterable], Iterable] = iter,
) -> Latents:
  """Draws from the prior, for a model that cannot encode.

  Args:
    generator: A model with `decode(latents)` and `latent_size`.
    rows: How many.
    scale: Standard deviation of each row in each dimension. Such a model has no
      posterior; what is meant is how far one can move without it being seen.
    seed: Of the draws.
    read: Images to labels [batch, num_attributes] in {0, 1}; None gives no
      attributes, and then nothing is decoded.
    batch_size: Images decoded at once.
    progress: Wraps the batches, to show how far it is.
  """
  mean = tf.random.stateless_normal([rows, generator.latent_size], seed)
  attributes = np.zeros([rows, 0], np.float32)
  if read is not None:
    function = tf.function(
      lambda latents: read(generator.decode(latents).mean()), autograph=False
    )
    starts = progress(range(0, rows, batch_size))
    labels = [function(mean[start : start + batch_size]) for start in starts]
    attributes = np.concatenate(labels)
  return Latents(
    mean.numpy(), np.full(mean.shape, scale, np.float32), attributes
  )


def write(
  folder: str,
  splits: Mapping[str, Latents | Iterable[Latents]],
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
      pieces = rows.pieces() if isinstance(rows, Latents) else rows
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
) -> Latents:
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
    return Latents(**shards.read(paths))
  with np.load(paths[0], allow_pickle=False) as arrays:
    return Latents(arrays["mean"], arrays["scale"], arrays["attributes"])


def moments(latents: Latents) -> Moments:
  """Returns how the rows of a split are spread, in two passes over it."""
  count = len(latents)
  total, noise = 0.0, 0.0
  for piece in latents.pieces():
    total += piece.mean.sum(axis=0, dtype=np.float64)
    noise += np.square(piece.scale, dtype=np.float64).sum(axis=0)
  center, products = total / count, 0.0
  for piece in latents.pieces():
    around = piece.mean - center
    products += around.T @ around
  return Moments(center, products / (count - 1), noise / count)


def covariance(latents: Latents) -> np.ndarray:
  """Returns how the means vary together, float32 [latent_size, latent_size].

  Few directions hold nearly all of the variance; in the others encoded images
  do not differ, and nothing trained on them knows what a move there means.
  """
  return moments(latents).covariance.astype(np.float32)


def batches(latents: Latents, batch_size: int) -> tf.data.Dataset:
  """Returns one pass over a split, in order, with the remainder.

  Yields "mean", "scale", "attributes" and "focus", an attribute per row in
  turn, see `training_batches`.
  """
  num_rows, num_attributes = len(latents), latents.attributes.shape[1]

  def cut(start):
    index = tf.range(start, tf.minimum(start + batch_size, num_rows))
    return {**_look_up(latents, index), "focus": index % num_attributes}

  starts = tf.data.Dataset.range(0, num_rows, batch_size)
  return starts.map(cut).prefetch(2).apply(streams.untuned)


def training_batches(
  latents: Latents,
  batch_size: int,
  *,
  turns: int = 1,
  balanced_fraction: float = 0.0,
  seed: int = 0,
  start_step: int = 0,
) -> tf.data.Dataset:
  """Returns endless random batches; batch i depends on the seed and i alone.

  Args:
    latents: A split.
    batch_size: Rows per batch and turn.
    turns: Sub-batches per batch; 1 leaves the dimension out.
    balanced_fraction: Share of rows drawn so that rare attributes are as
      frequent as common ones: an attribute and a value are drawn first, then
      a row that has it. The attribute is the row's "focus". The other rows
      are drawn evenly, with a random focus.
    seed: Seed of the draws.
    start_step: Number of batches to leave out: what a resumed run has seen.

  Returns:
    Batches of "mean" and "scale" [batch, turns, latent_size], "attributes"
    [batch, turns, num_attributes], and "focus" int64 [batch, turns].

  Raises:
    ValueError: There are fewer rows than one batch, or no attributes.
  """
  if len(latents) < batch_size:
    raise ValueError(
      f"A batch of {batch_size} rows needs at least as many latents; got "
      f"{len(latents)}. Lower --batch_size or encode more images."
    )
  rows_per_batch = batch_size * turns
  num_attributes = latents.attributes.shape[1]
  if not num_attributes:
    raise ValueError(
      "These latents have no labels to train on: nothing is known of what they "
      "show. Train a classifier for the run, delete its latents, and write "
      "them again, with `python -m trainers.latents`."
    )
  num_rows = len(latents)
  tables = _rows_by_value(latents) if balanced_fraction else None

  def draw(step):
    uniform = tf.random.stateless_uniform(
      [4, rows_per_batch], tf.stack([tf.cast(seed, tf.int64), step])
    )
    # A list of rows per attribute and value, 2 * num_attributes in all.
    choice = tf.cast(uniform[1] * 2 * num_attributes, tf.int64)
    where = uniform[0]
    if num_rows > _MOST_COARSE_ROWS:
      where = tf.cast(where, tf.float64)
      where += tf.cast(uniform[3], tf.float64) * 2.0**-23
    index = tf.minimum(tf.cast(where * num_rows, tf.int64), num_rows - 1)
    if tables:
      order, starts, counts = tables
      count = tf.gather(counts, choice)
      place = tf.cast(where * tf.cast(count, where.dtype), tf.int64)
      place = tf.minimum(place, count - 1) + tf.gather(starts, choice)
      by_value = tf.gather(order, tf.maximum(place, 0))
      balanced = (uniform[2] < balanced_fraction) & (count > 0)
      index = tf.where(balanced, tf.cast(by_value, tf.int64), index)
    rows = _look_up(latents, index)
    rows["focus"] = choice // 2
    if turns == 1:
      return rows
    return {
      name: tf.reshape(value, [batch_size, turns, *value.shape[1:]])
      for name, value in rows.items()
    }

  steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
  drawn = steps.map(draw, num_parallel_calls=1, deterministic=True)
  return drawn.prefetch(4).apply(streams.untuned)


def _look_up(latents, index):
  """Returns "mean", "scale" and "attributes" of some rows; runs in a graph."""
  names = [field.name for field in dataclasses.fields(Latents)]

  def copy(rows):
    taken = latents.take(rows)
    return [np.float32(getattr(taken, name)) for name in names]

  # Nothing else reads files row by row without holding all of them.
  values = tf.numpy_function(copy, [index], [tf.float32] * 3, stateful=False)
  for name, value in zip(names, values):
    value.set_shape([*index.shape, getattr(latents, name).shape[1]])
  return dict(zip(names, values))


def _rows_by_value(latents):
  """Lists the rows that have an attribute off and on, list 2 * k + value.

  Returns:
    All lists in a row, where in it each begins, and how long it is. That is
    four bytes per row and attribute.
  """
  num_rows, num_attributes = latents.attributes.shape
  on = np.zeros(num_attributes, np.int64)
  for piece in latents.pieces():
    on += (piece.attributes > 0.5).sum(axis=0)
  counts = np.stack([num_rows - on, on], axis=1).ravel()
  starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
  small = num_rows <= np.iinfo(np.int32).max
  order = np.empty(counts.sum(), np.int32 if small else np.int64)
  places, first = starts.copy(), 0
  for piece in latents.pieces():
    for column, labels in enumerate(piece.attributes.T > 0.5):
      for value in (False, True):
        rows, place = np.flatnonzero(labels == value), 2 * column + value
        order[places[place] : places[place] + len(rows)] = rows + first
        places[place] += len(rows)
    first += len(piece)
  return tuple(map(tf.constant, (order, starts, counts)))


def _mean_and_scale(posterior):
  return posterior.mean(), posterior.stddev()
