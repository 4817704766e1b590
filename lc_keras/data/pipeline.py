"""The one way in which examples reach a model.

Every data set comes out as {"image": float32 [batch, height, width, channels]
in [0, 1], "attributes": float32 [batch, num_attributes] in {0, 1}}, whatever it
was stored as. Data sets are prepared once, into `data_dir`:

  pipeline.prepare("toon_faces/studio", "data")
  pipeline.load("toon_faces/studio", "test", 64, data_dir="data")

A training stream is determined by its seed alone: stopped after any number of
steps and begun again there with `start_step`, it goes on with the very batches
that would have come next.
"""

import dataclasses
import difflib
import functools
import hashlib
import importlib
import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lc_keras import data
from lc_keras import files
from lc_keras import locks
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.data import integrity
from lc_keras.data import streams
from lc_keras.data import tf_examples

# The split in which each attribute is frequent among its own examples.
BALANCED = "balanced"

# Up to this size, examples are kept in memory as they are stored (encoded).
_CACHE_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
  """What a data set is, known without its files.

  Attributes:
    name: its name.
    image_shape: (height, width, channels).
    attributes: the attributes that `load` gives, and which exclude each other.
    all_attributes: names of all attributes that the data set labels.
    splits: names of its splits.
  """

  name: str
  image_shape: tuple[int, int, int]
  attributes: attributes_lib.Attributes
  all_attributes: tuple[str, ...]
  splits: tuple[str, ...]


def describe(name):
  """What a data set is: a DatasetSpec.

  Raises:
    ValueError: There is no data set of this name.
  """
  source = _source(name)
  return DatasetSpec(
    name=name,
    image_shape=source.image_shape,
    attributes=attributes_lib.Attributes(
      source.attributes, source.exclusive, source.continuous
    ),
    all_attributes=source.all_attributes,
    splits=source.splits,
  )


def prepare(name, data_dir, max_bad_examples=0):
  """Builds a data set in `data_dir`, with progress, unless it is there.

  Its files and examples are checked once; files that have changed since then
  are checked again.

  Args:
    name: name of the data set.
    data_dir: folder of all prepared data sets; made if needed.
    max_bad_examples: int, up to how many examples that cannot be used are left
      out.

  Returns:
    list of str, the bad examples: which, and what is wrong.

  Raises:
    ValueError: There is no such data set, or a file of it is wrong, or too many
      examples are.
    FileNotFoundError: It needs files that are fetched by hand, or a file has
      gone.
  """
  source = _source(name)
  data_dir = os.path.abspath(os.path.expanduser(data_dir))
  builder = source.builder(data_dir)
  if not builder.is_prepared():
    os.makedirs(data_dir, exist_ok=True)
    lock = os.path.join(data_dir, f".lock-{name.replace('/', '-')}")
    locks.take(lock, wait=True)
    try:
      builder = source.builder(data_dir)
      if not builder.is_prepared():
        source.prepare(builder, data_dir)
    finally:
      locks.give_back(lock)
  if name.startswith(tf_examples.PREFIX):
    return []  # All were read for their specification.
  bad = integrity.check(source, builder)
  if len(bad) > max_bad_examples:
    raise ValueError(
      f"{name} has {len(bad)} examples that cannot be used, and "
      f"max_bad_examples is {max_bad_examples}. The first: {bad[0]}. Mend the "
      "data set, or give --max_bad_examples to leave out so many."
    )
  return bad


def verify(name, data_dir):
  """Reads all files of a prepared data set and compares their checksums.

  Args:
    name: name of the data set.
    data_dir: folder of all prepared data sets.

  Raises:
    ValueError: There is no such data set, or a file of it is wrong.
    FileNotFoundError: A file has gone, or the whole data set.
  """
  source, builder = _prepared(name, data_dir)
  integrity.check(source, builder, again=True)


def load(
  name,
  split,
  batch_size,
  *,
  data_dir,
  attributes=None,
  training=False,
  seed=0,
  start_step=0,
  limit=None,
  rows=None,
  shuffle_buffer=65_536,
):
  """Reads a prepared data set.

  For training: without end, shuffled anew every epoch, whole batches only.
  For evaluation: one pass in the order of the files, the last batch being what
  remains.

  Args:
    name: name of the data set.
    split: one of its splits.
    batch_size: int, examples in a batch, over all replicas.
    data_dir: folder of all prepared data sets.
    attributes: some of its `all_attributes`; None for its `attributes`.
    training: bool.
    seed: int, order of the training examples.
    start_step: int, number of batches that were already used in training.
    limit: int or None, use only the first so many examples of the split.
    rows: (start, stop) or None, use only these examples of the split, without
      reading the others.
    shuffle_buffer: int, number of (encoded) examples among which the next one
      is drawn in training.

  Returns:
    tf.data.Dataset of {"image": float32 [batch, height, width, channels] in
    [0, 1], "attributes": float32 [batch, num_attributes] in {0, 1}}; in the
    split "balanced" also "focus": int64 [batch], the column of the attribute
    that half of such rows have on, or -1 if it is none of these attributes.

  Raises:
    ValueError: There is no such data set, split or attribute, or too little
      data for one batch of training.
    FileNotFoundError: The data set has not been prepared.
  """
  if start_step and not training:
    raise ValueError("start_step is for training; evaluation is one pass.")
  decode = _decoder(name, split, attributes)
  if rows is not None and training:
    raise ValueError("rows are for evaluation; training uses all.")
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
  # Decoding comes last: what is shuffled, cached or skipped is small.
  examples = examples.map(
    decode,
    num_parallel_calls=tf.data.AUTOTUNE,
    deterministic=True,
  )
  batches = examples.batch(batch_size, drop_remainder=training)
  return batches.prefetch(2).apply(streams.untuned)


