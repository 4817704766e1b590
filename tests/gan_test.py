"""Tests of gan."""

import keras
import numpy as np
import tensorflow as tf

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


def _model():
  keras.utils.set_random_seed(0)
  return gan.GAN(_SHAPE, _LATENT, "mlp_small")


class GANTest(tf.test.TestCase):
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

  def test_learns_to_draw_what_it_is_shown(self):
    model = _model()
    adams = [keras.optimizers.Adam(1e-3, beta_1=0.0) for _ in range(2)]
    model.compile(*adams, average_decay=0.9)
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
