"""Tests of conditional_gan."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import conditional_gan
from tests import testing

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_SHAPE, _LATENT, _ATTRIBUTES = (8, 16, 1), 4, 5


def _batch(rows, seed=0):
  """Returns images that are as bright as the share of attributes they have."""
  random = np.random.default_rng(seed)
  attributes = random.integers(0, 2, [rows, _ATTRIBUTES]).astype(np.float32)
  image = 0.2 + 0.6 * attributes.mean(axis=1)[:, None, None, None]
  image = image + random.normal(0.0, 0.02, [rows, *_SHAPE])
  return {"image": image.astype(np.float32), "attributes": attributes}


def _tensors(batch):
  return {name: tf.constant(values) for name, values in batch.items()}


def _sgd(rate=0.1):
  return keras.optimizers.SGD(rate)


def _model(generator_optimizer=None, discriminator_optimizer=None, **options):
  keras.utils.set_random_seed(0)
  model = conditional_gan.ConditionalGAN(_SHAPE, _LATENT, _ATTRIBUTES, "mlp")
  model.compile(
    generator_optimizer or _sgd(),
    discriminator_optimizer or _sgd(),
    jit_compile=False,
    **options,
  )
  return model


def _flatten(network):
  """Makes the discriminator say 1/2 of everything."""
  network.set_weights([0 * weight for weight in network.get_weights()])


def _evaluate(model, batch, batch_size):
  data = tf.data.Dataset.from_tensor_slices(batch).batch(batch_size)
  return model.evaluate(data, return_dict=True, verbose=0)


def _same_latents():
  """Makes every draw of the prior the same."""
  return mock.patch.object(
    tf.random, "stateless_normal", lambda shape, seed: tf.fill(shape, 0.3)
  )


class GenerateTest(tf.test.TestCase):
  def test_makes_pictures(self):
    latents = 100 * tf.random.stateless_normal([3, _LATENT], (0, 0))
    images = _model().generate(latents, _batch(3)["attributes"])
    self.assertEqual(images.shape, [3, *_SHAPE])
    self.assertAllInRange(images, 0.0, 1.0)

  def test_latents_and_every_attribute_matter(self):
    model, latents = _model(), tf.ones([1, _LATENT])
    none = tf.zeros([1, _ATTRIBUTES])
    plain = model.generate(latents, none)
    self.assertNotAllClose(model.generate(-latents, none), plain)
    for each in tf.eye(_ATTRIBUTES)[:, tf.newaxis]:
      self.assertNotAllClose(model.generate(latents, each), plain)

  def test_the_average_is_used(self):
    model, latents = _model(), tf.ones([3, _LATENT])
    labels = _batch(3)["attributes"]
    before = model.generate(latents, labels)
    model.trained_generator.set_weights(
      [weight + 1.0 for weight in model.trained_generator.get_weights()]
    )
    self.assertAllEqual(model.generate(latents, labels), before)
    self.assertAllEqual(model(latents, labels), before)


class TrainStepTest(tf.test.TestCase, parameterized.TestCase):
  def test_returns_exactly_the_metrics(self):
    model, batch = _model(), _tensors(_batch(11))
    names = ["discriminator_loss", "generator_loss", "penalty"]
    self.assertEqual([metric.name for metric in model.metrics], names)
    self.assertEqual(list(model.train_step(batch)), names)
    self.assertEqual(list(model.test_step(batch)), names)

  @parameterized.parameters(
    {}, {"penalty_weight": 0.0}, {"mismatch_weight": 0.0}
  )
  def test_reaches_every_variable(self, **options):
    model = _model(**options)
    before = [variable.numpy() for variable in model.weights]
    model.train_step(_tensors(_batch(11)))
    for old, variable in zip(before, model.weights, strict=True):
      self.assertNotAllEqual(old, variable, variable.path)
      self.assertAllInRange(variable, -10.0, 10.0)

  def test_each_optimiser_has_its_own_network(self):
    for still in ("generator", "discriminator"):
      model = _model(**{f"{still}_optimizer": _sgd(0.0)})
      networks = {
        "generator": model.trained_generator,
        "discriminator": model.discriminator,
      }
      before = {name: net.get_weights() for name, net in networks.items()}
      model.train_step(_tensors(_batch(11)))
      for name, network in networks.items():
        if name == still:
          self.assertAllClose(before[name], network.get_weights(), atol=0)
        else:
          self.assertNotAllEqual(before[name][0], network.get_weights()[0])

  def test_optimisers_are_built_before_the_first_step(self):
    # Under two replicas, a step cannot build them.
    model = _model(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    for optimizer, network in (
      (model.optimizer, model.trained_generator),
      (model.discriminator_optimizer, model.discriminator),
    ):
      self.assertGreaterEqual(
        len(optimizer.variables), 2 * len(network.trainable_variables)
      )

  def test_the_average_follows(self):
    model = _model(average_decay=0.0)
    model.train_step(_tensors(_batch(11)))
    for mean, new in zip(
      model.generator.get_weights(), model.trained_generator.get_weights()
    ):
      self.assertAllEqual(mean, new)
    self.assertEmpty(model.generator.trainable_variables)

  def test_draws_afresh_every_step(self):
    model = _model(_sgd(0.0), _sgd(0.0))
    history = model.fit(
      tf.data.Dataset.from_tensors(_batch(11)), epochs=4, verbose=0
    )
    self.assertLen(set(history.history["generator_loss"]), 4)

  def test_learns_to_draw_what_is_asked_for(self):
    # The brightness that a prior sample gets is that of its labels.
    adams = [keras.optimizers.Adam(3e-4, beta_1=0.0) for _ in range(2)]
    model = _model(*adams, average_decay=0.9)
    data = tf.data.Dataset.from_tensor_slices(_batch(512)).batch(32)
    model.fit(data, epochs=15, verbose=0)
    latents = tf.random.stateless_normal([32, _LATENT], (0, 0))
    dark, bright = (
      tf.reduce_mean(model.generate(latents, tf.fill([32, _ATTRIBUTES], y)))
      for y in (0.0, 1.0)
    )
    self.assertGreater(bright - dark, 0.3)


class LossTest(tf.test.TestCase):
  def _logs(self, attributes, **options):
    """Returns what a discriminator that cannot tell gives on seven rows."""
    model = _model(**options)
    _flatten(model.discriminator)
    batch = {**_batch(7), "attributes": attributes.astype(np.float32)}
    return _evaluate(model, batch, 7)

  def test_a_discriminator_that_cannot_tell_gives_log_two(self):
    # No two neighbours have the same labels.
    logs = self._logs((np.arange(7)[:, None] >> np.arange(5)) % 2)
    self.assertAllClose(logs["discriminator_loss"], 3 * np.log(2.0))
    self.assertAllClose(logs["generator_loss"], np.log(2.0))
    self.assertAllClose(logs["penalty"], 0.0)

  def test_mismatches_have_their_weight(self):
    labels = (np.arange(7)[:, None] >> np.arange(5)) % 2
    for weight in (0.0, 2.0):
      logs = self._logs(labels, mismatch_weight=weight)
      self.assertAllClose(
        logs["discriminator_loss"], (2.0 + weight) * np.log(2.0)
      )

  def test_labels_that_happen_to_be_right_are_no_mismatch(self):
    logs = self._logs(np.ones([7, _ATTRIBUTES]))
    self.assertAllClose(logs["discriminator_loss"], 2 * np.log(2.0))

  def test_the_penalty_is_taken_at_real_images(self):
    # It is what slope D has there, whatever the generator makes.
    model, batch = _model(), _batch(11)
    before = _evaluate(model, batch, 11)["penalty"]
    _flatten(model.generator)
    self.assertAllClose(_evaluate(model, batch, 11)["penalty"], before)
    batch["image"] = batch["image"] - 0.5
    self.assertNotAllClose(_evaluate(model, batch, 11)["penalty"], before)

  def test_validation_draws_the_same_every_time(self):
    model = _model()
    self.assertEqual(
      _evaluate(model, _batch(7), 3), _evaluate(model, _batch(7), 3)
    )


class ReplicasTest(tf.test.TestCase):
  def test_two_replicas_make_the_update_of_one(self):
    # Replicas draw their own latents, mismatch labels among their own rows, and
    # take the penalty at their own first row: make all of that the same.
    def make():
      return _model(mismatch_weight=0.0)

    half = _batch(8)
    batch = {name: np.concatenate([half[name]] * 2) for name in half}
    with _same_latents():
      one = testing.weights_after_one_step(make, batch)
      two = testing.weights_after_one_step(
        make, batch, testing.two_replica_strategy()
      )
    for start, first, second in zip(make().get_weights(), one, two):
      self.assertAllClose(first, second, atol=1e-6)
      self.assertNotAllClose(first, start, atol=1e-6)


if __name__ == "__main__":
  tf.test.main()