def labels(name, split, attribute, *, data_dir, limit=None):
  """Reads one attribute, also one that models are not trained on.

  Args:
    name: name of the data set.
    split: one of its splits.
    attribute: one of its `all_attributes`.
    data_dir: folder of all prepared data sets.
    limit: int or None, only the first so many examples of the split.

  Returns:
    float32 [n] in [0, 1], in the order of the split.

  Raises:
    ValueError: There is no such data set, split or attribute.
    FileNotFoundError: The data set has not been prepared.
  """
  source = _source(name)
  column = _column(name, attribute)
  examples, _, _ = _examples(name, split, data_dir, limit)
  # The image is not asked for, so that it is not decoded.
  values = examples.map(
    lambda example: source.decode(example)["attributes"][column],
    num_parallel_calls=tf.data.AUTOTUNE,
    deterministic=True,
  )
  batches = values.batch(4096).apply(streams.untuned)
  return np.concatenate(list(batches.as_numpy_iterator()))


def checksums(name, *, data_dir):
  """Says which data this is: the SHA-256 of each split's files, by split.

  Args:
    name: name of the data set.
    data_dir: folder of all prepared data sets.

  Raises:
    ValueError: There is no such data set.
    FileNotFoundError: The data set has not been prepared.
  """
  source, builder = _prepared(name, data_dir)
  found = {}
  for split in source.splits:
    whole = hashlib.sha256()
    for path in builder.info.splits[split].filepaths:
      whole.update(files.checksum(os.fspath(path)).encode())
    found[split] = whole.hexdigest()
  return found


def count(name, split, *, data_dir):
  """Returns the number of examples of a split, without the bad ones.

  Raises:
    FileNotFoundError: The data set has not been prepared.
    ValueError: There is no such data set, or no such split.
  """
  return _examples(name, split, data_dir, None)[1]


def _prepared(name, data_dir):
  """Returns a source and its builder, whose data set is there."""
  source = _source(name)
  data_dir = os.path.abspath(os.path.expanduser(data_dir))
  builder = source.builder(data_dir)
  if not builder.is_prepared():
    raise FileNotFoundError(
      f"{name} has not been prepared in {data_dir}: call "
      f'pipeline.prepare("{name}", "{data_dir}") first, as every trainer does '
      "by itself, or correct --data_dir."
    )
  return source, builder


def _examples(name, split, data_dir, limit, rows=None):
  """Returns examples as they are stored, in order, their count, and the size.

  The size is that of the whole data set, in bytes. Bad examples are left out.
  """
  splits = _source(name).splits
  if split not in splits:
    raise ValueError(f"{name} has no split {split!r}{_nearest(split, splits)}")
  _, builder = _prepared(name, data_dir)
  count = builder.info.splits[split].num_examples
  bad = integrity.bad_rows(builder, split)
  if bad:
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


def _column(name, attribute):
  """Returns the place of an attribute among all of its data set's."""
  known = _source(name).all_attributes
  if attribute not in known:
    raise ValueError(
      f"{name} has no attribute {attribute!r}{_nearest(attribute, known)}"
    )
  return known.index(attribute)


def _decoder(name, split, attributes):
  """Decodes one example and keeps some attributes, in their order."""
  source = _source(name)
  kept = source.attributes if attributes is None else attributes
  rows = [_column(name, attribute) for attribute in kept]
  columns = [
    rows.index(k) if k in rows else -1
    for k in range(len(source.all_attributes))
  ]

  def decode(example):
    decoded = source.decode(example)
    features = {
      "image": decoded["image"],
      "attributes": tf.gather(decoded["attributes"], rows),
    }
    if split == BALANCED:
      columns_of = tf.constant(columns, tf.int64)
      features["focus"] = tf.gather(columns_of, decoded["focus"])
    return features

  return decode


def _source(name):
  if name.startswith(tf_examples.PREFIX):
    return tf_examples.load(name.removeprefix(tf_examples.PREFIX))
  if name not in data.DATASETS:
    raise ValueError(
      f"Unknown data set {name!r}{_nearest(name, data.DATASETS)}"
    )
  return _imported(name, data.DATASETS[name])


@functools.cache
def _imported(name, module):
  return importlib.import_module(module).load(*name.split("/")[1:])


def _nearest(wanted, known):
  near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
  if near:
    return f": did you mean {' or '.join(near)}?"
  return f": choose one of {', '.join(known)}."
