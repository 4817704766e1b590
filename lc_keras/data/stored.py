"""Stored data sets: how each is built, and how its examples are read."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lc_keras.data import preprocessing as preprocessings


def _download_and_prepare(builder, data_dir):
  del data_dir  # The builder knows it.
  builder.download_and_prepare()


@dataclasses.dataclass(frozen=True)
class Dataset:
  """How to build a data set and how to read one example of it.

  Attributes:
    image_shape: (height, width, channels) after `decode`.
    stored_shape: (height, width, channels) of the stored images.
    all_attributes: Names of the attributes, in the order of `decode`.
    attributes: Names of those that models are trained on.
    exclusive: Groups of names that exclude each other.
    splits: Names of its splits.
    builder: data_dir -> tfds builder, prepared or not.
    decode: Example, with its image still encoded -> {"image": float32
      image_shape in [0, 1], "attributes": float32 [len(all_attributes)] in
      [0, 1]}; a data set with a split "balanced" adds "focus": int64, the
      index of the attribute for which the example was chosen.
    prepare: (builder, data_dir) -> None, builds a data set that is not there
      yet. Raises FileNotFoundError or ValueError if files it needs are missing
      or wrong.
    continuous: Names of attributes that are degrees in [0, 1]; all others are
      0 or 1.
    preprocessing: How its pictures became images; None if they are images.
  """

  image_shape: tuple[int, int, int]
  stored_shape: tuple[int, int, int]
  all_attributes: tuple[str, ...]
  attributes: tuple[str, ...]
  exclusive: tuple[tuple[str, ...], ...]
  splits: tuple[str, ...]
  builder: Callable[[str], tfds.core.DatasetBuilder]
  decode: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
  prepare: Callable[[tfds.core.DatasetBuilder, str], None] = (
    _download_and_prepare
  )
  continuous: tuple[str, ...] = ()
  preprocessing: preprocessings.Preprocessing | None = None


def from_examples(
  name: str,
  examples: Callable[[str, str], Iterable[tuple[np.ndarray, Sequence[float]]]],
  *,
  image_shape: tuple[int, int, int],
  attributes: Sequence[str],
  exclusive: Sequence[Sequence[str]] = (),
  continuous: Sequence[str] = (),
  splits: Sequence[str] = ("train", "validation", "test"),
  version: str = "1.0.0",
) -> Dataset:
  """Returns a data set whose examples come from a Python function.

  They are written once, losslessly and in their order, into
  `<data_dir>/<name>/<version>`.

  Args:
    name: Name of the data set's folder.
    examples: (split, data_dir) -> pairs of an image, uint8 of `image_shape`,
      and its labels, [num_attributes] in [0, 1].
    image_shape: (height, width, channels), with 1 or 3 channels.
    attributes: Names of the labels.
    exclusive: Groups of names that exclude each other.
    continuous: Names of attributes that are degrees in [0, 1]; all others are
      0 or 1.
    splits: Names of the splits.
    version: To be raised when the examples change.
  """
  image_shape, names = tuple(image_shape), tuple(attributes)
  members = {
    "name": name,
    "VERSION": tfds.core.Version(version),
    "examples": staticmethod(examples),
    "splits": tuple(splits),
    "features": {
      "image": tfds.features.Image(shape=image_shape, encoding_format="png"),
      "attributes": tfds.features.Tensor(shape=(len(names),), dtype=np.float32),
    },
  }
  # A class, since tfds keeps name and version in one.
  kind = type(name, (_Builder,), members, skip_registration=True)

  def decode(example):
    image = tf.io.decode_png(example["image"], channels=image_shape[-1])
    image = tf.cast(image, tf.float32) / 255.0
    return {
      "image": tf.ensure_shape(image, image_shape),
      "attributes": example["attributes"],
    }

  return Dataset(
    image_shape=image_shape,
    stored_shape=image_shape,
    all_attributes=names,
    attributes=names,
    exclusive=tuple(map(tuple, exclusive)),
    splits=tuple(splits),
    builder=lambda data_dir: kind(data_dir=data_dir),
    decode=decode,
    continuous=tuple(continuous),
  )


def manual_dir(data_dir: str) -> str:
  """Returns the folder in which files fetched by hand are expected."""
  return os.path.join(data_dir, "downloads", "manual")


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Writes the examples of `from_examples`."""

  VERSION = tfds.core.Version("0.0.0")

  def __init__(self, *, data_dir):
    self._root = data_dir
    super().__init__(data_dir=data_dir)

  @classmethod
  def get_metadata(cls):
    # tfds would look for files of tags and citations beside this one.
    return tfds.core.dataset_metadata.DatasetMetadata(
      description=cls.name, citation=None, tags=[]
    )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(self.features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # `examples` fetches what it needs.
    return {split: self._generate_examples(split) for split in self.splits}

  def _generate_examples(self, split):
    for row, (image, labels) in enumerate(self.examples(split, self._root)):
      labels = np.asarray(labels, np.float32)
      yield row, {"image": image, "attributes": labels}
