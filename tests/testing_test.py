"""Tests of testing."""

import tensorflow as tf

from tests import testing


class TestingTest(tf.test.TestCase):
  def test_a_strategy_runs_every_step_on_two_devices(self):
    strategy = testing.two_replica_strategy()
    devices = strategy.run(lambda: tf.identity(1.0)).values
    self.assertLen({value.device for value in devices}, 2)

  def test_can_be_called_again(self):
    testing.two_logical_cpus()
    testing.two_logical_cpus()
    self.assertLen(tf.config.list_logical_devices("CPU"), 2)
