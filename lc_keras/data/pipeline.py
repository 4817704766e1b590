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

import glob
import hashlib
import importlib
import inspect
import os
import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lc_keras import data
from lc_keras import files
from lc_keras import locks
from lc_keras import spelling
from lc_keras.data import integrity
from lc_keras.data import names
from lc_keras.data import stored
from lc_keras.data import streams
from lc_keras.data import tf_examples

# The split in which each attribute is frequent among its own examples.
BALANCED = "balanced"

# Up to this size, examples are kept in memory as they are stored (encoded).
_CACHE_BYTES = 1 << 30

# Number of bad examples that an error lists.
_SHOWN = 10

# Data sets by name and folder, so that a folder of images is scanned once.
_KNOWN = {}


def describe(name: str, data_dir: str = "data") -> stored.Dataset:
  """Returns the description of a data set.

  Args:
    name: Name of the data set.
    data_dir: Folder of all prepared data sets; describes those, too, whose
      source files are gone.

  Raises:
    ValueError: There is no data set of this name.
    FileNotFoundError: Its source folder is missing, and it is not prepared.
  """
  data_dir = os.path.abspath(os.path.expanduser(data_dir))
  if (name, data_dir) not in _KNOWN:
    _KNOWN[name, data_dir] = _load(name, data_dir)
  return _KNOWN[name, data_dir]


def prepare(
  name: str, data_dir: str, max_bad_examples: int | None = 0
) -> list[str]:
  """Builds a data set in `data_dir`, with progress, unless it is there.

  Its files are checked once, and files that have changed since then again. If
  its source files have changed, it is built again.

  Args:
    name: Name of the data set.
    data_dir: Folder of all prepared data sets; made if needed.
    max_bad_examples: Largest number of bad examples, which were left out when
      it was built; None allows any.

  Returns:
    The bad examples, each with its fault.

  Raises:
    ValueError: There is no such data set, a file of it is damaged, or too many
      examples are bad.
    FileNotFoundError: It needs files that users must fetch, or a file is
      missing.
  """
  data_dir = os.path.abspath(os.path.expanduser(data_dir))
  _KNOWN.pop((name, data_dir), None)  # Its files may have changed.
  dataset = describe(name, data_dir)
  builder = dataset.builder(data_dir)
  if not _is_current(dataset, builder, data_dir):
    os.makedirs(data_dir, exist_ok=True)
    whole_name = builder.info.full_name.translate(str.maketrans("/:", "--"))
    lock = os.path.join(data_dir, f".lock-{whole_name}")
    locks.take(lock, wait=True)
    try:
      builder = dataset.builder(data_dir)
      if not _is_current(dataset, builder, data_dir):
        if builder.is_prepared():
          warnings.warn(
            f"The files of {name} have changed since they were read: reading "
            "them again.",
            stacklevel=2,
          )
          files.remove(str(builder.data_dir))
          builder = dataset.builder(data_dir)
        versions = glob.escape(os.path.dirname(str(builder.data_dir)))
        for killed in glob.glob(os.path.join(versions, "incomplete.*")):
          files.remove(killed)
        builder.download_and_prepare()
    finally:
      locks.give_back(lock)
  if names.split(name)[0] == names.TF_EXAMPLES:
    return []  # `write_spec` has checked all examples.
  integrity.check(builder)
  bad = (stored.read_about(builder) or {"left_out": []})["left_out"]
  if max_bad_examples is not None and len(bad) > max_bad_examples:
    shown = "\n  ".join(bad[:_SHOWN] + ["..."] * (len(bad) > _SHOWN))
    raise ValueError(
      f"{name} has {len(bad)} example{'s' * (len(bad) > 1)} that cannot be "
      f"used, and max_bad_examples is {max_bad_examples}:\n  {shown}\nMend the "
      f"files, or give --max_bad_examples={len(bad)} to leave them out."
    )
  return bad


def verify(name: str, data_dir: str) -> None:
  """Reads all files of a prepared data set and compares their checksums.

  Args:
    name: Name of the data set.
    data_dir: Folder of all prepared data sets.

  Raises:
    ValueError: There is no such data set, or a file of it is damaged.
    FileNotFoundError: A file, or the whole prepared data set, is missing.
  """
  kind, place, _ = names.split(name)
  if kind == names.TF_EXAMPLES:
    tf_examples.verify(place)
    return
  integrity.check(_prepared(name, data_dir), again=True)


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
  labels: np.ndarray | None = None,
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
    attributes: Some of its `all_attributes`; None for its `trained`.
    training: Whether it is read for training.
    seed: Order of the training examples.
    start_step: Number of batches that training has already used.
    limit: Number of examples, the first of the split; None uses all.
    rows: (start, stop), for evaluation, reads these examples of the split and
      no others; None reads all.
    labels: float32 [n, num_attributes], labels of all examples of the split in
      order, in place of its own.
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
  check_start(training, start_step)
  if rows is not None and training:
    raise ValueError(
      "rows is for evaluation only, since training uses all: leave it out."
    )
  decode = _decoder(name, split, attributes, data_dir)
  examples, count, size = _examples(name, split, data_dir, limit, rows)
  if count < 1 or (training and batch_size > count):
    raise ValueError(
      f"The split {split} of {name} gives {count} examples (limit={limit}), "
      f"too few for a batch of {batch_size}: choose a smaller batch_size."
    )
  if labels is not None:
    own = tf.data.Dataset.from_tensor_slices(labels).skip(
      rows[0] if rows else 0
    )
    examples = tf.data.Dataset.zip(examples, own)
    of_image = decode

    def decode(example, labels):
      return {**of_image(example), "attributes": labels}

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
  """Returns one attribute, float32 [n]; see `all_labels`."""
  return all_labels(name, split, [attribute], data_dir=data_dir, limit=limit)[
    :, 0
  ]


