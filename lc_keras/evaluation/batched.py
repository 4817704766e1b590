"""A function of tensors as one of arrays: compiled, batch by batch, timed."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

MILLISECONDS = "milliseconds"


class Batched:
  """Calls a function whose rows do not depend on each other."""

  def __init__(
    self, function: Callable[..., Mapping[str, tf.Tensor]], batch_size: int
  ):
    """Compiles the function; it is traced at the first call.

    Args:
      function: Tensors of [batch_size, ...] to tensors of the same length, by
        name.
      batch_size: Rows handed over at a time.
    """
    self._graph = tf.function(function, autograph=False)
    self._batch_size = batch_size
    self._warm = False

  def __call__(self, *arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Applies the function.

    Args:
      *arrays: Each of [n, ...], n at least 1.

    Returns:
      Arrays of [n, ...] by name; "milliseconds" among them, the time that a
      row's batch took, divided by its size: NaN in the first batch of all,
      which is compiled.
    """
    count, size = len(arrays[0]), self._batch_size
    parts = []
    for start in range(0, count, size):
      # A last batch is filled up with its own rows: one shape, one trace.
      rows = start + np.arange(size) % min(size, count - start)
      inputs = [tf.constant(array[rows]) for array in arrays]
      began = time.perf_counter()
      outputs = self._graph(*inputs)
      part = {name: value.numpy() for name, value in outputs.items()}
      spent = (time.perf_counter() - began) * 1000.0 / size
      part[MILLISECONDS] = np.full(size, spent if self._warm else np.nan)
      self._warm = True
      parts.append({name: v[: count - start] for name, v in part.items()})
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
