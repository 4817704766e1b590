"""Prepared data sets by name, as batches for models.

Every data set is read as {"image": float32 [batch, height, width, channels] in
[0, 1], "attributes": float32 [batch, num_attributes] in [0, 1]}, however it is
stored. Data sets are prepared once, into `data_dir`:

  pipeline.prepare("toon_faces/studio", "data")
  pipeline.load("toon_faces/studio", "test", 64, data_dir="data")

A training stream is determined by its seed alone: stopped after any number of
steps and started again there with `start_step`, it goes on with the same
batches.

>>> from lc_keras.data import pipeline
>>> spec = pipeline.describe("toon_faces/tiny")
>>> spec.image_shape, spec.attributes.names[:2]
((64, 64, 3), ('Bald', 'Black_Hair'))
"""

import dataclasses
import functools
import hashlib
import importlib
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lc_keras import data
from lc_keras import files
from lc_keras import locks
from lc_keras import spelling
from lc_keras.constraints import attributes as attribute_sets
from lc_keras.data import integrity
from lc_keras.data import preprocessing as preprocessings
from lc_keras.data import streams
from lc_keras.data import tf_examples

# The split in which each attribute is frequent among its own examples.
BALANCED = "balanced"

# Up to this size, examples are kept in memory as they are stored (encoded).
_CACHE_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
  """A data set, described without its files.

  Attributes:
    name: Its name.
    image_shape: (height, width, channels).
    attributes: The attributes that `load` gives by default.
    all_attributes: Names of all its attributes.
    splits: Names of its splits.
    preprocessing: How a picture becomes an image of it.
  """

  name: str
  image_shape: tuple[int, int, int]
  attributes: attribute_sets.Attributes
  all_attributes: tuple[str, ...]
  splits: tuple[str, ...]
  preprocessing: preprocessings.Preprocessing


def describe(name: str) -> DatasetSpec:
  """Describes a data set.

  Raises:
    ValueError: There is no data set of this name.
  """
  dataset = _dataset(name)
  return DatasetSpec(
    name=name,
    image_shape=dataset.image_shape,
    attributes=attribute_sets.Attributes(
      dataset.attributes, dataset.exclusive, dataset.continuous
    ),
    all_attributes=dataset.all_attributes,
    splits=dataset.splits,
    preprocessing=dataset.preprocessing
    or preprocessings.Preprocessing(dataset.image_shape),
  )


def prepare(
  name: str, data_dir: str, max_bad_examples: int | None = 0
) -> list[str]:
  """Builds a data set in `data_dir`, with progress, unless it is there.

  Its files and examples are checked once; files that have changed since then
  are checked again.

  Args:
    name: Name of the data set.
    data_dir: Folder of all prepared data sets; made if needed.
    max_bad_examples: Most examples that may be bad; they are left out. None
      allows any number.

  Returns:
    The bad examples, each with what is wrong.

  Raises:
    ValueError: There is no such data set, or a file of it is wrong, or too many
      examples are.
    FileNotFoundError: It needs files that are fetched by hand, or a file is
      missing.
  """
  dataset = _dataset(name)
  data_dir = os.path.abspath(os.path.expanduser(data_dir))
  builder = dataset.builder(data_dir)
  if not builder.is_prepared():
    os.makedirs(data_dir, exist_ok=True)
    lock = os.path.join(data_dir, f".lock-{name.replace('/', '-')}")
    locks.take(lock, wait=True)
    try:
      builder = dataset.builder(data_dir)
      if not builder.is_prepared():
        dataset.prepare(builder, data_dir)
    finally:
      locks.give_back(lock)
  if name.startswith(tf_examples.PREFIX):
    return []  # All were read for their specification.
  bad = integrity.check(dataset, builder)
  if max_bad_examples is not None and len(bad) > max_bad_examples:
    raise ValueError(
      f"{name} has {len(bad)} examples that cannot be used, and "
      f"max_bad_examples is {max_bad_examples}. The first: {bad[0]}. Mend the "
      "data set, or give --max_bad_examples to leave out so many."
    )
  return bad


