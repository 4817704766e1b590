"""Tests of vae."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.models import vae
from tests import testing

_SHAPE, _LATENT = (8, 16, 1), 4
_PIXELS = 8 * 16


def _images(rows, seed=0):
  """Returns images of two smooth stripes, float32 [rows, 8, 16, 1]."""
  random = np.random.default_rng(seed)
  across = np.linspace(0, np.pi, 16) * random.uniform(0.5, 2, [rows, 1, 1])
  down = np.linspace(0, np.pi, 8)[:, np.newaxis] + random.random([rows, 1, 1])
  values = 0.5 + 0.25 * (np.sin(across) + np.sin(down))
  return values[..., np.newaxis].astype(np.float32)


def _vae(eager=True, **options):
  keras.utils.set_random_seed(0)
  model = vae.VAE(_SHAPE, _LATENT, "mlp_small", **options)
  # Tracing a graph takes longer than a few steps.
  model.compile(keras.optimizers.Adam(3e-3), run_eagerly=eager)
  return model


def _set_raw_scale(model, value):
  """Makes the encoder's second half constant."""
  head = model.encoder.layers[-1]
  kernel, bias = head.get_weights()
  kernel[:, _LATENT:], bias[_LATENT:] = 0.0, value
  head.set_weights([kernel, bias])


class DistributionsTest(tf.test.TestCase):
  def test_the_encoders_second_half_is_the_scale(self):
    model = _vae()
    for raw in (-3.0, 0.0, 2.0):
      _set_raw_scale(model, raw)
      # Not exp(raw / 2), as for a log-variance.
      self.assertAllClose(
        model.encode(_images(3)).stddev(),
        np.full([3, _LATENT], np.log1p(np.exp(raw))),
        atol=2e-5,
      )

  def test_a_scale_is_never_zero(self):
    model = _vae()
    _set_raw_scale(model, -1e4)
    posterior = model.encode(_images(3))
    self.assertAllGreater(posterior.stddev(), 0.0)
    self.assertAllInRange(posterior.kl_divergence(model.prior), 0.0, 1e3)

  def test_the_likelihood_is_summed_over_pixels(self):
    model, images = _vae(observation_scale=0.3), _images(3)
    likelihood = model.decode(tf.ones([3, _LATENT]))
    errors = (images - likelihood.mean()) / 0.3
    each = -0.5 * errors**2 - np.log(0.3) - 0.5 * np.log(2 * np.pi)
    self.assertAllClose(
      likelihood.log_prob(images), each.numpy().sum(axis=(1, 2, 3)), rtol=1e-4
    )


class StepsTest(tf.test.TestCase):
  def test_the_loss_is_distortion_and_beta_times_rate(self):
    for beta in (0.0, 1.0, 4.0):
      logs = testing.evaluate(_vae(beta=beta), {"image": _images(7)}, 3)
      self.assertAllClose(
        logs["loss"], logs["distortion"] + beta * logs["rate"], rtol=1e-5
      )

  def test_the_distortion_is_what_the_likelihood_says(self):
    model, images = _vae(observation_scale=0.3), tf.constant(_images(3))
    posterior = model.encode(images)
    likelihood = model.decode(posterior.mean())
    terms = vae.elbo_terms(images, posterior, likelihood, model.prior, 1.0)
    self.assertAllClose(
      terms["distortion"], -likelihood.log_prob(images), rtol=1e-5
    )

  def test_rows_count_alike_whatever_their_batch(self):
    model = _vae()
    _set_raw_scale(model, -50.0)  # No noise, which depends on the position.
    whole = testing.evaluate(model, {"image": _images(7)}, 7)
    parts = testing.evaluate(model, {"image": _images(7)}, 3)
    self.assertAllClose(whole, parts, rtol=1e-4)

  def test_training_lowers_the_loss(self):
    model, data = _vae(eager=False), testing.batches({"image": _images(32)}, 16)
    before = model.evaluate(data, return_dict=True, verbose=0)
    model.fit(data.repeat(20), verbose=0)
    after = model.evaluate(data, return_dict=True, verbose=0)
    self.assertLess(after["loss"], before["loss"] - _PIXELS)
    self.assertLess(after["squared_error"], 0.5 * before["squared_error"])
