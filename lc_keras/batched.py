"""Applies a compiled function of tensors to arrays in batches, and times it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

MILLISECONDS = "milliseconds"
# Most bytes of float32 images per batch. A decoder's activations take 10 to 40
# times as many.
_BYTES = 32 << 20


def rows_at_once(shape: Sequence[int], most: int = 256) -> int:
  """Returns a batch size that bounds the memory of a batch.

  >>> from lc_keras import batched
  >>> batched.rows_at_once((64, 64, 3)), batched.rows_at_once((1024, 1024, 3))
  (256, 2)

  Args:
    shape: Shape of a float32 row, such as (height, width, channels).
    most: Largest batch size.
  """
  return max(1, min(most, _BYTES // (4 * math.prod(shape))))


def map_batches(
  function: Callable, rows: tf.Tensor, size: int, types=tf.float32
):
  """Applies a function to rows batch by batch, in a graph.

  >>> import tensorflow as tf
  >>> from lc_keras import batched
  >>> batched.map_batches(lambda z: 2.0 * z, tf.range(5.0), 2).numpy()
  array([0., 2., 4., 6., 8.], dtype=float32)

  Args:
    function: Maps rows to tensors of as many rows; rows must be independent.
    rows: [n, ...].
    size: Rows per batch; the last batch is padded with zeros.
    types: Data types of the function's outputs, in the same structure.

  Returns:
    The function's outputs for all rows.
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
  """Applies a function with independent rows to arrays, batch by batch."""

  def __init__(
    self, function: Callable[..., Mapping[str, tf.Tensor]], batch_size: int
  ):
    """Creates the object; the first call compiles the function.

    Args:
      function: Maps tensors [batch, ...] to tensors [batch, ...] by name.
      batch_size: Rows per batch; the last batch may be smaller.
    """
    self._function = tf.function(function, autograph=False)
    self._batch_size = batch_size
    self._concrete = None

  def __call__(self, *arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Applies the function.

    Args:
      *arrays: Each [n, ...] with n at least 1. Types and shapes, except n, must
        be the same in every call.

    Returns:
      Arrays [n, ...] by name, and "milliseconds": the time of a row's batch,
      divided by its size. It is NaN in the very first batch, which also
      allocates buffers.

    Raises:
      ValueError: There are no rows.
    """
    parts = list(self.iter_batches(*arrays))
    if not parts:
      raise ValueError("There are no rows to work on: give at least one.")
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

  def iter_batches(
    self, *arrays: np.ndarray
  ) -> Iterator[dict[str, np.ndarray]]:
    """Yields the results of `__call__` one batch at a time, to save memory."""
    warm = self._concrete is not None
    if not warm:
      # The batch dimension is None, so that a smaller batch needs no new graph.
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
