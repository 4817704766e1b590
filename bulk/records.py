"""Rows in TFRecord files of tf.Example.

>>> import tempfile
>>> from bulk import records
>>> path = tempfile.mkdtemp() + "/rows.tfrecord"
>>> records.write(path, [{"row": 3, "values": [0.5, 2.0], "image": b"bytes"}])
>>> next(records.read(path))["values"]
array([0.5, 2. ], dtype=float32)
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf


def write(path: str, rows: Iterable[Mapping]) -> None:
  """Writes rows, each a mapping of names to bytes, numbers or arrays."""
  with tf.io.TFRecordWriter(path) as writer:
    for row in rows:
      features = {name: _feature(value) for name, value in row.items()}
      example = tf.train.Example(features=tf.train.Features(feature=features))
      # Equal rows have equal bytes.
      writer.write(example.SerializeToString(deterministic=True))


def read(path: str) -> Iterator[dict]:
  """Yields rows as they were written: bytes, or arrays [n]."""
  for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
    features = tf.train.Example.FromString(record).features.feature
    yield {name: _value(feature) for name, feature in features.items()}


def png(image: np.ndarray) -> bytes:
  """Returns an image [height, width, channels] in [0, 1] as a PNG."""
  return tf.io.encode_png(np.uint8(np.rint(image * 255.0))).numpy()


def _feature(value):
  if isinstance(value, bytes):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
  array = np.ravel(value)
  if np.issubdtype(array.dtype, np.integer):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=array))
  return tf.train.Feature(float_list=tf.train.FloatList(value=array))


def _value(feature):
  kind = feature.WhichOneof("kind")
  values = getattr(feature, kind).value
  if kind == "bytes_list":
    return values[0]
  dtype = np.int64 if kind == "int64_list" else np.float32
  return np.array(values, dtype)
