"""Tests of layers: the same results, gradients and names as Keras's."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import layers

# One kernel for the usual computation, and one for the other.
_SIZES = ((5, 3), (300, 1000))


def _first_and_second_order(layer, inputs):
  """Returns outputs, gradients, and gradients of their squared norm."""
  inputs = tf.constant(inputs)
  with tf.GradientTape() as outer:
    outer.watch(inputs)
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs = layer(inputs)
      value = tf.reduce_sum(tf.square(outputs))
    slope = tape.gradient(value, inputs)
    norm = tf.reduce_sum(tf.square(slope))
  return outputs, slope, *outer.gradient(norm, [inputs, *layer.weights[:1]])


class DenseTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.product(size=_SIZES, activation=[None, "relu"])
  def test_is_the_layer_of_keras(self, size, activation):
    inputs, units = size
    random = np.random.default_rng(0)
    ours = layers.Dense(units, activation)
    theirs = keras.layers.Dense(units, activation)
    for layer in (ours, theirs):
      layer.build((None, inputs))
    theirs.set_weights([random.normal(size=w.shape) for w in theirs.weights])
    ours.set_weights(theirs.get_weights())
    x = random.normal(size=[3, inputs]).astype(np.float32)
    got = _first_and_second_order(ours, x)
    for one, other in zip(got, _first_and_second_order(theirs, x)):
      self.assertAllClose(one, other, rtol=1e-4, atol=1e-4 * np.abs(one).max())

  def test_takes_no_rows_and_more_axes(self):
    layer = layers.Dense(1000)
    self.assertEqual(layer(tf.ones([0, 300])).shape, [0, 1000])
    self.assertEqual(layer(tf.ones([2, 3, 300])).shape, [2, 3, 1000])

  def test_files_of_weights_name_it_as_they_name_the_one_of_keras(self):
    def network(kind):
      return keras.Sequential([keras.Input((5,)), kind(3), kind(2)])

    path = self.create_tempfile().full_path + ".weights.h5"
    theirs, ours = network(keras.layers.Dense), network(layers.Dense)
    theirs.save_weights(path)
    ours.load_weights(path)
    for own, other in zip(ours.get_weights(), theirs.get_weights()):
      self.assertAllEqual(own, other)


class BlocksTest(tf.test.TestCase):
  def test_pixels_go_where_tensorflow_puts_them(self):
    images = np.random.default_rng(0).random([3, 8, 12, 2], np.float32)
    deep = layers.SpaceToDepth(4)(images)
    self.assertAllEqual(deep, tf.nn.space_to_depth(images, 4))
    self.assertAllEqual(layers.DepthToSpace(4)(deep), images)
    self.assertAllEqual(
      layers.DepthToSpace(2)(deep), tf.nn.depth_to_space(deep, 2)
    )

  def test_no_images_are_no_blocks(self):
    deep = layers.SpaceToDepth(2)(tf.zeros([0, 8, 12, 2]))
    self.assertEqual(deep.shape, [0, 4, 6, 8])
    self.assertEqual(layers.DepthToSpace(2)(deep).shape, [0, 8, 12, 2])
