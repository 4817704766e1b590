"""A function of tensors as one of arrays: compiled, batch by batch, timed."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

MILLISECONDS = "milliseconds"
# Of the float32 images that are made at a time. What a decoder holds while it
# makes them is 10 to 40 times as much.
_BYTES = 32 << 20


def rows_at_once(shape: Sequence[int], most: int = 256) -> int:
  """Returns how many rows to work on at a time, so that memory is bounded.

  >>> from lc_keras import batched
  >>> batched.rows_at_once((64, 64, 3)), batched.rows_at_once((1024, 1024, 3))
  (256, 2)

  Args:
    shape: Of a row, float32: (height, width, channels).
    most: Rows, however small they are.
  """
  return max(1, min(most, _BYTES // (4 * math.prod(shape))))


def in_pieces(function: Callable, rows: tf.Tensor, size: int, types=tf.float32):
  """Applies a function to pieces of a batch, one after the other, in a graph.

  >>> import tensorflow as tf
  >>> from lc_keras import batched
  >>> batched.in_pieces(lambda z: 2.0 * z, tf.range(5.0), 2).numpy()
  array([0., 2., 4., 6., 8.], dtype=float32)

  Args:
    function: Rows to tensors of as many rows, whatever the others are.
    rows: [n, ...].
    size: Rows that it gets at a time; the last piece is filled up with zeros.
    types: Of what the function returns, in the same structure.

  Returns:
    What it returns of all rows.
  """
  count = tf.shape(rows)[0]
  missing = tf.pad([[0, -count % size]], [[0, len(rows.shape) - 1], [0, 0]])
  found = tf.map_fn(
    function,
    tf.reshape(tf.pad(rows, missing), [-1, size, *rows.shape[1:]]),
    fn_output_signature=types,
    parallel_iterations=1,
  )
  return tf.nest.map_structure(
    lambda value: tf.reshape(
      value, tf.concat([[-1], tf.shape(value)[2:]], axis=0)
    )[:count],
    found,
  )


class Batched:
  """Calls a function whose rows do not depend on each other."""

  def __init__(
    self, function: Callable[..., Mapping[str, tf.Tensor]], batch_size: int
  ):
    """Compiles the function when it is first called, and only then.

    Args:
      function: Tensors of [batch, ...] to tensors of the same length, by name.
      batch_size: Rows handed over at a time; the last batch may be smaller.
    """
    self._function = tf.function(function, autograph=False)
    self._batch_size = batch_size
    self._concrete = None

  def __call__(self, *arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Applies the function.

    Args:
      *arrays: Each of [n, ...], n at least 1; in every call of the same types
        and shapes, but for n.

    Returns:
      Arrays of [n, ...] by name; "milliseconds" among them, the time that a
      row's batch took, divided by its size: NaN in the first batch of all,
      in which buffers and plans are made.

    Raises:
      ValueError: There are no rows.
    """
    parts = list(self.pieces(*arrays))
    if not parts:
      raise ValueError("There are no rows to work on: give at least one.")
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

  def pieces(self, *arrays: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Yields what a call returns batch by batch: no more is held at a time."""
    warm = self._concrete is not None
    if not warm:
      # The length is left open: small batches need no graph of their own.
      self._concrete = self._function.get_concrete_function(
        *(tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in arrays)
      )
    for start in range(0, len(arrays[0]), self._batch_size):
      rows = slice(start, start + self._batch_size)
      inputs = [tf.constant(array[rows]) for array in arrays]
      began = time.perf_counter()
      outputs = self._concrete(*inputs)
      part = {name: value.numpy() for name, value in outputs.items()}
      count = len(inputs[0])
      spent = (time.perf_counter() - began) * 1000.0 / count
      part[MILLISECONDS] = np.full(count, spent if warm else np.nan)
      warm = True
      yield part
