"""toon_faces for the input pipeline."""

import functools

import tensorflow as tf

from lc_keras.data import stored
from lc_keras.data.toon_faces import builder
from lc_keras.data.toon_faces import factors

_NUM_PAPER_ATTRIBUTES = 10


def load(config):
  """Returns one configuration: studio, wild or tiny."""
  return stored.Dataset(
    image_shape=builder.IMAGE_SHAPE,
    all_attributes=factors.NAMES,
    attributes=factors.NAMES[:_NUM_PAPER_ATTRIBUTES],
    exclusive=factors.EXCLUSIVE,
    splits=builder.SPLITS,
    builder=functools.partial(_builder, config),
    decode=_decode,
  )


def _builder(config, data_dir):
  return builder.ToonFaces(config=config, data_dir=data_dir)


def _decode(example):
  image = tf.io.decode_png(example["image"], channels=3)
  return {
    "image": tf.ensure_shape(
      tf.cast(image, tf.float32) / 255.0, builder.IMAGE_SHAPE
    ),
    "attributes": tf.cast(example["attributes"], tf.float32),
    "focus": example["focus"],
  }
