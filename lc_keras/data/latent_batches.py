"""Batches of latents: in order, or at random for as long as one trains."""

import dataclasses

import numpy as np
import tensorflow as tf

from lc_keras.data import latents as latents_lib
from lc_keras.data import streams

# Where single numbers cannot tell rows apart any more: uniform draws have 23
# bits.
_MOST_COARSE_ROWS = 1 << 22


def in_order(latents: latents_lib.Latents, batch_size: int) -> tf.data.Dataset:
  """Returns one pass over a split, in order, with the remainder.

  Yields "mean", "scale", "attributes" and "focus", an attribute per row in
  turn, see `at_random`.
  """
  num_rows, num_attributes = len(latents), latents.attributes.shape[1]

  def cut(start):
    index = tf.range(start, tf.minimum(start + batch_size, num_rows))
    return {**_look_up(latents, index), "focus": index % num_attributes}

  starts = tf.data.Dataset.range(0, num_rows, batch_size)
  return starts.map(cut).prefetch(2).apply(streams.untuned)


def at_random(
  latents: latents_lib.Latents,
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
  names = [field.name for field in dataclasses.fields(latents_lib.Latents)]

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
