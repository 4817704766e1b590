"""Tests of velocity."""

import math

import keras
import numpy as np
import tensorflow as tf

from lc_keras.models import velocity

_LATENT, _ATTRIBUTES = 4, 5


def _network():
  """Returns a network whose exit is not zero any more."""
  keras.utils.set_random_seed(0)
  network = velocity.Velocity(_LATENT, _ATTRIBUTES, 16, 2)
  random = np.random.default_rng(0)
  network.set_weights(
    [
      weight + 0.1 * random.normal(size=weight.shape)
      for weight in network.get_weights()
    ]
  )
  return network


def _inputs(rows=3):
  random = np.random.default_rng(1)
  return [
    tf.constant(array, tf.float32)
    for array in (
      random.normal(size=[rows, _LATENT]),
      random.uniform(0.0, math.pi / 2, [rows]),
      random.uniform(size=[rows, _ATTRIBUTES]),
      random.integers(0, 2, [rows, _ATTRIBUTES]),
    )
  ]


class VelocityTest(tf.test.TestCase):
  def test_a_fresh_network_stands_still(self):
    fresh = velocity.Velocity(_LATENT, _ATTRIBUTES, 16, 2)
    self.assertAllEqual(fresh(*_inputs()), np.zeros([3, _LATENT]))

  def test_looks_at_everything(self):
    network, inputs = _network(), _inputs()
    inputs[3] = tf.ones_like(inputs[3])
    before = network(*inputs)
    self.assertEqual(before.shape, [3, _LATENT])
    for place in range(4):
      changed = [*inputs]
      changed[place] = 0.5 * inputs[place]
      self.assertNotAllClose(network(*changed), before)

  def test_does_not_look_at_values_that_are_open(self):
    network, (points, angles, values, mask) = _network(), _inputs()
    other = tf.where(mask > 0, values, 1.0 - values)
    self.assertNotAllClose(other, values)
    self.assertAllEqual(
      network(points, angles, other, mask),
      network(points, angles, values, mask),
    )
    nobody = tf.zeros_like(mask)
    self.assertAllEqual(
      network(points, angles, 0.5 * values, nobody),
      network(points, angles, values, nobody),
    )

  def test_a_row_depends_on_nothing_beside_it(self):
    network, inputs = _network(), _inputs()
    together = network(*inputs)
    for row in range(3):
      alone = network(*(array[row : row + 1] for array in inputs))
      self.assertAllClose(alone[0], together[row], atol=1e-6)

  def test_gradients_reach_every_variable(self):
    network, inputs = _network(), _inputs(7)
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(tf.square(network(*inputs)))
    variables = network.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
      self.assertGreater(np.abs(gradient).max(), 0.0, variable.path)
      self.assertAllInRange(gradient, -1e4, 1e4)


if __name__ == "__main__":
  tf.test.main()
