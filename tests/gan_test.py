"""Tests of gan."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import gan

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
  model = gan.GAN(_SHAPE, _LATENT, "mlp_small")
  model.compile(
    generator_optimizer or _sgd(),
    discriminator_optimizer or _sgd(),
    # Tracing a graph takes longer than a few steps.
    **{"run_eagerly": True, **options},
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
    self.assertFalse(hasattr(model, "encode"))
    self.assertAllInRange(model.decode(100 * _latents(3)).mean(), 0.0, 1.0)

  def test_decoding_draws_nothing(self):
    likelihood = _model().decode(_latents(3))
    for seed in ((0, 0), (0, 1)):
      self.assertAllEqual(likelihood.sample(seed=seed), likelihood.mean())

  def test_every_latent_has_a_gradient(self):
    # The gradient that a search follows.
    model, latents = _model(), _latents(3)
    with tf.GradientTape() as tape:
      tape.watch(latents)
      images = model.decode(latents).mean()
    gradients = tape.gradient(images, latents)
    self.assertAllGreater(tf.abs(gradients), 0.0)


class TrainStepTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(("generator", 1.0), ("discriminator", 0.1))
  def test_each_network_lowers_its_own_loss(self, learner, rate):
    # The opponent's learning rate is 0.
    rates = {"generator": 0.0, "discriminator": 0.0, learner: rate}
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

  def test_learns_to_draw_what_it_is_shown(self):
    adams = [keras.optimizers.Adam(1e-3, beta_1=0.0) for _ in range(2)]
    model = _model(*adams, average_decay=0.9, run_eagerly=False)
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
