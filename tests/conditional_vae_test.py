"""Tests of conditional_vae."""

import keras
import tensorflow as tf

from lc_keras.models import conditional_vae
from lc_keras.models import vae
from tests import testing

_SHAPE, _LATENT, _ATTRIBUTES = (8, 16, 1), 4, 5
_batch = testing.labelled_images


def _model(**options):
  keras.utils.set_random_seed(0)
  model = conditional_vae.ConditionalVAE(
    _SHAPE, _LATENT, _ATTRIBUTES, "mlp_small", **options
  )
  model.compile(keras.optimizers.Adam(1e-2))
  return model


class DistributionsTest(tf.test.TestCase):
  def test_every_attribute_is_seen_by_both_networks(self):
    model, image = _model(), _batch(1)["image"]
    none = tf.zeros([1, _ATTRIBUTES])
    for each in tf.eye(_ATTRIBUTES)[:, tf.newaxis]:
      self.assertNotAllClose(
        model.encode(image, each).mean(), model.encode(image, none).mean()
      )
      self.assertNotAllClose(
        model.encode(image, each).stddev(), model.encode(image, none).stddev()
      )
      latents = tf.ones([1, _LATENT])
      self.assertNotAllClose(
        model.decode(latents, each).mean(), model.decode(latents, none).mean()
      )

  def test_without_attributes_it_is_the_vae(self):
    model, images = (
      _model(observation_scale=0.3),
      _batch(3)["image"],
    )
    plain = vae.VAE(_SHAPE, _LATENT, "mlp_small", observation_scale=0.3)
    plain.encoder.set_weights(model.encoder.get_weights())
    kernel, *rest = model.decoder.get_weights()
    plain.decoder.set_weights([kernel[:_LATENT], *rest])
    none = tf.zeros([3, _ATTRIBUTES])
    posterior = model.encode(images, none)
    self.assertAllClose(posterior.mean(), plain.encode(images).mean())
    self.assertAllClose(posterior.stddev(), plain.encode(images).stddev())
    latents = posterior.mean()
    self.assertAllClose(
      model.decode(latents, none).log_prob(images),
      plain.decode(latents).log_prob(images),
    )

  def test_learns_to_draw_what_is_asked_for(self):
    # Labels determine the brightness of a prior sample.
    model = _model()
    model.fit(
      tf.data.Dataset.from_tensors(_batch(64)).repeat(50),
      verbose=0,
    )
    latents = model.prior.sample(32, seed=(0, 0))
    for share in (0.0, 1.0):
      targets = tf.fill([32, _ATTRIBUTES], share)
      brightness = tf.reduce_mean(model.decode(latents, targets).mean())
      self.assertAllClose(brightness, 0.2 + 0.6 * share, atol=0.1)
