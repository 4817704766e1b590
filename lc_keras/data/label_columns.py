"""Labels in the forms that people have them in, as columns of attributes.

>>> from lc_keras.data import label_columns
>>> columns, attributes = label_columns.read([2, 0], ["A", "B", "C"], 2)
>>> columns
array([[0., 0., 1.],
       [1., 0., 0.]], dtype=float32)
>>> attributes.exclusive
(('A', 'B', 'C'),)
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from lc_keras.constraints import attributes as attribute_sets

Attributes = attribute_sets.Attributes


def read(labels, attributes, count: int) -> tuple[np.ndarray, Attributes]:
  """Returns labels as columns, and the attributes that the columns stand for.

  Args:
    labels: [count, num_attributes] in [0, 1]; [count] of one attribute; [count]
      whole numbers, one class for each of several attributes; columns by name,
      in a dictionary or a pandas frame, rows in the order of the images; or
      None.
    attributes: Names, an `Attributes`, or None for the names that a dictionary
      or a frame has; with these, it chooses columns, in any spelling of case.
    count: Number of images.

  Returns:
    float32 [count, num_attributes], no columns for None; and `Attributes`, in
    which classes exclude each other, and values between 0 and 1 make an
    attribute continuous.

  Raises:
    ValueError: Labels and names do not fit together.
  """
  chosen = names(labels, attributes)
  if _has_names(labels):
    known = Attributes(tuple(labels))
    chosen = tuple(known.names[known.index(name)] for name in chosen)
    labels = np.stack([labels[name] for name in chosen], axis=-1)
  labels = np.zeros([count, 0]) if labels is None else np.asarray(labels)
  columns = check(labels, chosen, count)
  degrees = ((columns > 0.0) & (columns < 1.0)).any(axis=0)
  return columns, _attributes(
    attributes,
    chosen,
    exclusive=_are_classes(labels.dtype, labels.shape[1:], chosen),
    continuous=[name for name, some in zip(chosen, degrees) if some],
  )


def describe(label, attributes) -> Attributes:
  """Returns the attributes of labels of which only the type is known.

  Args:
    label: `tf.TypeSpec` of one example's labels, those by name, or None.
    attributes: See `read`. Degrees cannot be seen here: give an `Attributes`.
  """
  chosen = names(label, attributes)
  exclusive = isinstance(label, tf.TypeSpec) and _are_classes(
    label.dtype.as_numpy_dtype, label.shape, chosen
  )
  return _attributes(attributes, chosen, exclusive)


def check(labels: np.ndarray, names, count: int) -> np.ndarray:
  """Returns labels as float32 [count, num_attributes].

  Args:
    labels: As in `read`, but an array.
    names: Of the attributes.
    count: Number of images.

  Raises:
    ValueError: They have another shape or range.
  """
  if labels.dtype.kind not in "biuf":
    raise ValueError(
      f"Labels must be numbers or booleans; got {labels.dtype}. Name the "
      "columns that are: attributes=[...]."
    )
  if _are_classes(labels.dtype, labels.shape[1:], names):
    if labels.min() < 0 or labels.max() >= len(names):
      raise ValueError(
        f"Classes must be in [0, {len(names) - 1}], one for each attribute; "
        f"got {labels.min()} to {labels.max()}."
      )
    labels = np.eye(len(names))[labels]
  labels = labels[:, np.newaxis] if labels.ndim == 1 else labels
  if labels.shape != (count, len(names)):
    raise ValueError(
      f"Labels must have the shape [{count}, {len(names)}], a row an image "
      f"and a column an attribute; got {list(labels.shape)}."
    )
  labels = labels.astype(np.float32)
  if not ((labels >= 0.0) & (labels <= 1.0)).all():  # NaN is not.
    raise ValueError(
      "Labels must be in [0, 1]; got values from "
      f"{labels.min():.4g} to {labels.max():.4g}."
    )
  return labels


def names(labels, attributes) -> tuple[str, ...]:
  """Returns the names of label columns: those given, or those of the labels.

  Raises:
    ValueError: There are names without labels, or labels without names.
  """
  if labels is None:
    if attributes is not None:
      raise ValueError("Attributes are named, and there are no labels.")
    return ()
  if isinstance(attributes, Attributes):
    return attributes.names
  if attributes is None and _has_names(labels):
    return tuple(labels)
  if attributes is None or isinstance(attributes, str):
    raise ValueError(
      "`attributes` must name the label columns, such as "
      f'["Smiling", "Male"]; got {attributes!r}.'
    )
  return tuple(attributes)


def _has_names(labels):
  return isinstance(labels, Mapping) or hasattr(labels, "columns")


def _are_classes(dtype, shape, names):
  """Says whether labels of this type are one whole number an image."""
  return np.issubdtype(dtype, np.integer) and not len(shape) and len(names) > 1


def _attributes(attributes, names, exclusive, continuous=()):
  if isinstance(attributes, Attributes):
    return attributes
  return Attributes(names, (names,) if exclusive else (), continuous)
