"""Tests of attribute_model."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.data import latent_batches
from lc_keras.data import latents
from lc_keras.models import attribute_model
from tests import testing

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_LATENT, _ATTRIBUTES = 4, 5


def _batch(rows, scale=0.0):
  """Returns latents whose signs are their attributes."""
  mean = np.random.default_rng(0).normal(size=[rows, _LATENT])
  labels = np.concatenate([mean > 0, mean[:, :1] < 0], axis=1)
  return {
    "mean": mean.astype(np.float32),
    "scale": np.full([rows, _LATENT], scale, np.float32),
    "attributes": labels.astype(np.float32),
  }


def _model(optimizer=None):
  keras.utils.set_random_seed(0)
  model = attribute_model.AttributeModel(_LATENT, _ATTRIBUTES, 16, 2)
  optimizer = optimizer or keras.optimizers.Adam(1e-2)
  optimizer.build(model.trainable_variables)
  model.compile(optimizer=optimizer, jit_compile=False)
  return model


def _dataset(batch, batch_size):
  return tf.data.Dataset.from_tensor_slices(batch).batch(batch_size)


class AttributeModelTest(tf.test.TestCase):
  def test_calls_its_critic(self):
    model, batch = _model(), _batch(3)
    self.assertEqual(model(batch["mean"]).shape, [3, _ATTRIBUTES])
    self.assertAllClose(model(batch["mean"]), model.critic(batch["mean"]))

  def test_a_step_returns_exactly_the_metrics(self):
    model, batch = _model(), _batch(3)
    self.assertEqual([m.name for m in model.metrics], ["loss", "accuracy"])
    self.assertEqual(list(model.train_step(batch)), ["loss", "accuracy"])
    self.assertEqual(list(model.test_step(batch)), ["loss", "accuracy"])

  def test_accuracy_is_the_share_of_attributes_read_right(self):
    model, batch = _model(), _batch(7)
    logs = model.evaluate(_dataset(batch, 3), return_dict=True, verbose=0)
    read = model(batch["mean"]).numpy() > 0
    self.assertAllClose(logs["accuracy"], np.mean(read == batch["attributes"]))

  def test_training_draws_afresh_and_validation_does_not(self):
    model = _model(keras.optimizers.SGD(0.0))
    data = _dataset(_batch(7, scale=1.0), 7)
    history = model.fit(data, validation_data=data, epochs=4, verbose=0).history
    self.assertLen(set(history["loss"]), 4)
    self.assertLen(set(history["val_loss"]), 1)

  def test_learns_in_spite_of_noise(self):
    data = _dataset(_batch(256, scale=0.1), 64)
    model = _model()
    model.fit(data.repeat(50), verbose=0)
    logs = model.evaluate(data, return_dict=True, verbose=0)
    self.assertGreater(logs["accuracy"], 0.9)

  def test_takes_the_batches_of_a_cache(self):
    rows = latents.Latents(**_batch(9, scale=0.1))
    history = _model().fit(
      latent_batches.at_random(rows, 3, balanced_fraction=0.5),
      validation_data=latent_batches.in_order(rows, 4),
      steps_per_epoch=2,
      verbose=0,
    )
    self.assertAllInRange(list(history.history.values()), 0.0, 10.0)

  def test_training_reaches_every_variable(self):
    model = _model(keras.optimizers.SGD(1.0))
    before = model.get_weights()
    model.fit(_dataset(_batch(7), 7), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
      self.assertNotAllEqual(old, new)

  def test_two_replicas_make_the_update_of_one(self):
    def make():
      return _model(keras.optimizers.SGD(1.0))

    one = testing.weights_after_one_step(make, _batch(8))
    two = testing.weights_after_one_step(
      make, _batch(8), testing.two_replica_strategy()
    )
    for start, first, second in zip(make().get_weights(), one, two):
      self.assertAllClose(first, second, atol=1e-6)
      self.assertNotAllClose(first, start, atol=1e-5)


if __name__ == "__main__":
  tf.test.main()
