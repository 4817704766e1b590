"""Tests of flow_matching."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from lc_keras.data import latent_batches
from lc_keras.data import latents
from lc_keras.models import flow_matching
from lc_keras.models import storage
from lc_keras.samplers import flow
from tests import testing

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_LATENT, _ATTRIBUTES = 4, 5


def _rows(rows=1000):
  """Returns two clusters, told by the first attribute, in a skewed space."""
  random = np.random.default_rng(0)
  labels = random.integers(0, 2, [rows, _ATTRIBUTES]).astype(np.float32)
  mean = 0.3 * random.normal(size=[rows, _LATENT])
  mean[:, 0] += 4.0 * labels[:, 0] - 2.0
  mean[:, 3] *= 0.01  # Nothing there but the posterior's noise.
  mix = np.eye(_LATENT) + 0.5 * np.eye(_LATENT, k=1)
  scale = np.full([rows, _LATENT], 0.2, np.float32)
  return latents.Latents((mean @ mix + 1.0).astype(np.float32), scale, labels)


def _batch(rows=7):
  return next(iter(latent_batches.in_order(_rows(), rows)))


def _model(optimizer=None, width=16, **options):
  keras.utils.set_random_seed(0)
  model = flow_matching.FlowMatching(_LATENT, _ATTRIBUTES, width, 2)
  model.whitening.adapt(_rows())
  optimizer = optimizer or keras.optimizers.SGD(0.1)
  model.compile(optimizer, jit_compile=False, **options)
  return model


def _constant_draws():
  """Makes every row of every batch meet the same chance."""
  return mock.patch.multiple(
    tf.random,
    stateless_normal=lambda shape, seed: tf.fill(shape, 0.7),
    stateless_uniform=lambda shape, seed: tf.fill(shape, 0.6),
  )


class FlowMatchingTest(tf.test.TestCase):
  def test_steps_return_exactly_the_metrics(self):
    model = _model()
    self.assertEqual([metric.name for metric in model.metrics], ["loss"])
    self.assertEqual(list(model.train_step(_batch())), ["loss"])
    self.assertEqual(list(model.test_step(_batch())), ["loss"])

  def test_a_fresh_flow_is_the_normal_distribution_of_its_data(self):
    model, rows = _model(), _rows()
    losses = model.evaluate(latent_batches.in_order(rows, 1000), verbose=0)
    self.assertAllClose(losses, 1.0, atol=0.05)
    prior = np.random.default_rng(0).normal(size=[20_000, 4])
    nothing = tf.zeros([20_000, _ATTRIBUTES])
    made = flow.transport(
      model, prior.astype(np.float32), nothing, nothing, steps=1
    )
    covariance = np.cov(rows.mean.T) + 0.2**2 * np.eye(4)
    self.assertAllClose(np.mean(made, 0), rows.mean.mean(0), atol=0.1)
    self.assertAllClose(np.cov(made, rowvar=False), covariance, atol=0.15)

  def test_training_reaches_every_trained_variable(self):
    model = _model()
    before = model.trained_velocity.get_weights()
    # At first only the exit learns: what is behind it is multiplied by zero.
    model.fit(tf.data.Dataset.from_tensors(_batch()).repeat(3), verbose=0)
    for old, variable in zip(before, model.trained_velocity.weights):
      self.assertNotAllEqual(old, variable, variable.path)
      self.assertAllInRange(variable, -1e3, 1e3)

  def test_training_leaves_the_whitening_alone(self):
    model, mean = _model(), _rows(3).mean
    before = model.whitening(mean)
    model.train_step(_batch())
    self.assertAllEqual(model.whitening(mean), before)

  def test_the_average_follows_and_is_what_is_called_and_validated(self):
    model = _model(average_decay=0.0)
    model.train_step(_batch())
    for mean, new in zip(
      model.velocity.weights, model.trained_velocity.weights
    ):
      self.assertAllEqual(mean, new)
    points = model.whitening(_batch(3)["mean"])
    request = [tf.zeros([3]), *2 * [tf.ones([3, _ATTRIBUTES])]]
    before = model(points, *request)
    judged = model.evaluate(latent_batches.in_order(_rows(), 100), verbose=0)
    model.trained_velocity.set_weights(
      [weight + 1.0 for weight in model.trained_velocity.get_weights()]
    )
    again = model.evaluate(latent_batches.in_order(_rows(), 100), verbose=0)
    self.assertEqual(again, judged)
    self.assertAllEqual(model(points, *request), before)
    model.velocity.set_weights(model.trained_velocity.get_weights())
    self.assertNotAllClose(model(points, *request), before)

  def test_training_draws_afresh_and_validation_does_not(self):
    model = _model(keras.optimizers.SGD(0.0))
    data = latent_batches.in_order(_rows(7), 7)
    history = model.fit(data, validation_data=data, epochs=4, verbose=0).history
    self.assertLen(set(history["loss"]), 4)
    self.assertLen(set(history["val_loss"]), 1)

  def test_what_is_asked_for_varies_from_nothing_to_everything(self):
    model, masks = _model(), []

    def velocity(points, angles, values, mask):
      masks.append(mask)
      return tf.zeros_like(points)

    with mock.patch.object(model, "velocity", velocity):
      model.test_step(_batch(999))
    counts = np.bincount(
      np.sum(masks[0], axis=-1).astype(int), minlength=_ATTRIBUTES + 1
    )
    self.assertAllGreater(counts, 80)
    self.assertAllInRange(masks[0], 0.0, 1.0)

  def test_learns_what_a_normal_distribution_is_not(self):
    model = _model(keras.optimizers.Adam(1e-2), width=32, average_decay=0.95)
    model.fit(
      latent_batches.at_random(_rows(), 256), steps_per_epoch=150, verbose=0
    )
    prior = tf.random.stateless_normal([400, _LATENT], (0, 0))
    values = tf.tile([[1.0] + 4 * [0.0], 5 * [0.0]], [200, 1])
    mask = tf.tile([[1.0] + 4 * [0.0]], [400, 1])

    def cluster(mask, guidance):
      made = flow.transport(
        model, prior, values, mask, steps=8, guidance=guidance
      )
      return np.array(made)[:, 0] - 1.0

    asked = cluster(mask, 1.0)
    self.assertGreater(np.mean((asked > 0) == (values[:, 0] > 0.5)), 0.97)
    self.assertAllClose(np.abs(asked).mean(), 2.0, atol=0.25)
    unasked = cluster(0.0 * mask, 1.0)
    self.assertBetween(np.mean(unasked > 0), 0.35, 0.65)
    # Between the clusters there is nobody; a normal would have one in three.
    self.assertLess(np.mean(np.abs(unasked) < 1.0), 0.1)

  def test_two_replicas_make_the_update_of_one(self):
    def make():
      model = _model(keras.optimizers.SGD(0.5))
      random = np.random.default_rng(0)
      model.trained_velocity.set_weights(
        [
          weight + 0.1 * random.normal(size=weight.shape)
          for weight in model.trained_velocity.get_weights()
        ]
      )
      return model

    batch = {name: value.numpy() for name, value in _batch(8).items()}
    with _constant_draws():
      one = testing.weights_after_one_step(make, batch)
      two = testing.weights_after_one_step(
        make, batch, testing.two_replica_strategy()
      )
    for first, second in zip(one, two, strict=True):
      self.assertAllClose(first, second, atol=1e-5)
    start = make().get_weights()
    self.assertFalse(all(map(np.allclose, one, start)))

  def test_is_stored_with_its_whitening(self):
    model, folder = _model(average_decay=0.5), self.create_tempdir().full_path
    for _ in range(2):
      model.train_step(_batch())
    storage.save(model, folder)
    loaded = storage.load(folder)
    prior = tf.random.stateless_normal([3, _LATENT], (0, 0))
    request = 2 * [tf.ones([3, _ATTRIBUTES])]
    self.assertAllEqual(
      flow.transport(loaded, prior, *request),
      flow.transport(model, prior, *request),
    )


if __name__ == "__main__":
  tf.test.main()
