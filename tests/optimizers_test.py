"""Tests of optimizers: Keras's Adam, to rounding, in values and in files."""

import os

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import optimizers
from tests import testing

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_OPTIONS = {"beta_1": 0.7, "beta_2": 0.95, "epsilon": 1e-3}


def _gradients(step):
  random = np.random.default_rng(step)
  return [random.normal(size=[3, 5]), 1e-3 * random.normal(size=[7])]


def _trained(make, steps, **options):
  """Returns the optimiser and its variables after some updates."""
  variables = [keras.Variable(np.ones([3, 5])), keras.Variable(np.ones([7]))]
  optimizer = make(
    keras.optimizers.schedules.CosineDecay(0.1, 20), **{**_OPTIONS, **options}
  )
  optimizer.build(variables)

  @tf.function
  def update(gradients):
    optimizer.apply(gradients, variables)

  for step in range(steps):
    update([tf.constant(g, tf.float32) for g in _gradients(step)])
  return optimizer, variables


def _model(optimizer):
  keras.utils.set_random_seed(0)
  model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
  optimizer.build(model.trainable_variables)
  model.compile(optimizer=optimizer, loss="mse", jit_compile=False)
  return model


class AdamTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters({}, {"weight_decay": 0.1}, {"amsgrad": True})
  def test_updates_as_the_one_of_keras(self, **options):
    ours, moved = _trained(optimizers.Adam, 7, **options)
    theirs, expected = _trained(keras.optimizers.Adam, 7, **options)
    for got, wanted in zip(moved, expected):
      self.assertAllClose(got, wanted, rtol=1e-5, atol=1e-6)
      self.assertNotAllClose(wanted, np.ones(wanted.shape), atol=1e-2)
    self.assertLen(ours.variables, len(theirs.variables))
    for got, wanted in zip(ours.variables, theirs.variables):
      self.assertEqual(got.name, wanted.name)
      self.assertAllClose(got, wanted, rtol=1e-5, atol=1e-6)

  def test_goes_on_from_a_checkpoint_of_the_one_of_keras(self):
    rng = np.random.default_rng(0)
    batch = rng.random([4, 5], np.float32), rng.random([4, 3], np.float32)
    path = os.path.join(self.get_temp_dir(), "model.weights.h5")
    theirs = _model(keras.optimizers.Adam(0.1))
    theirs.train_on_batch(*batch)
    theirs.save_weights(path)
    ours = _model(optimizers.Adam(0.1))
    ours.load_weights(path)
    for model in (theirs, ours):
      model.train_on_batch(*batch)
    for got, wanted in zip(ours.get_weights(), theirs.get_weights()):
      self.assertAllClose(got, wanted, rtol=1e-5, atol=1e-6)

  def test_two_replicas_make_the_update_of_one(self):
    rng = np.random.default_rng(0)
    data = tf.data.Dataset.from_tensors(
      (rng.random([4, 5], np.float32), rng.random([4, 3], np.float32))
    ).repeat(3)
    weights = []
    for strategy in (tf.distribute.get_strategy(), None):
      strategy = strategy or testing.two_replica_strategy()
      with strategy.scope():
        model = _model(optimizers.Adam(0.1))
      model.fit(data, shuffle=False, verbose=0)
      weights.append(model.get_weights())
    for got, wanted in zip(*weights):
      self.assertAllClose(got, wanted, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
  tf.test.main()
