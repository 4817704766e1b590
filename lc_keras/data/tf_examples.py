"""TFRecord files of tf.Example for the input pipeline, as by ExampleGen.

TFX's ExampleGen writes a folder a split, such as `Split-train`, of TFRecord
files, compressed by gzip. An example has `image/encoded`, a PNG or a JPEG, and
`attributes`, a number in [0, 1] for each. A specification, a JSON file, adds
the names of the attributes and makes a data set of the files:

  tf_examples.write_spec("faces.json", splits, image_shape, attributes)
  pipeline.load("tf_examples:faces.json", "train", 64, data_dir="data")
"""

import dataclasses
import glob
import io
import math
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import message
from PIL import Image

from lc_keras import files
from lc_keras.constraints import attributes as attribute_sets
from lc_keras.data import names
from lc_keras.data import stored

PREFIX = names.TF_EXAMPLES
IMAGE = "image/encoded"
ATTRIBUTES = "attributes"
_FORMAT = 1
_FIELDS = {"image_shape", "attributes", "exclusive", "continuous", "splits"}
_GZIP = ".gz"


@dataclasses.dataclass(frozen=True)
class _Split:
  """The part of tfds's split information that the pipeline needs."""

  num_examples: int
  filepaths: Sequence[str]


def write_spec(
  path: str,
  splits: Mapping[str, Sequence[str]],
  image_shape: Sequence[int],
  attributes: attribute_sets.Attributes,
) -> None:
  """Reads every example once, and writes the specification of a data set.

  Args:
    path: The specification, a JSON file.
    splits: Glob patterns of files, by name of the split.
    image_shape: (height, width, channels) of every image.
    attributes: The attributes, in the order of the examples.

  Raises:
    FileNotFoundError: A split has no file.
    ValueError: An example is incomplete, or has other attributes.
  """
  found = {}
  for split, patterns in splits.items():
    paths = sorted({p for one in patterns for p in glob.glob(one)})
    paths = [os.path.abspath(p) for p in paths if os.path.isfile(p)]
    if not paths:
      raise FileNotFoundError(
        f"The split {split!r} has no files: nothing matches "
        f"{', '.join(patterns)}."
      )
    _records(paths)  # Raises if only some are compressed.
    count = sum(
      _check_file(one, split, len(attributes), tuple(image_shape))
      for one in paths
    )
    if not count:
      raise ValueError(f"{', '.join(paths)} of {split} have no example.")
    found[split] = {"files": paths, "examples": count}
  files.write_json(
    path,
    {
      "format": _FORMAT,
      "image_shape": list(image_shape),
      "attributes": list(attributes.names),
      "exclusive": [list(group) for group in attributes.exclusive],
      "continuous": list(attributes.continuous),
      "splits": found,
    },
  )


def load(path: str, data_dir: str = "") -> stored.Dataset:
  """Returns the data set of a specification, which names its files.

  Raises:
    FileNotFoundError: The specification, or a file that it names, is missing.
    ValueError: It has another format.
  """
  del data_dir
  spec = _read_spec(path)
  attributes, shape = tuple(spec["attributes"]), tuple(spec["image_shape"])
  return stored.Dataset(
    image_shape=shape,
    all_attributes=attributes,
    trained=attributes,
    exclusive=tuple(map(tuple, spec["exclusive"])),
    splits=tuple(spec["splits"]),
    builder=lambda data_dir: _Files(spec, os.path.dirname(path)),
    decode=lambda example: stored.decode(example, shape),
    continuous=tuple(spec["continuous"]),
  )


def verify(path: str) -> None:
  """Reads every example of a specification again.

  Raises:
    FileNotFoundError: A file is missing.
    ValueError: A file is damaged, or its number of examples has changed.
  """
  spec = _read_spec(path)
  size, shape = len(spec["attributes"]), tuple(spec["image_shape"])
  for split, known in spec["splits"].items():
    count = sum(_check_file(one, split, size, shape) for one in known["files"])
    if count != known["examples"]:
      raise ValueError(
        f"The files of {split} have {count} examples, and {path} says "
        f"{known['examples']}: write it again with tf_examples.write_spec."
      )


