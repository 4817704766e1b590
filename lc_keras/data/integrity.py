"""Checks of prepared data sets: unchanged files, usable examples.

The result is kept beside the files in `checked.json`: their sizes, modification
times and checksums, and the bad examples. The first check reads every example;
later ones compare sizes and times only.
"""

import functools
import os
import re
import warnings
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm

from lc_keras import files
from lc_keras.data import stored
from lc_keras.data import streams

_NAME = "checked.json"
_FORMAT = 1
_PROGRESS_FROM = 10_000  # examples
# Descriptions of the codes that `_fault` returns, from 1 up.
_FAULTS = (
  "its image has another shape",
  "its image has values that are not numbers, or beyond [0, 1]",
  "its attributes have values that are not numbers, or beyond [0, 1]",
  "its attributes are neither 0 nor 1",
)
# Prefix of TensorFlow's messages that names its own nodes and iterators.
_OF_TENSORFLOW = re.compile(r"^{{.*?}} (Error in .*? Iterator::\S+: )?")
_PUT_BACK = "Put back a copy, or delete {} to have the data set prepared again."


def check(
  dataset: stored.Dataset,
  builder: tfds.core.DatasetBuilder,
  *,
  again: bool = False,
) -> list[str]:
  """Checks a prepared data set, except files unchanged since the last check.

  Args:
    dataset: The data set.
    builder: Its tfds builder, prepared.
    again: Whether to compute all checksums, also of files whose sizes and times
      have not changed.

  Returns:
    The bad examples, each as file, row and fault.

  Raises:
    FileNotFoundError: A file is missing.
    ValueError: A file is damaged.
  """
  folder, known = str(builder.data_dir), _read(builder)
  put_back = _PUT_BACK.format(folder)
  paths = [p for split in builder.info.splits for p in _paths(builder, split)]
  for path in paths:
    if not os.path.exists(path):
      raise FileNotFoundError(
        f"The data set's file {path} is missing. {put_back}"
      )
  before, found = known["files"] if known else {}, {}
  for path in paths:
    name, status = os.path.basename(path), os.stat(path)
    state = {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    old = before.get(name)
    if old and not again and state.items() <= old.items():
      found[name] = old
      continue
    found[name] = state | {"sha256": files.checksum(path)}
    if old and found[name]["sha256"] != old["sha256"]:
      raise ValueError(
        f"The data set's file {path} is damaged: it has {status.st_size} bytes "
        f"(written: {old['bytes']}) and another checksum than when it was "
        f"written. {put_back}"
      )
  about = stored.read_about(builder)
  if known:
    bad = known["bad"]
  else:
    # Builders of `stored` check their examples as they write them.
    bad = {} if about else _examine(dataset, builder, paths)
  if known is None or found != before:
    _write(folder, {"format": _FORMAT, "files": found, "bad": bad})
  return (about["left_out"] if about else []) + [
    f"{os.path.join(folder, name)}, row {row}: {fault}"
    for name, rows in bad.items()
    for row, fault in rows.items()
  ]


def bad_rows(
  builder: tfds.core.DatasetBuilder, split: str
) -> dict[str, list[int]]:
  """Returns the rows of a split that are known to be bad, by file."""
  bad = (_read(builder) or {"bad": {}})["bad"]
  return {
    path: [int(row) for row in bad[os.path.basename(path)]]
    for path in _paths(builder, split)
    if os.path.basename(path) in bad
  }


def without(
  builder: tfds.core.DatasetBuilder,
  split: str,
  bad: Mapping[str, Sequence[int]],
) -> tf.data.Dataset:
  """Reads a split without its `bad_rows`, images still encoded."""

  def rows(path):
    records = tf.data.TFRecordDataset(path).enumerate()
    wrong = tf.constant(bad.get(path, [-1]), tf.int64)
    return records.filter(lambda row, _: tf.reduce_all(row != wrong))

  parts = map(rows, _paths(builder, split))
  records = functools.reduce(tf.data.Dataset.concatenate, parts)
  return records.map(
    lambda _, record: _parse(builder, record),
    num_parallel_calls=tf.data.AUTOTUNE,
    deterministic=True,
  )


def _examine(dataset, builder, paths):
  """Checks every example; returns {file name: {row: fault}}."""
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
  faults = iter(
    tf.data.TFRecordDataset(paths)
    .map(
      lambda record: _fault(dataset, _parse(builder, record)),
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
    fault = _next(faults, path, row)
    if fault is not None:
      bad.setdefault(os.path.basename(path), {})[str(row)] = fault
  if _has_more(faults):
    raise ValueError(
      f"The files of the data set in {builder.data_dir} hold more examples "
      "than dataset_info.json says. Delete the folder to have it prepared "
      "again."
    )
  return bad


def _next(faults, path, row):
  """Returns the fault of the next example, or None."""
  try:
    code = int(next(faults))
  except tf.errors.InvalidArgumentError as error:
    text = error.message.splitlines()[0].split(" [Op:")[0]
    return _OF_TENSORFLOW.sub("", text)
  except (tf.errors.DataLossError, StopIteration) as error:
    raise ValueError(
      f"The data set's file {path} is damaged or cut short at row {row}. "
      f"{_PUT_BACK.format(os.path.dirname(path))}"
    ) from error
  return _FAULTS[code - 1] if code else None


def _has_more(faults):
  try:
    return next(faults, None) is not None
  except tf.errors.InvalidArgumentError:
    return True


def _fault(dataset, example):
  """Returns a scalar int, 0 for a good example; see `_FAULTS`."""
  stored = tf.io.decode_image(example["image"], expand_animations=False)
  shape = tf.shape(stored)
  right_shape = tf.reduce_all(tf.equal(shape, tf.constant(dataset.image_shape)))

  def of_values():
    decoded = dataset.decode(example)
    image, attributes = decoded["image"], decoded["attributes"]
    binary = tf.constant(
      [name not in dataset.continuous for name in dataset.all_attributes]
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

  return tf.cond(right_shape, of_values, lambda: 1)


def _in_range(values):
  return tf.reduce_all((values >= 0.0) & (values <= 1.0))  # False for NaN.


def _parse(builder, record):
  return builder.info.features.deserialize_example(
    record, decoders={"image": tfds.decode.SkipDecoding()}
  )


def _paths(builder, split):
  return [str(path) for path in builder.info.splits[split].filepaths]


def _read(builder):
  path = os.path.join(str(builder.data_dir), _NAME)
  if not os.path.exists(path):
    return None
  known = files.read_json(path)
  # A file of another format is written anew.
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
