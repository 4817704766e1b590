"""Tests of latents: encoded images, and their covariance."""

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras.data import latent_batches
from lc_keras.data import latent_cache
from lc_keras.data import latents

tfd = tfp.distributions


class EncodeTest(tf.test.TestCase):
  def test_encodes_every_image_in_order(self):
    class Encoder:
      def encode(self, images):
        flat = tf.reshape(images, [tf.shape(images)[0], 4])
        return tfd.MultivariateNormalDiag(2 * flat, flat + 1)

    images = np.random.default_rng(0).random([7, 2, 2, 1]).astype(np.float32)
    labels = np.eye(7, 5, dtype=np.float32)
    dataset = tf.data.Dataset.from_tensor_slices(
      {"image": images, "attributes": labels}
    )
    encoded = latents.join(map(latents.encoder(Encoder()), dataset.batch(3)))
    flat = images.reshape(7, 4)
    self.assertAllClose(encoded.mean, 2 * flat)
    self.assertAllClose(encoded.scale, flat + 1)
    self.assertAllEqual(encoded.attributes, labels)
    self.assertLen(encoded, 7)
    self.assertEqual(encoded.mean.dtype, np.float32)


class DrawTest(tf.test.TestCase):
  class Decoder:
    """A decoder that shows its first two latents; has no encoder."""

    image_shape = (1, 2, 1)
    latent_size = 4

    def decode(self, latents):
      return tfd.Deterministic(latents[:, :2])

  def _draw(self, rows=7, seed=(0, 0), **options):
    return latents.draw(self.Decoder(), rows, 0.25, seed, **options)

  def test_draws_the_prior_with_a_constant_scale(self):
    drawn = self._draw(5000)
    self.assertAllClose(drawn.mean.mean(axis=0), np.zeros(4), atol=0.1)
    self.assertAllClose(drawn.mean.std(axis=0), np.ones(4), atol=0.1)
    self.assertAllEqual(drawn.scale, np.full([5000, 4], 0.25, np.float32))
    self.assertEqual(drawn.mean.dtype, np.float32)
    self.assertAllEqual(drawn.mean, self._draw(5000).mean)
    self.assertNotAllClose(drawn.mean, self._draw(5000, seed=(0, 1)).mean)

  def test_labels_are_read_from_what_is_decoded_in_batches(self):
    shapes = []

    def read(images):
      shapes.append(images.shape)
      return tf.cast(images > 0.0, tf.float32)

    drawn = self._draw(7, read=read, batch_size=3)
    self.assertAllEqual(drawn.attributes, drawn.mean[:, :2] > 0.0)
    self.assertEqual(drawn.attributes.dtype, np.float32)
    self.assertAllLessEqual([shape[0] for shape in shapes], 3)
    whole = self._draw(7, read=read, batch_size=7)
    self.assertAllEqual(drawn.attributes, whole.attributes)

  def test_without_a_reader_there_are_no_attributes(self):
    drawn = self._draw()
    self.assertEqual(drawn.attributes.shape, (7, 0))
    folder = str(pathlib.Path(self.create_tempdir()) / "cache")
    latent_cache.write(folder, {"train": drawn}, {})
    self.assertEqual(
      latent_cache.read(folder, "train").attributes.shape, (7, 0)
    )
    with self.assertRaisesRegex(ValueError, "no labels to train on"):
      latent_batches.at_random(drawn, 3)


class PrincipalAxesTest(tf.test.TestCase):
  def test_draws_are_uncorrelated_along_them(self):
    random = np.random.default_rng(0)
    mean = random.normal(size=[20_000, 3]) @ random.normal(size=[3, 4])
    scale = random.uniform(0.1, 2.0, size=mean.shape)
    rows = latents.Latents(mean, scale, np.zeros([20_000, 1]))
    variances, axes = latents.moments(rows).principal_axes()
    self.assertAllClose(axes.T @ axes, np.eye(4))
    self.assertAllEqual(variances, np.sort(variances))
    draws = mean + scale * random.normal(size=mean.shape)
    white = draws @ axes / np.sqrt(variances)
    self.assertAllClose(np.cov(white, rowvar=False), np.eye(4), atol=0.05)
