"""A small generator with a mapping, whose images show their w."""

import numpy as np
import tensorflow as tf

from lc_keras import priors
from lc_keras.generators import generator as generators

_NOISE, _SIZE, _SHAPE = 4, 6, (6, 8, 1)
_random = np.random.default_rng(0)
_IN = _random.normal(size=[_NOISE, 16]).astype(np.float32)
_OUT = _random.normal(size=[16, _SIZE]).astype(np.float32)


@tf.function(input_signature=[tf.TensorSpec([None, _NOISE], tf.float32)])
def mapping(noise):
  """Maps z to w, [batch, 6], nonlinearly: w is far from normal."""
  bent = tf.nn.relu(tf.matmul(noise, _IN))
  return tf.nn.leaky_relu(tf.matmul(bent, _OUT) / 4.0, 0.2)


@tf.function(input_signature=[tf.TensorSpec([None, _SIZE], tf.float32)])
def decode(own):
  """Maps w to images: w[i] is the brightness of row i."""
  rows = tf.sigmoid(own)[:, :, tf.newaxis, tf.newaxis]
  return tf.tile(rows, [1, 1, _SHAPE[1], 1])


def encode(images):
  """Maps images to w."""
  return tf.math.log(images / (1.0 - images))[:, :, 0, 0]


def noise(seeds):
  """Returns z of seeds, as the generator draws it."""
  return priors.sample_rows(tf.constant(seeds, tf.int64), _NOISE)


def generator(**options):
  """Returns the generator; options are as of `Generator`."""
  return generators.Generator(decode, mapping=mapping, **options)
