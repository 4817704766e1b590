"""Tests of adam: Keras's, only faster."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import adam
from tests import testing


class _Schedule(keras.optimizers.schedules.LearningRateSchedule):
  def __call__(self, step):
    return 0.1 / (1.0 + keras.ops.cast(step, "float32"))


def _after(optimizer, steps=4):
  """Returns a weight and the optimiser's variables after some steps."""
  random = np.random.default_rng(0)
  weight = keras.Variable(random.normal(size=[3, 4]).astype(np.float32))
  optimizer.build([weight])
  for _ in range(steps):
    gradient = tf.constant(random.normal(size=[3, 4]).astype(np.float32))
    optimizer.apply([gradient], [weight])
  return [weight.numpy(), *(np.array(v) for v in optimizer.variables)]


class AdamTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(
    {},
    {"beta_1": 0.0, "beta_2": 0.9},
    {"learning_rate": _Schedule()},
    {"amsgrad": True},
    {"epsilon": 0.1, "clipnorm": 0.5},
  )
  def test_is_keras_own(self, **options):
    expected = _after(keras.optimizers.Adam(**options))
    for one, other in zip(_after(adam.Adam(**options)), expected):
      self.assertAllClose(one, other, rtol=1e-5, atol=1e-6)

  def test_two_replicas_make_the_update_of_one(self):
    def make():
      keras.utils.set_random_seed(0)
      model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
      optimizer = adam.Adam(0.1)
      optimizer.build(model.trainable_variables)
      model.compile(optimizer, "mse", jit_compile=False)
      return model

    random = np.random.default_rng(0)
    inputs = random.normal(size=[8, 4]).astype(np.float32)
    with testing.two_replica_strategy().scope():
      both = make()
    one = make()
    for model in (one, both):
      data = tf.data.Dataset.from_tensor_slices((inputs, inputs[:, :3]))
      model.fit(data.batch(8).repeat(3), shuffle=False, verbose=0)
    for first, second in zip(one.get_weights(), both.get_weights()):
      self.assertAllClose(first, second, atol=1e-6)
