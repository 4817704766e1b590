"""Tests of flow_matching."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from lc_keras.data import latent_batches
from lc_keras.data import latents
from lc_keras.models import flow_matching
from lc_keras.samplers import flow

_LATENT, _ATTRIBUTES = 4, 5


def _rows(rows=1000):
  """Returns two clusters, labelled by attribute 0, in a skewed space."""
  random = np.random.default_rng(0)
  labels = random.integers(0, 2, [rows, _ATTRIBUTES]).astype(np.float32)
  mean = 0.3 * random.normal(size=[rows, _LATENT])
  mean[:, 0] += 4.0 * labels[:, 0] - 2.0
  mean[:, 3] *= 0.01  # Only the posterior's noise.
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
  model.compile(optimizer, **{"run_eagerly": True, **options})
  return model


class FlowMatchingTest(tf.test.TestCase):
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
    model = _model(
      keras.optimizers.Adam(1e-2),
      width=32,
      average_decay=0.95,
      run_eagerly=False,
    )
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
    # Few rows between the clusters; a normal would have one in three.
    self.assertLess(np.mean(np.abs(unasked) < 1.0), 0.1)
