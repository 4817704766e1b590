"""Tests of gan."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import gan
from lc_keras.models import storage
from tests import testing

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_SHAPE, _LATENT = (8, 16, 1), 4


def _images(rows):
  """Returns images that are dark on the left and bright on the right."""
  random = np.random.default_rng(0)
  image = np.where(np.arange(16) < 8, 0.2, 0.8)[:, np.newaxis]
  image = image + random.normal(0.0, 0.02, [rows, *_SHAPE])
  return image.astype(np.float32)


def _latents(rows):
  return tf.random.stateless_normal([rows, _LATENT], (0, 0))


def _sgd(rate=0.1):
  return keras.optimizers.SGD(rate)


def _model(generator_optimizer=None, discriminator_optimizer=None, **options):
  keras.utils.set_random_seed(0)
  model = gan.GAN(_SHAPE, _LATENT, "mlp")
  model.compile(
    generator_optimizer or _sgd(),
    discriminator_optimizer or _sgd(),
    jit_compile=False,
    **options,
  )
  return model


def _step(model, rows=11):
  return model.train_step({"image": tf.constant(_images(rows))})


def _evaluate(model, batch, batch_size):
  data = tf.data.Dataset.from_tensor_slices(batch).batch(batch_size)
  return model.evaluate(data, return_dict=True, verbose=0)


class GeneratorTest(tf.test.TestCase):
  def test_events_are_latents_and_images(self):
    model = _model()
    likelihood = model.decode(_latents(3))
    self.assertEqual(likelihood.batch_shape, [3])
    self.assertEqual(likelihood.event_shape, _SHAPE)
    self.assertEqual(model.prior.event_shape, [_LATENT])
    self.assertEqual(model.prior.batch_shape, [])

  def test_the_decoded_mean_is_a_picture(self):
    self.assertAllInRange(_model().decode(100 * _latents(3)).mean(), 0.0, 1.0)

  def test_decoding_draws_nothing(self):
    likelihood = _model().decode(_latents(3))
    for seed in ((0, 0), (0, 1)):
      self.assertAllEqual(likelihood.sample(seed=seed), likelihood.mean())

  def test_each_row_is_on_its_own(self):
    model, latents = _model(), _latents(3)
    images = model(latents)
    self.assertAllClose(model(latents[1:2]), images[1:2])
    self.assertNotAllClose(images[0], images[1])

  def test_every_latent_has_a_gradient(self):
    # What a search follows.
    model, latents = _model(), _latents(3)
    with tf.GradientTape() as tape:
      tape.watch(latents)
      images = model.decode(latents).mean()
    gradients = tape.gradient(images, latents)
    self.assertAllGreater(tf.abs(gradients), 0.0)

  def test_the_average_is_used(self):
    model, latents = _model(), _latents(3)
    before = model.decode(latents).mean()
    model.trained_generator.set_weights(
      [weight + 1.0 for weight in model.trained_generator.get_weights()]
    )
    self.assertAllEqual(model.decode(latents).mean(), before)
    self.assertAllEqual(model(latents), before)

  def test_cannot_encode(self):
    self.assertFalse(hasattr(_model(), "encode"))

  def test_is_loaded_as_it_was_saved(self):
    # Trained, so that the average is not the generator it follows.
    model, folder = _model(), self.create_tempdir().full_path
    _step(model)
    storage.save(model, folder)
    loaded = storage.load(folder)
    self.assertIs(type(loaded), gan.GAN)
    self.assertEqual(loaded.arguments, model.arguments)
    for first, second in zip(model.weights, loaded.weights, strict=True):
      self.assertAllEqual(first, second)
    self.assertAllEqual(loaded(_latents(3)), model(_latents(3)))


class TrainStepTest(tf.test.TestCase, parameterized.TestCase):
  def test_returns_exactly_the_metrics(self):
    model, batch = _model(), {"image": tf.constant(_images(11))}
    names = ["discriminator_loss", "generator_loss", "penalty"]
    self.assertEqual([metric.name for metric in model.metrics], names)
    self.assertEqual(list(model.train_step(batch)), names)
    self.assertEqual(list(model.test_step(batch)), names)

  @parameterized.parameters({}, {"penalty_weight": 0.0})
  def test_reaches_every_variable(self, **options):
    model = _model(**options)
    before = [variable.numpy() for variable in model.weights]
    _step(model)
    for old, variable in zip(before, model.weights, strict=True):
      self.assertNotAllEqual(old, variable, variable.path)
      self.assertAllInRange(variable, -10.0, 10.0)

  @parameterized.parameters("generator", "discriminator")
  def test_each_optimiser_has_its_own_network(self, still):
    model = _model(**{f"{still}_optimizer": _sgd(0.0)})
    networks = {
      "generator": model.trained_generator,
      "discriminator": model.discriminator,
    }
    before = {name: net.get_weights() for name, net in networks.items()}
    _step(model)
    for name, network in networks.items():
      if name == still:
        self.assertAllClose(before[name], network.get_weights(), atol=0)
      else:
        self.assertNotAllEqual(before[name][0], network.get_weights()[0])

  @parameterized.parameters("generator", "discriminator")
  def test_each_network_lowers_its_own_loss(self, learner):
    # While its opponent stands still.
    rates = {"generator": 0.0, "discriminator": 0.0, learner: 0.1}
    model = _model(
      *map(_sgd, rates.values()), average_decay=0.0, penalty_weight=0.0
    )
    batch = {"image": _images(32)}
    loss = f"{learner}_loss"
    before = _evaluate(model, batch, 32)[loss]
    for _ in range(5):
      _step(model, 32)
    self.assertLess(_evaluate(model, batch, 32)[loss], before - 0.01)

  def test_labels_are_not_looked_at(self):
    def update(batch):
      model = _model()
      model.train_step({name: tf.constant(x) for name, x in batch.items()})
      return model.get_weights()

    images = _images(11)
    labels = np.ones([11, 5], np.float32)
    for one, other in zip(
      update({"image": images}),
      update({"image": images, "attributes": labels}),
      strict=True,
    ):
      self.assertAllEqual(one, other)

  def test_draws_afresh_every_step(self):
    model = _model(_sgd(0.0), _sgd(0.0))
    data = tf.data.Dataset.from_tensors({"image": _images(11)})
    history = model.fit(data, epochs=4, verbose=0)
    self.assertLen(set(history.history["generator_loss"]), 4)

  def test_validation_draws_the_same_every_time(self):
    model, batch = _model(), {"image": _images(7)}
    self.assertEqual(_evaluate(model, batch, 3), _evaluate(model, batch, 3))

  def test_a_discriminator_that_cannot_tell_gives_log_two(self):
    model = _model()
    network = model.discriminator
    network.set_weights([0 * weight for weight in network.get_weights()])
    logs = _evaluate(model, {"image": _images(7)}, 7)
    self.assertAllClose(logs["discriminator_loss"], 2 * np.log(2.0))
    self.assertAllClose(logs["generator_loss"], np.log(2.0))
    self.assertAllClose(logs["penalty"], 0.0)

  def test_learns_to_draw_what_it_is_shown(self):
    adams = [keras.optimizers.Adam(3e-4, beta_1=0.0) for _ in range(2)]
    model = _model(*adams, average_decay=0.9)
    before = model(_latents(32))
    data = tf.data.Dataset.from_tensor_slices({"image": _images(512)}).batch(8)
    model.fit(data, verbose=0)
    for images, low, high in (
      (before, -0.1, 0.1),
      (model(_latents(32)), 0.5, 0.8),
    ):
      left, right = images[:, :, :8], images[:, :, 8:]
      contrast = tf.reduce_mean(right) - tf.reduce_mean(left)
      self.assertBetween(contrast, low, high)


class ReplicasTest(tf.test.TestCase):
  def test_two_replicas_make_the_update_of_one(self):
    # Replicas draw their own latents, and take the penalty at their own first
    # row: make all of that the same.
    batch = {"image": np.concatenate([_images(8)] * 2)}
    with mock.patch.object(
      tf.random, "stateless_normal", lambda shape, seed: tf.fill(shape, 0.3)
    ):
      one = testing.weights_after_one_step(_model, batch)
      two = testing.weights_after_one_step(
        _model, batch, testing.two_replica_strategy()
      )
    for start, first, second in zip(_model().get_weights(), one, two):
      self.assertAllClose(first, second, atol=1e-6)
      self.assertNotAllClose(first, start, atol=1e-6)


if __name__ == "__main__":
  tf.test.main()
