"""Tests of whitening."""

import numpy as np
import tensorflow as tf

from lc_keras.data import latents
from lc_keras.models import whitening

_LATENT = 4


def _rows(rows=1000):
  """Returns latents in a skewed space; one axis has only noise."""
  random = np.random.default_rng(0)
  mean = random.normal(size=[rows, _LATENT])
  mean[:, 3] *= 0.01
  mix = np.eye(_LATENT) + 0.5 * np.eye(_LATENT, k=1)
  scale = np.full([rows, _LATENT], 0.2, np.float32)
  labels = np.zeros([rows, 1], np.float32)
  return latents.Latents((mean @ mix + 1.0).astype(np.float32), scale, labels)


def _adapted(rows):
  layer = whitening.Whitening(_LATENT)
  layer.adapt(rows)
  return layer


class WhiteningTest(tf.test.TestCase):
  def test_makes_draws_of_the_posterior_white(self):
    rows = _rows(20_000)
    noise = np.random.default_rng(1).normal(size=rows.mean.shape)
    draws = (rows.mean + rows.scale * noise).astype(np.float32)
    points = _adapted(rows)(draws)
    self.assertAllClose(np.mean(points, axis=0), np.zeros(4), atol=0.03)
    self.assertAllClose(np.cov(points, rowvar=False), np.eye(4), atol=0.05)

  def test_can_be_undone(self):
    layer, mean = _adapted(_rows()), _rows(3).mean
    self.assertAllClose(layer.undo(layer(mean)), mean, atol=1e-5)

  def test_leaves_latents_alone_before_it_has_adapted(self):
    fresh, mean = whitening.Whitening(_LATENT), _rows(3).mean
    for function in (fresh, fresh.undo, fresh.noise):
      self.assertAllEqual(function(mean), mean)
    self.assertAllEqual(fresh.signal, np.ones(_LATENT))

  def test_prior_samples_become_the_nearest_latents(self):
    layer = _adapted(_rows())
    prior = np.random.default_rng(0).normal(size=[999, _LATENT])
    prior = prior.astype(np.float32)
    noise = layer.noise(prior)
    self.assertAllClose(
      np.linalg.norm(noise, axis=1), np.linalg.norm(prior, axis=1), rtol=1e-5
    )

    def moved(points):
      return np.mean(np.square(layer.undo(points) - prior))

    self.assertLess(moved(noise), moved(prior))
    self.assertLess(moved(noise), moved(-noise))

  def test_knows_where_there_is_only_noise(self):
    signal = np.sort(_adapted(_rows()).signal)
    self.assertAllInRange(signal[:1], 0.0, 0.2)
    self.assertAllInRange(signal[1:], 0.8, 1.0)

  def test_is_not_trained(self):
    self.assertEmpty(_adapted(_rows()).trainable_variables)