def all_labels(
  name: str,
  split: str,
  attributes: Sequence[str] | None = None,
  *,
  data_dir: str,
  limit: int | None = None,
) -> np.ndarray:
  """Reads some attributes, also those that models are not trained on.

  Arguments are those of `load`.

  Returns:
    float32 [n, num_attributes] in [0, 1], NaN where not known; in the order of
    the split.

  Raises:
    ValueError: There is no such data set, split or attribute.
    FileNotFoundError: The data set has not been prepared.
  """
  decode = _decoder(name, split, attributes, data_dir)
  examples, _, _ = _examples(name, split, data_dir, limit)
  # TensorFlow prunes the decoding of images, which nothing uses.
  values = _mapped(examples, lambda example: decode(example)["attributes"])
  batches = values.batch(4096).apply(streams.untuned)
  return np.concatenate(list(batches.as_numpy_iterator()))


def checksums(name: str, *, data_dir: str) -> dict[str, str]:
  """Returns the SHA-256 of each split's files, by split.

  Raises:
    ValueError: There is no such data set.
    FileNotFoundError: The data set has not been prepared.
  """
  builder = _prepared(name, data_dir)
  found = {}
  for split in describe(name, data_dir).splits:
    whole = hashlib.sha256()
    for path in builder.info.splits[split].filepaths:
      whole.update(files.checksum(os.fspath(path)).encode())
    found[split] = whole.hexdigest()
  return found


def count(name: str, split: str, *, data_dir: str) -> int:
  """Returns the number of examples of a split.

  Raises:
    FileNotFoundError: The data set has not been prepared.
    ValueError: There is no such data set, or no such split.
  """
  return _examples(name, split, data_dir, None)[1]


def file_names(name: str, split: str, *, data_dir: str) -> list[str] | None:
  """Returns the file names of a split's images in order; None without files.

  Raises:
    FileNotFoundError: The data set has not been prepared.
    ValueError: There is no such data set, or no such split.
  """
  builder = _prepared(name, data_dir)
  features = getattr(builder.info, "features", None) or {}
  if "name" not in features:
    return None
  examples, _, _ = _examples(name, split, data_dir, None)
  batches = examples.map(lambda example: example["name"]).batch(4096)
  found = np.concatenate(list(batches.as_numpy_iterator()))
  found = [one.decode() for one in found]
  return found if any(found) else None


def check_start(training: bool, start_step: int) -> None:
  """Raises ValueError for a start within an evaluation."""
  if start_step and not training:
    raise ValueError(
      "start_step is for training only, since evaluation is one pass: leave it "
      "out."
    )


def _load(name, data_dir):
  kind, place, options = names.split(name)
  known = kind or place
  if known not in data.DATASETS:
    raise ValueError(
      f"Unknown data set {known!r}: {spelling.suggest(known, data.DATASETS)} "
      "Your own pictures are images:FOLDER."
    )
  load = importlib.import_module(data.DATASETS[known]).load
  allowed = inspect.signature(load).parameters
  for option in options:
    if option not in allowed or option == "data_dir":
      raise ValueError(f"The data set {known!r} takes no --{option}.")
  if kind and not place:
    raise ValueError(f"{kind} is a kind of data sets: say which, behind it.")
  if kind:
    return load(place, data_dir, **options)
  return load(*place.split("/")[1:], **options)


def _is_current(dataset, builder, data_dir):
  """Says whether a data set is prepared, from source files as they are now."""
  if not builder.is_prepared():
    return False
  about, state = stored.read_about(builder), dataset.state(data_dir)
  return state is None or about is None or about["state"] == state


def _prepared(name, data_dir):
  """Returns the builder of a data set that is prepared."""
  data_dir = os.path.abspath(os.path.expanduser(data_dir))
  builder = describe(name, data_dir).builder(data_dir)
  if not builder.is_prepared():
    raise FileNotFoundError(
      f"{name} has not been prepared in {data_dir}: call "
      f'pipeline.prepare("{name}", "{data_dir}") first, as every trainer does '
      "by itself, or correct --data_dir."
    )
  return builder


def _examples(name, split, data_dir, limit, rows=None):
  """Returns stored examples in order, their count, and the data set's bytes."""
  splits = describe(name, data_dir).splits
  if split not in splits:
    raise ValueError(
      f"{name} has no split {split!r}: {spelling.suggest(split, splits)}"
    )
  builder = _prepared(name, data_dir)
  count = builder.info.splits[split].num_examples
  start, stop = rows or (0, count)
  stop = min(stop, count)
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


def _decoder(name, split, attributes, data_dir):
  """Returns a function that decodes an example and keeps some attributes."""
  dataset = describe(name, data_dir)
  known = dataset.all_attributes
  kept = dataset.trained if attributes is None else attributes
  for one in kept:
    if one not in known:
      raise ValueError(
        f"{name} has no attribute {one!r}: {spelling.suggest(one, known)}"
      )
  rows = [known.index(one) for one in kept]
  columns = [rows.index(k) if k in rows else -1 for k in range(len(known))]

  def decode(example):
    decoded = dataset.decode(example)
    features = {
      "image": decoded["image"],
      "attributes": tf.gather(decoded["attributes"], np.int64(rows)),
    }
    if split == BALANCED:
      columns_of = tf.constant(columns, tf.int64)
      features["focus"] = tf.gather(columns_of, decoded["focus"])
    return features

  return decode