def verify(name: str, data_dir: str) -> None:
  """Reads all files of a prepared data set and compares their checksums.

  Args:
    name: Name of the data set.
    data_dir: Folder of all prepared data sets.

  Raises:
    ValueError: There is no such data set, or a file of it is wrong.
    FileNotFoundError: A file is missing, or the whole data set.
  """
  integrity.check(_dataset(name), _prepared(name, data_dir), again=True)


def load(
  name: str,
  split: str,
  batch_size: int,
  *,
  data_dir: str,
  attributes: Sequence[str] | None = None,
  training: bool = False,
  seed: int = 0,
  start_step: int = 0,
  limit: int | None = None,
  rows: tuple[int, int] | None = None,
  shuffle_buffer: int = 65_536,
) -> tf.data.Dataset:
  """Reads a prepared data set.

  For training: without end, shuffled anew every epoch, whole batches only.
  For evaluation: one pass in the order of the files, with the remainder.

  Args:
    name: Name of the data set.
    split: One of its splits.
    batch_size: Examples in a batch, over all replicas.
    data_dir: Folder of all prepared data sets.
    attributes: Some of its `all_attributes`; None for its `attributes`.
    training: Whether it is read for training.
    seed: Order of the training examples.
    start_step: Number of batches that training has already used.
    limit: Number of examples, the first of the split; None uses all.
    rows: (start, stop), for evaluation, reads these examples of the split and
      no others; None reads all.
    shuffle_buffer: Number of (encoded) examples among which the next one is
      drawn in training.

  Returns:
    Batches of {"image": float32 [batch, height, width, channels] in [0, 1],
    "attributes": float32 [batch, num_attributes] in [0, 1]}; in the split
    "balanced" also "focus": int64 [batch], the column of the attribute that
    half of such rows have on, or -1 if it is none of these attributes.

  Raises:
    ValueError: There is no such data set, split or attribute, or too little
      data for one batch of training.
    FileNotFoundError: The data set has not been prepared.
  """
  if start_step and not training:
    raise ValueError("start_step is for training; evaluation is one pass.")
  if rows is not None and training:
    raise ValueError("rows are for evaluation; training uses all.")
  decode = _decoder(name, split, attributes)
  examples, count, size = _examples(name, split, data_dir, limit, rows)
  if count < 1 or (training and batch_size > count):
    raise ValueError(
      f"The split {split} of {name} gives {count} examples (limit={limit}), "
      f"too few for a batch of {batch_size}: choose a smaller batch."
    )
  if training:
    if size <= _CACHE_BYTES:
      examples = examples.cache()
    examples = streams.shuffled_without_end(
      examples, seed, shuffle_buffer, start_step * batch_size, count
    )
  # Decoding comes last: encoded examples are small to shuffle, cache and skip.
  batches = _mapped(examples, decode).batch(batch_size, drop_remainder=training)
  return batches.prefetch(2).apply(streams.untuned)


def labels(
  name: str,
  split: str,
  attribute: str,
  *,
  data_dir: str,
  limit: int | None = None,
) -> np.ndarray:
  """Reads one attribute, also one that models are not trained on.

  Args:
    name: Name of the data set.
    split: One of its splits.
    attribute: One of its `all_attributes`.
    data_dir: Folder of all prepared data sets.
    limit: Number of examples, the first of the split; None reads all.

  Returns:
    float32 [n] in [0, 1], in the order of the split.

  Raises:
    ValueError: There is no such data set, split or attribute.
    FileNotFoundError: The data set has not been prepared.
  """
  dataset = _dataset(name)
  column = _column(name, attribute)
  examples, _, _ = _examples(name, split, data_dir, limit)
  # TensorFlow prunes the decoding of images, which nothing uses.
  values = _mapped(
    examples, lambda example: dataset.decode(example)["attributes"][column]
  )
  batches = values.batch(4096).apply(streams.untuned)
  return np.concatenate(list(batches.as_numpy_iterator()))


