"""Prepared data sets: files as they were written, examples that can be used.

Beside the files of a data set lies `checked.json`: sizes, times and checksums
of the files, and which examples are bad. It is written when a data set is first
used, which takes one pass over it; later a look at sizes and times is enough.
"""

import itertools
import json
import os
import warnings

import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm

from lc_keras import files
from lc_keras.data import streams

_NAME = "checked.json"
_FORMAT = 1
_PROGRESS_FROM = 10_000  # examples
# What `_look` returns, from 1 up.
_FAULTS = (
  "its image has another shape",
  "its image has values that are not numbers, or beyond [0, 1]",
  "its attributes have values that are not numbers, or beyond [0, 1]",
  "its attributes are neither 0 nor 1",
)


def check(source, builder, *, again=False):
  """Checks a prepared data set, as far as that has not been done.

  Args:
    source: source.Source of the data set.
    builder: Its tfds builder, prepared.
    again: bool, compute all checksums, whatever sizes and times are.

  Returns:
    list of str, one for each bad example: which it is, and what is wrong.

  Raises:
    FileNotFoundError: A file is missing.
    ValueError: A file is not what was written.
  """
  folder, known = str(builder.data_dir), _read(builder)
  paths = _paths(builder)
  for path in paths:
    if not os.path.exists(path):
      raise FileNotFoundError(
        f"The data set's file {path} is missing. Put it back, or delete "
        f"{folder} to have the data set prepared again."
      )
  found = {os.path.basename(path): _look_at_file(path) for path in paths}
  before = known["files"] if known else {}
  for path in paths:
    name = os.path.basename(path)
    old = before.get(name)
    if old and not again and _is_untouched(found[name], old):
      found[name] = old
      continue
    found[name]["sha256"] = files.checksum(path)
    if old and found[name]["sha256"] != old["sha256"]:
      raise ValueError(
        f"The data set's file {path} is damaged: it has "
        f"{found[name]['bytes']} bytes (written: {old['bytes']}) and another "
        f"checksum than when it was written. Put back a copy, or delete "
        f"{folder} to have the data set prepared again."
      )
  bad = known["bad"] if known else _examine(source, builder, paths)
  if known is None or found != before:
    _write(folder, {"format": _FORMAT, "files": found, "bad": bad})
  return [
    f"{os.path.join(folder, name)}, row {row}: {what}"
    for name, rows in bad.items()
    for row, what in rows.items()
  ]


def bad_rows(builder, split):
  """Which rows of a split are known to be bad.

  Args:
    builder: tfds builder, prepared.
    split: str.

  Returns:
    {path of a file: list of int, rows in it}; empty if there are none.
  """
  known = _read(builder)
  return {
    path: [int(row) for row in known["bad"][os.path.basename(path)]]
    for path in _paths_of(builder, split)
    if known and os.path.basename(path) in known["bad"]
  }


def without(builder, split, bad):
  """Reads a split without some of its rows, in the order of the files.

  Args:
    builder: tfds builder, prepared.
    split: str.
    bad: what `bad_rows` returned.

  Returns:
    tf.data.Dataset of examples, images still encoded.
  """

  def rows(path):
    records = tf.data.TFRecordDataset(path).enumerate()
    wrong = tf.constant(bad.get(path, [-1]), tf.int64)
    return records.filter(lambda row, _: tf.reduce_all(row != wrong))

  parts = [rows(path) for path in _paths_of(builder, split)]
  records = parts[0]
  for part in parts[1:]:
    records = records.concatenate(part)
  return records.map(
    lambda _, record: _parse(builder, record),
    num_parallel_calls=tf.data.AUTOTUNE,
    deterministic=True,
  )


