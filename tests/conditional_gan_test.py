"""Tests of conditional_gan."""

import functools

import keras
import numpy as np
import tensorflow as tf

from lc_keras.models import conditional_gan
from tests import testing

_SHAPE, _LATENT, _ATTRIBUTES = (8, 16, 1), 4, 5
_batch = testing.labelled_images


def _model(optimizer=keras.optimizers.SGD, **options):
  keras.utils.set_random_seed(0)
  model = conditional_gan.ConditionalGAN(
    _SHAPE, _LATENT, _ATTRIBUTES, "mlp_small"
  )
  model.compile(optimizer(), optimizer(), **{"run_eagerly": True, **options})
  return model


def _flatten(network):
  """Makes the discriminator's output 1/2 for all inputs."""
  network.set_weights([0 * weight for weight in network.get_weights()])


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

  def test_learns_to_draw_what_is_asked_for(self):
    # Labels determine the brightness of a prior sample.
    adam = functools.partial(keras.optimizers.Adam, 1e-3, beta_1=0.0)
    model = _model(adam, average_decay=0.9, run_eagerly=False)
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
    """Returns the logs of a constant discriminator on seven rows."""
    model = _model(**options)
    _flatten(model.discriminator)
    batch = {
      **_batch(7),
      "attributes": attributes.astype(np.float32),
    }
    return testing.evaluate(model, batch, 7)

  def test_mismatches_have_their_weight(self):
    # No two neighbours have the same labels: each term is log 2.
    labels = (np.arange(7)[:, None] >> np.arange(5)) % 2
    for weight in (0.0, 1.0, 2.0):
      logs = self._logs(labels, mismatch_weight=weight)
      self.assertAllClose(
        logs["discriminator_loss"], (2.0 + weight) * np.log(2.0)
      )
      self.assertAllClose(logs["generator_loss"], np.log(2.0))
      self.assertAllClose(logs["penalty"], 0.0)

  def test_labels_that_happen_to_be_right_are_no_mismatch(self):
    logs = self._logs(np.ones([7, _ATTRIBUTES]))
    self.assertAllClose(logs["discriminator_loss"], 2 * np.log(2.0))

  def test_the_penalty_is_taken_at_real_images(self):
    # It depends on D's gradient there, not on the generator.
    model, batch = _model(), _batch(11)
    before = testing.evaluate(model, batch, 11)["penalty"]
    _flatten(model.generator)
    self.assertAllClose(testing.evaluate(model, batch, 11)["penalty"], before)
    batch["image"] = batch["image"] - 0.5
    self.assertNotAllClose(
      testing.evaluate(model, batch, 11)["penalty"], before
    )
