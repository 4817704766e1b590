"""Tests of moving_average."""

import tensorflow as tf

from lc_keras.models import architectures
from lc_keras.models import moving_average


def _network():
  return architectures.stack((4,), architectures.trunk(4, 5, 1, 3), "network")


def _updated(updates, decay):
  """Returns the weights of an average of zeros, moved once towards ones."""
  average, network = _network(), _network()
  average.set_weights([0 * weight for weight in average.get_weights()])
  network.set_weights([0 * weight + 1 for weight in network.get_weights()])
  moving_average.update(average, network, tf.constant(updates), decay)
  for weight in network.get_weights():
    tf.debugging.assert_equal(weight, tf.ones_like(weight))
  return average.get_weights()


class MovingAverageTest(tf.test.TestCase):
  def test_moves_every_weight_by_what_is_forgotten(self):
    for weight in _updated(updates=10_000, decay=0.9):
      self.assertAllClose(weight, tf.fill(weight.shape, 0.1))

  def test_leaves_alone_what_is_not_trained(self):
    average, network = _network(), _network()
    network.trainable = False
    before = average.get_weights()
    moving_average.update(average, network, tf.constant(9), 0.5)
    for old, weight in zip(before, average.get_weights()):
      self.assertAllEqual(old, weight)

  def test_forgets_faster_while_young(self):
    # After 1 and 11 updates at most 1/10 and 11/20 is kept.
    self.assertAllClose(_updated(1, 0.999)[0], tf.fill([4, 5], 0.9))
    self.assertAllClose(_updated(11, 0.999)[0], tf.fill([4, 5], 0.45))

  def test_without_decay_it_is_the_network(self):
    for weight in _updated(updates=100, decay=0.0):
      self.assertAllClose(weight, tf.ones_like(weight))
