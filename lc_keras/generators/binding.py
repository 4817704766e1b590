"""Calls a decoder or an encoder of any kind, as a function of tensors.

Other inputs are held at a value, models with a fixed batch size get padded
batches, and models outside of TensorFlow get arrays.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras.generators import part as parts


def caller(part: parts.Part, known: Mapping) -> Callable[[Any], dict[str, Any]]:
  """Returns a function from a batch to all outputs, by the model's names.

  Args:
    part: A direction of a model.
    known: Its entry in the spec; may have "fixed", see `generator.Generator`.
  """
  specs = part.inputs or {}
  held = {
    name: _row(_read(value), specs.get(name), name)
    for name, value in known.get("fixed", {}).items()
  }

  def call(rows):
    others = {
      name: _rows(value, specs.get(name), rows) for name, value in held.items()
    }
    return parts.named(part.run(rows, **others), part.outputs)

  return call


def arrays(part: parts.Part, known: Mapping) -> Callable:
  """Returns a function from arrays to all outputs as arrays, see `caller`.

  It runs the model outside of any graph.

  Args:
    part: A direction of a model.
    known: See `caller`; may have "batch_size", if the model takes no other.
  """
  call, size = caller(part, known), known.get("batch_size")

  def called(rows):
    if not size:
      return _as_arrays(call(rows))
    pieces = []
    for start in range(0, len(rows), size):
      piece = rows[start : start + size]
      missing = [(0, size - len(piece))] + [(0, 0)] * (rows.ndim - 1)
      found = _as_arrays(call(np.pad(piece, missing)))
      pieces.append({key: value[: len(piece)] for key, value in found.items()})
    return {
      key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]
    }

  return called


def gives_arrays(part: parts.Part, known: Mapping, rows: np.ndarray) -> bool:
  """Says whether a model has to be called with arrays.

  Given an array, a function of NumPy returns an array, and a function of
  TensorFlow a tensor.
  """
  if part.on_arrays:
    return True
  size = known.get("batch_size") or len(rows)
  found = caller(part, known)(np.resize(rows, (size, *rows.shape[1:])))
  return not any(map(tf.is_tensor, found.values()))


def bind(
  part: parts.Part, known: Mapping
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
  """Returns a function from tensors to float32 outputs, by our names.

  Args:
    part: A direction of a model.
    known: See `arrays`; "outputs", the model's names by ours; "shapes" of a
      row of each, by our names; and "numpy", whether it is called with arrays.
  """
  call, outputs = caller(part, known), known["outputs"]
  as_arrays, size = arrays(part, known), known.get("batch_size")

  def tensors(rows):
    found = call(rows)
    return {
      ours: tf.cast(found[theirs], tf.float32)
      for ours, theirs in outputs.items()
    }

  def outside(rows):
    def run(rows):
      found = as_arrays(rows)
      return [found[theirs].astype(np.float32) for theirs in outputs.values()]

    values = tf.numpy_function(run, [rows], [tf.float32] * len(outputs))
    # In eager mode, a single output is not in a list.
    return dict(zip(outputs, tf.nest.flatten(values)))

  def padded(rows):
    types = dict.fromkeys(outputs, tf.float32)
    return batched.map_batches(tensors, rows, size, types)

  run = outside if known["numpy"] else padded if size else tensors

  def shaped(rows):
    return {
      ours: tf.ensure_shape(value, [None, *known["shapes"][ours]])
      for ours, value in run(rows).items()
    }

  return shaped


def _as_arrays(outputs):
  return {name: parts.array(value) for name, value in outputs.items()}


def _read(value):
  """Returns the value of a held input; a text names a file of an array."""
  if isinstance(value, str):
    try:
      return np.load(value, allow_pickle=False)
    except FileNotFoundError:
      raise FileNotFoundError(
        f"There is no file {value!r}. The value of a fixed input is a number, "
        "or a NumPy file (.npy) of an array of one row."
      ) from None
  return value


def _row(value, spec, name):
  """Returns the value of a held input for one row.

  A whole number for an input of several numbers is a class, encoded one-hot.
  """
  if spec is None or spec.shape.rank is None:
    return value
  value, sizes = np.asarray(value), list(spec.shape[1:])
  if value.ndim == 0 and len(sizes) == 1 and (sizes[0] or 0) > 1:
    if value != np.round(value) or not 0 <= value < sizes[0]:
      raise ValueError(
        f"The input {name} takes {sizes[0]} numbers: fix it at a class, a "
        f"whole number from 0 to {sizes[0] - 1}, or at an array; got {value}."
      )
    value = np.eye(sizes[0])[int(value)]
  elif value.ndim == 0:
    value = np.full([size or 1 for size in sizes], value)
  elif spec.shape.rank and list(value.shape) != sizes:
    raise ValueError(
      f"The input {name} takes rows of shape [{parts.dims(sizes)}]; it is "
      f"fixed at one of shape [{parts.dims(value.shape)}]."
    )
  if spec.dtype.is_integer and (value != np.round(value)).any():
    raise ValueError(
      f"The input {name} takes whole numbers; it is fixed at {value.max():g}."
    )
  return parts.cast(value, spec.dtype)


def _rows(value, spec, rows):
  """Returns the value of a held input for every row of a batch."""
  if spec is None or spec.shape.rank in (None, 0):
    return value
  if tf.is_tensor(rows):
    count = tf.shape(rows)[:1]
    return tf.broadcast_to(value, tf.concat([count, value.shape], 0))
  return np.array(np.broadcast_to(value, (len(rows), *value.shape)))
