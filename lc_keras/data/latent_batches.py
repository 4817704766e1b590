"""Batches of latents: in order, once, or at random and without end."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from lc_keras.data import latents
from lc_keras.data import streams

# A uniform draw has 23 random bits: with more rows than this, a single draw
# could not reach all of them.
_MOST_COARSE_ROWS = 1 << 22


def in_order(rows: latents.Latents, batch_size: int) -> tf.data.Dataset:
  """Returns one pass over a split, in order, with the remainder.

  Args:
    rows: A split.
    batch_size: Rows per batch.

  Returns:
    Batches of "mean", "scale", "attributes" and "focus", an attribute per row
    in turn, see `at_random`.
  """
  num_rows, num_attributes = rows.attributes.shape

  def cut(start):
    index = tf.range(start, tf.minimum(start + batch_size, num_rows))
    return {**_look_up(rows, index), "focus": index % num_attributes}

  starts = tf.data.Dataset.range(0, num_rows, batch_size)
  return starts.map(cut).prefetch(2).apply(streams.untuned)


def at_random(
  rows: latents.Latents,
  batch_size: int,
  *,
  turns: int = 1,
  balanced_fraction: float = 0.0,
  seed: int = 0,
  start_step: int = 0,
) -> tf.data.Dataset:
  """Returns endless random batches; batch i depends on the seed and i alone.

  Args:
    rows: A split.
    batch_size: Rows per batch and turn.
    turns: Sub-batches per batch; 1 leaves the dimension out.
    balanced_fraction: Share of rows drawn so that rare attributes are as
      frequent as common ones: an attribute and a value are drawn first, then
      a row that has it. The attribute is the row's "focus". The other rows
      are drawn evenly, with a random focus.
    seed: Seed of the draws.
    start_step: Number of batches to skip, those that a resumed run has used.

  Returns:
    Batches of "mean" and "scale" [batch, turns, latent_size], "attributes"
    [batch, turns, num_attributes], and "focus" int64 [batch, turns].

  Raises:
    ValueError: There are fewer rows than one batch, or no attributes.

  >>> import numpy as np
  >>> from lc_keras.data import latent_batches, latents
  >>> rows = latents.Latents(np.ones([9, 4]), np.ones([9, 4]), np.eye(9, 2))
  >>> batch = next(iter(latent_batches.at_random(rows, 3, turns=5)))
  >>> [tuple(batch[name].shape) for name in ("mean", "attributes", "focus")]
  [(3, 5, 4), (3, 5, 2), (3, 5)]
  """
  if len(rows) < batch_size:
    raise ValueError(
      f"A batch of {batch_size} rows needs at least as many latents; got "
      f"{len(rows)}. Use a smaller batch_size or encode more images."
    )
  rows_per_batch = batch_size * turns
  num_rows, num_attributes = rows.attributes.shape
  if not num_attributes:
    raise ValueError(
      "These latents have no labels to train on. Train a classifier for the "
      "run, delete its latents, and write them again, with "
      "`python -m trainers.latents`."
    )
  tables = _rows_by_value(rows) if balanced_fraction else None

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
    batch = {**_look_up(rows, index), "focus": choice // 2}
    if turns == 1:
      return batch
    return {
      name: tf.reshape(value, [batch_size, turns, *value.shape[1:]])
      for name, value in batch.items()
    }

  steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
  drawn = steps.map(draw, num_parallel_calls=1, deterministic=True)
  return drawn.prefetch(4).apply(streams.untuned)


def with_lessons(
  batches: tf.data.Dataset,
  lessons: Mapping[str, np.ndarray],
  batch_size: int,
  *,
  seed: int = 0,
  start_step: int = 0,
) -> tf.data.Dataset:
  """Adds lessons, answers for an actor to imitate, to each batch as "lessons".

  The lessons of batch i depend on the seed and i alone.

  Args:
    batches: A data set of mappings.
    lessons: See `samplers.lessons.make_lessons`.
    batch_size: Lessons per batch: as many samples, and as many edits.
    seed: Seed of the draws.
    start_step: The number of the first batch.
  """
  count = len(lessons["prior"])

  def copy(index):
    return [np.float32(column[index]) for column in lessons.values()]

  def draw(step, batch):
    uniform = tf.random.stateless_uniform(
      [batch_size], tf.stack([tf.constant(seed, tf.int64), step])
    )
    index = tf.minimum(tf.cast(uniform * count, tf.int64), count - 1)
    # Tensors would be a second copy of all lessons in memory.
    types = [tf.float32] * len(lessons)
    chosen = tf.numpy_function(copy, [index], types, stateful=False)
    for values, column in zip(chosen, lessons.values()):
      values.set_shape([batch_size, *column.shape[1:]])
    return {**batch, "lessons": dict(zip(lessons, chosen))}

  return batches.enumerate(start_step).map(draw).prefetch(2)


def _look_up(rows, index):
  """Returns "mean", "scale" and "attributes" of some rows; runs in a graph."""

  def copy(index):
    return [np.float32(column) for column in vars(rows.take(index)).values()]

  # Only a NumPy function reads rows of mapped files without loading them whole.
  values = tf.numpy_function(copy, [index], [tf.float32] * 3, stateful=False)
  for value, column in zip(values, vars(rows).values()):
    value.set_shape([*index.shape, column.shape[1]])
  return dict(zip(latents.COLUMNS, values))


def _rows_by_value(split):
  """Lists the rows in which attribute k is off or on, as list 2 * k + value.

  Returns:
    The concatenated lists, the start of each, and the length of each: four
    bytes per row and attribute.
  """
  num_rows, num_attributes = split.attributes.shape
  on = np.zeros([2, num_attributes], np.int64)
  for piece in split.pieces():
    on += [lists.sum(axis=0) for lists in _by_value(piece)]
  counts = on.T.ravel()
  starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
  small = num_rows <= np.iinfo(np.int32).max
  order = np.empty(counts.sum(), np.int32 if small else np.int64)
  places, first = starts.copy(), 0
  for piece in split.pieces():
    for value, lists in enumerate(_by_value(piece)):
      for column, is_in in enumerate(lists.T):
        rows, place = np.flatnonzero(is_in), 2 * column + value
        order[places[place] : places[place] + len(rows)] = rows + first
        places[place] += len(rows)
    first += len(piece)
  return tuple(map(tf.constant, (order, starts, counts)))


def _by_value(piece):
  """Returns masks of attributes that are off, and on; unknown is neither."""
  return piece.attributes <= 0.5, piece.attributes > 0.5