def checksums(name: str, *, data_dir: str) -> dict[str, str]:
  """Returns the SHA-256 of each split's files, by split.

  Args:
    name: Name of the data set.
    data_dir: Folder of all prepared data sets.

  Raises:
    ValueError: There is no such data set.
    FileNotFoundError: The data set has not been prepared.
  """
  builder = _prepared(name, data_dir)
  found = {}
  for split in _dataset(name).splits:
    whole = hashlib.sha256()
    for path in builder.info.splits[split].filepaths:
      whole.update(files.checksum(os.fspath(path)).encode())
    found[split] = whole.hexdigest()
  return found


def count(name: str, split: str, *, data_dir: str) -> int:
  """Returns the number of examples of a split, without the bad ones.

  Raises:
    FileNotFoundError: The data set has not been prepared.
    ValueError: There is no such data set, or no such split.
  """
  return _examples(name, split, data_dir, None)[1]


def _dataset(name):
  if name.startswith(tf_examples.PREFIX):
    return tf_examples.load(name.removeprefix(tf_examples.PREFIX))
  if name not in data.DATASETS:
    raise ValueError(
      f"Unknown data set {name!r}: {spelling.suggest(name, data.DATASETS)}"
    )
  return _imported(name, data.DATASETS[name])


@functools.cache
def _imported(name, module):
  return importlib.import_module(module).load(*name.split("/")[1:])


def _prepared(name, data_dir):
  """Returns the builder of a data set that is prepared."""
  data_dir = os.path.abspath(os.path.expanduser(data_dir))
  builder = _dataset(name).builder(data_dir)
  if not builder.is_prepared():
    raise FileNotFoundError(
      f"{name} has not been prepared in {data_dir}: call "
      f'pipeline.prepare("{name}", "{data_dir}") first, as every trainer does '
      "by itself, or correct --data_dir."
    )
  return builder


def _examples(name, split, data_dir, limit, rows=None):
  """Returns examples as they are stored, in order, their count, and the size.

  The size is that of the whole data set, in bytes. Bad examples are left out.
  """
  splits = _dataset(name).splits
  if split not in splits:
    raise ValueError(
      f"{name} has no split {split!r}: {spelling.suggest(split, splits)}"
    )
  builder = _prepared(name, data_dir)
  count = builder.info.splits[split].num_examples
  bad = integrity.bad_rows(builder, split)
  count -= sum(map(len, bad.values()))
  start, stop = rows or (0, count)
  stop = min(stop, count)
  if bad:
    examples = integrity.without(builder, split, bad)
    examples = examples.skip(start).take(stop - start)
  else:
    examples = builder.as_dataset(
      split=split if rows is None else f"{split}[{start}:{stop}]",
      shuffle_files=False,
      decoders={"image": tfds.decode.SkipDecoding()},
      read_config=tfds.ReadConfig(try_autocache=False),
    )
  count = stop - start
  if limit is not None:
    examples, count = examples.take(limit), min(limit, count)
  return examples, count, builder.info.dataset_size


def _mapped(examples, function):
  return examples.map(
    function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )


def _column(name, attribute):
  """Returns the place of an attribute among all of its data set's."""
  known = _dataset(name).all_attributes
  if attribute not in known:
    raise ValueError(
      f"{name} has no attribute {attribute!r}: "
      f"{spelling.suggest(attribute, known)}"
    )
  return known.index(attribute)


def _decoder(name, split, attributes):
  """Returns a function that decodes an example and keeps some attributes."""
  dataset = _dataset(name)
  kept = dataset.attributes if attributes is None else attributes
  rows = [_column(name, attribute) for attribute in kept]
  columns = [
    rows.index(k) if k in rows else -1
    for k in range(len(dataset.all_attributes))
  ]

  def decode(example):
    decoded = dataset.decode(example)
    features = {
      "image": decoded["image"],
      "attributes": tf.gather(decoded["attributes"], rows),
    }
    if split == BALANCED:
      columns_of = tf.constant(columns, tf.int64)
      features["focus"] = tf.gather(columns_of, decoded["focus"])
    return features

  return decode
