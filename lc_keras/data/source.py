"""What the input pipeline needs to know of a data set."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf
import tensorflow_datasets as tfds


@dataclasses.dataclass(frozen=True)
class Source:
  """A data set: how to build it and how to read one example of it.

  Attributes:
    image_shape: (height, width, channels) after `decode`.
    stored_shape: the same of images as they are stored.
    all_attributes: names of the attributes, in the order of `decode`.
    attributes: the names that models are trained on, some of the above.
    exclusive: groups of names that rule each other out.
    splits: names of its splits.
    builder: data_dir -> tfds builder, which need not be prepared.
    prepare: (builder, data_dir) -> None, builds what is not there yet. Raises
      FileNotFoundError or ValueError if files it needs are missing or wrong.
    decode: example, with its image still encoded -> {"image": float32
      image_shape in [0, 1], "attributes": float32 [len(all_attributes)] in
      [0, 1]}; a data set with a split "balanced" adds "focus": int64, the
      index of the attribute for which the example was chosen.
    continuous: names of attributes that are degrees in [0, 1]; all others are
      0 or 1.
  """

  image_shape: tuple[int, int, int]
  stored_shape: tuple[int, int, int]
  all_attributes: tuple[str, ...]
  attributes: tuple[str, ...]
  exclusive: tuple[tuple[str, ...], ...]
  splits: tuple[str, ...]
  builder: Callable[[str], tfds.core.DatasetBuilder]
  prepare: Callable[[tfds.core.DatasetBuilder, str], None]
  decode: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
  continuous: tuple[str, ...] = ()