def _read_spec(path):
  """Reads a specification, and checks that its files exist."""
  again = "Write it again with tf_examples.write_spec."
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"{path} is not there: tf_examples.write_spec writes such a file."
    )
  spec = files.read_json(path)
  is_one = isinstance(spec, dict)
  if not is_one or spec.get("format") != _FORMAT or not _FIELDS <= {*spec}:
    raise ValueError(
      f"{path} has no specification of examples of format {_FORMAT}. {again}"
    )
  for split in spec["splits"].values():
    for one in split["files"]:
      if not os.path.exists(one):
        raise FileNotFoundError(
          f"{path} names {one}, which is not there. {again}"
        )
  return spec


class _Files:
  """The part of a tfds builder that the pipeline needs; also its own `info`."""

  def __init__(self, spec, folder):
    self.data_dir = folder
    self.info = self
    self.splits = self
    self._spec = spec
    self.dataset_size = sum(
      os.path.getsize(path)
      for split in spec["splits"].values()
      for path in split["files"]
    )

  def is_prepared(self):
    return True

  def __getitem__(self, split):
    name, start, stop = self._part(split)
    return _Split(stop - start, self._spec["splits"][name]["files"])

  def as_dataset(self, split, **options):
    del options  # Of tfds; examples are in order and not decoded in any case.
    name, start, stop = self._part(split)
    records = _records(self._spec["splits"][name]["files"])
    size = len(self._spec["attributes"])

    def parse(record):
      # ExampleGen writes attributes as whole numbers or as floats.
      parsed = tf.io.parse_single_example(
        record, {IMAGE: tf.io.FixedLenFeature([], tf.string)}
      )
      labels = tf.numpy_function(_labels, [record], tf.float32)
      return {
        "image": parsed[IMAGE],
        "attributes": tf.ensure_shape(labels, [size]),
      }

    return records.skip(start).take(stop - start).map(parse)

  def _part(self, split):
    name, start, stop = re.fullmatch(
      r"(.+?)(?:\[(\d+):(\d+)\])?", split
    ).groups()
    count = self._spec["splits"][name]["examples"]
    if start is None:
      return name, 0, count
    return name, min(int(start), count), min(int(stop), count)


def _records(paths):
  packed = {path.endswith(_GZIP) for path in paths}
  if len(packed) > 1:
    raise ValueError(
      f"Some of {', '.join(paths)} are compressed with gzip ({_GZIP}) and some "
      "are not: compress all files of a split, or none."
    )
  return tf.data.TFRecordDataset(paths, "GZIP" if packed.pop() else "")


def _labels(record):
  feature = tf.train.Example.FromString(record).features.feature[ATTRIBUTES]
  kind = feature.WhichOneof("kind")
  return np.array(getattr(feature, kind).value if kind else (), np.float32)


def _check_file(path, split, size, image_shape):
  """Counts the examples of a file; raises ValueError if one is bad."""
  count = 0
  try:
    for record in _records([path]).as_numpy_iterator():
      _check(record, f"example {count} of {split}, {path},", size, image_shape)
      count += 1
  except tf.errors.DataLossError as error:
    raise ValueError(
      f"{path} is no whole TFRecord file: damaged behind example {count}."
    ) from error
  return count


def _check(record, which, size, image_shape):
  """Raises ValueError unless an example can be used."""
  try:
    features = tf.train.Example.FromString(record).features.feature
  except message.DecodeError as error:
    raise ValueError(f"The {which} is no tf.Example.") from error
  if not features[IMAGE].bytes_list.value:
    raise ValueError(f"The {which} has no {IMAGE}.")
  if features[ATTRIBUTES].WhichOneof("kind") == "bytes_list":
    raise ValueError(f"{ATTRIBUTES} of the {which} are no numbers.")
  labels = _labels(record)
  if len(labels) != size:
    raise ValueError(
      f"The {which} has {len(labels)} {ATTRIBUTES}, and there are {size} names."
    )
  if not all(math.isfinite(x) and 0.0 <= x <= 1.0 for x in labels):
    raise ValueError(f"{ATTRIBUTES} of the {which} are not in [0, 1].")
  try:
    with Image.open(io.BytesIO(features[IMAGE].bytes_list.value[0])) as image:
      image.load()
  except Exception as error:  # Pillow raises errors of any kind for damage.
    raise ValueError(
      f"{IMAGE} of the {which} is no picture: {error}"
    ) from error
  if (image.height, image.width) != image_shape[:2]:
    raise ValueError(
      f"{IMAGE} of the {which} has {image.height} x {image.width} pixels "
      f"(height x width), and the image_shape is {image_shape}."
    )