def _examine(source, builder, paths):
  """Looks at every example; returns {file name: {row: what is wrong}}."""
  lengths = [
    length
    for split in builder.info.splits.values()
    for length in split.shard_lengths
  ]
  places = (
    (path, row)
    for path, length in zip(paths, lengths, strict=True)
    for row in range(length)
  )
  looked = iter(
    tf.data.TFRecordDataset(paths)
    .map(
      lambda record: _look(source, _parse(builder, record)),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    .apply(streams.untuned)
  )
  bad = {}
  for path, row in tqdm.tqdm(
    places,
    desc=f"checking {builder.info.full_name}",
    total=sum(lengths),
    unit=" examples",
    mininterval=5.0,
    disable=sum(lengths) < _PROGRESS_FROM,
  ):
    what = _next(looked, path, row)
    if what is not None:
      bad.setdefault(os.path.basename(path), {})[str(row)] = what
  if _is_another(looked):
    raise ValueError(
      f"The files of the data set in {builder.data_dir} hold more examples "
      "than dataset_info.json says. Delete the folder to have it prepared "
      "again."
    )
  return bad


def _next(looked, path, row):
  """Returns what is wrong with the next example; None if nothing is."""
  try:
    code = int(next(looked))
  except tf.errors.InvalidArgumentError as error:
    return _reason(error)
  except (tf.errors.DataLossError, StopIteration) as error:
    raise ValueError(
      f"The data set's file {path} is damaged or cut short at row {row}. Put "
      f"back a copy, or delete {os.path.dirname(path)} to have the data set "
      "prepared again."
    ) from error
  return _FAULTS[code - 1] if code else None


def _is_another(looked):
  try:
    next(looked)
  except StopIteration:
    return False
  except tf.errors.InvalidArgumentError:
    pass
  return True


def _reason(error):
  """Returns what TensorFlow says of an example, without what it adds."""
  text = error.message.splitlines()[0]
  for end in (" [Op:", "\n"):
    text = text.split(end)[0]
  return text.removeprefix("{{function_node __wrapped__IteratorGetNext}} ")


def _look(source, example):
  """Returns a scalar int: 0, or what is wrong with an example."""
  stored = tf.io.decode_image(example["image"], expand_animations=False)
  shape = tf.shape(stored)
  wrong_shape = tf.logical_not(
    tf.reduce_all(tf.equal(shape, tf.constant(source.stored_shape)))
  )

  def values():
    decoded = source.decode(example)
    image, attributes = decoded["image"], decoded["attributes"]
    binary = tf.constant(
      [name not in source.continuous for name in source.all_attributes]
    )
    whole = (attributes == 0.0) | (attributes == 1.0)
    return tf.case(
      [
        (~_in_range(image), lambda: 2),
        (~_in_range(attributes), lambda: 3),
        (~tf.reduce_all(whole | ~binary), lambda: 4),
      ],
      default=lambda: 0,
    )

  return tf.cond(wrong_shape, lambda: 1, values)


def _in_range(values):
  return tf.reduce_all((values >= 0.0) & (values <= 1.0))  # NaN is not.


def _parse(builder, record):
  return builder.info.features.deserialize_example(
    record, decoders={"image": tfds.decode.SkipDecoding()}
  )


def _paths(builder):
  return list(
    itertools.chain.from_iterable(
      _paths_of(builder, split) for split in builder.info.splits
    )
  )


def _paths_of(builder, split):
  return [str(path) for path in builder.info.splits[split].filepaths]


def _look_at_file(path):
  status = os.stat(path)
  return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _is_untouched(found, known):
  return all(known[key] == value for key, value in found.items())


def _read(builder):
  path = os.path.join(str(builder.data_dir), _NAME)
  if not os.path.exists(path):
    return None
  with open(path, encoding="utf-8") as file:
    known = json.load(file)
  # One of another format is made anew.
  return known if known["format"] == _FORMAT else None


def _write(folder, known):
  try:
    files.write_json(os.path.join(folder, _NAME), known)
  except OSError as error:
    warnings.warn(
      f"{folder} has been checked, but that cannot be noted there "
      f"({error.strerror}): it is checked again the next time.",
      stacklevel=2,
    )
