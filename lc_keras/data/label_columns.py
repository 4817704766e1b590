"""Converts labels of many forms to columns of attributes.

>>> from lc_keras.data import label_columns
>>> columns, attributes = label_columns.read([2, 0], ["A", "B", "C"], 2)
>>> columns
array([[0., 0., 1.],
       [1., 0., 0.]], dtype=float32)
>>> attributes.exclusive
(('A', 'B', 'C'),)
"""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from lc_keras.constraints import attributes as attribute_sets

Attributes = attribute_sets.Attributes

# Cells that mean an unknown label.
_MISSING = ("", "na", "n/a", "nan", "none", "null", "?", "<na>")
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
# A column with more distinct texts holds captions or the like, not classes; one
# with more distinct whole numbers holds quantities.
_MOST_CLASSES = 50
_MOST_NUMBERS = 20
# Columns whose classes become attributes without the column's name as a prefix.
_CLASS_COLUMNS = ("label", "class", "category")


def read(labels, attributes, count: int) -> tuple[np.ndarray, Attributes]:
  """Returns labels as columns, and the attributes of the columns.

  Args:
    labels: [count, num_attributes] in [0, 1], NaN where not known; [count] of
      one attribute; [count] integer classes, each the index of one of several
      attributes; columns by name, in a dictionary or a pandas frame, rows in
      the order of the images; or None.
    attributes: Names, an `Attributes`, or None for the column names of a
      dictionary or frame. Names select its columns, in upper or lower case.
    count: Number of images.

  Returns:
    float32 [count, num_attributes], no columns for None; and `Attributes`, in
    which classes exclude each other, and values between 0 and 1 make an
    attribute continuous.

  Raises:
    ValueError: Labels and names do not match.
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


def from_table(
  table: pd.DataFrame, name: str
) -> tuple[np.ndarray, Attributes, list[str]]:
  """Returns the columns of a table as labels, typed by their values.

  0 and 1, -1 and 1, true and false, yes and no make a binary attribute. Other
  texts, and up to 20 distinct whole numbers, are classes: each becomes an
  attribute named column_value, and they exclude each other. Other numbers make
  a continuous attribute, unchanged if within [0, 1], else scaled from [min,
  max]. An empty cell, NA, NaN or ? is an unknown label.

  >>> import pandas as pd
  >>> from lc_keras.data import label_columns
  >>> values = {"Bald": ["-1", "1", ""], "hair": ["red", "no", "red"]}
  >>> table = pd.DataFrame(values)
  >>> columns, attributes, _ = label_columns.from_table(table, "mine.csv")
  >>> columns
  array([[ 0.,  0.,  1.],
         [ 1.,  1.,  0.],
         [nan,  0.,  1.]], dtype=float32)
  >>> attributes.names, attributes.exclusive
  (('Bald', 'hair_no', 'hair_red'), (('hair_no', 'hair_red'),))

  Args:
    table: Columns by name, of text or of values.
    name: Name of the table in errors.

  Returns:
    float32 [len(table), num_attributes] in [0, 1], NaN where not known; their
    `Attributes`; and notes on columns that were scaled or left out.

  Raises:
    ValueError: A column is ambiguous, or has an invalid name.
  """
  columns, exclusive, continuous, notes = {}, [], [], []
  for column in table.columns:
    found, kind, note = _converted(table[column], to_name(column), name)
    twice = columns.keys() & found.keys()
    if twice:
      raise ValueError(
        f"{name} has two columns for {min(twice)}, since blanks and other "
        "characters become _: rename one."
      )
    columns |= found
    notes += [f"{column}: {note}"] if note else []
    exclusive += [tuple(found)] if kind == "classes" else []
    continuous += [*found] if kind == "degrees" else []
  try:
    attributes = Attributes(tuple(columns), exclusive, continuous)
  except ValueError as error:
    raise ValueError(f"{name}: {error}") from error
  values = np.empty([len(table), len(columns)], np.float32)
  for place, column in enumerate(columns.values()):
    values[:, place] = column
  return values, attributes, notes


def _converted(column, name, table):
  """Returns {name: float32 [n]}, the kind or None, and a note or None."""
  try:
    # A column usually repeats a few distinct values.
    codes, values = pd.factorize(column)
  except TypeError:
    return {}, None, "left out, since its cells are no numbers or words"
  text = pd.Series(values).astype(str).str.strip()
  known = ~text.str.lower().isin(_MISSING).to_numpy()
  words = text.str.lower().map(_WORDS).to_numpy(float)
  numbers = pd.to_numeric(text, errors="coerce").to_numpy(float)
  numbers = np.where(np.isnan(numbers), words, numbers)

  def spread(of_values):  # Cells that pandas calls missing have the code -1.
    return np.append(of_values, np.nan).astype(np.float32)[codes]

  if not known.any():
    return {}, None, "left out, since no label of it is known"
  if np.isinf(numbers).any():
    place = int(np.flatnonzero(np.isinf(numbers))[0])
    raise ValueError(
      f"{table}, row {list(codes).index(place) + 1}: {name} is {text[place]}, "
      "and must be a finite number."
    )
  found = set(numbers[known])
  if np.isnan(numbers[known]).any():
    if text[known].str.fullmatch(r"-?\d+(,\d+)?").all():
      comma = text[known & np.isnan(numbers)].iloc[0]
      raise ValueError(
        f"{table}: {name} is {comma!r} and the like: write numbers with a "
        f"point ({comma.replace(',', '.')}), without separators of thousands."
      )
    return _classes(text.to_numpy(), known, name, spread)
  low, high = min(found), max(found)
  if found <= {-1.0, 1.0} or found <= {0.0, 1.0}:
    return {name: spread(np.maximum(numbers, 0.0))}, "switch", None
  if found == {-1.0, 0.0, 1.0}:
    raise ValueError(
      f"{table}: {name} is -1, 0 and 1, of which one may mean unknown: leave "
      "those cells empty, and write 0 and 1 (or -1 and 1) in the others."
    )
  if 0.0 <= low and high <= 1.0:
    return {name: spread(numbers)}, "degrees", None
  if len(found) <= _MOST_NUMBERS and all(map(float.is_integer, found)):
    whole = np.array([f"{number:.0f}" for number in numbers])
    return _classes(whole, known, name, spread)
  if low == high:
    return {}, None, f"left out, since it is {low:g} everywhere"
  note = f"taken as degrees, 0 for {low:g} and 1 for {high:g}"
  return {name: spread((numbers - low) / (high - low))}, "degrees", note


def _classes(text, known, name, spread):
  classes = sorted(set(text[known]))
  is_named_so = name.lower() in _CLASS_COLUMNS
  most = len(classes) if is_named_so else _MOST_CLASSES
  if len(classes) == 1:
    return {}, None, f"left out, since it is {classes[0]} everywhere"
  if len(classes) > most:
    return {}, None, f"left out, since it has {len(classes)} different texts"
  is_clear = is_named_so and not any(map(str.isdigit, classes))
  before = "" if is_clear else f"{name}_"
  # "A b" and "A_b" are one class.
  written = np.array([to_name(f"{before}{one}") for one in text])
  return (
    {
      one: spread(np.where(known, written == one, np.nan))
      for one in dict.fromkeys(to_name(f"{before}{c}") for c in classes)
    },
    "classes",
    None,
  )


def to_name(name):
  """Returns a name in the characters that a request allows."""
  return re.sub(r"[^\w\-]+", "_", str(name)).strip("_")


def describe(label, attributes) -> Attributes:
  """Returns the attributes of labels from their type, without their values.

  Args:
    label: `tf.TypeSpec` of one example's labels, a dictionary of such by name,
      or None.
    attributes: See `read`. Only an `Attributes` can name continuous ones.
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
    names: Names of the attributes.
    count: Number of images.

  Raises:
    ValueError: The labels have a wrong type, shape or range.
  """
  if labels.dtype.kind not in "biuf":
    raise ValueError(
      f"Labels must be numbers or booleans; got {labels.dtype}. Select the "
      "columns of these types with attributes=[...]."
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
  wrong = np.argwhere((labels < 0.0) | (labels > 1.0))
  if len(wrong):
    row, column = wrong[0]
    raise ValueError(
      "Labels must be in [0, 1], or NaN where not known; "
      f"{tuple(names)[column]} of row {row} is {labels[row, column]:.4g}."
    )
  return labels


def names(labels, attributes) -> tuple[str, ...]:
  """Returns the names of label columns: those given, or those of the labels.

  Raises:
    ValueError: There are names without labels, or labels without names.
  """
  if labels is None:
    if attributes is not None:
      raise ValueError(
        "`attributes` names label columns, and there are no labels: give "
        "`labels`, or leave `attributes` out."
      )
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
  """Says whether labels of this type are one integer class per image."""
  return np.issubdtype(dtype, np.integer) and not len(shape) and len(names) > 1


def _attributes(attributes, names, exclusive, continuous=()):
  if isinstance(attributes, Attributes):
    return attributes
  return Attributes(names, (names,) if exclusive else (), continuous)
