"""Tests of realism_model: a classifier whose logit is a density ratio."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.models import realism_model
from tests import testing

_LATENT = 4


def _batch(rows, mean=2.0):
  """Returns latents that are shifted from the prior in the first dimension."""
  means = np.zeros([rows, _LATENT], np.float32)
  means[:, 0] = mean
  return {
    "mean": means,
    "scale": np.ones([rows, _LATENT], np.float32),
    "attributes": np.zeros([rows, 5], np.float32),
  }


def _model():
  keras.utils.set_random_seed(0)
  model = realism_model.RealismModel(_LATENT, 16, 2)
  model.compile(keras.optimizers.Adam(1e-2))
  return model


class RealismModelTest(tf.test.TestCase):
  def test_learns_the_density_ratio(self):
    # The logarithm of N(2, 1) / N(0, 1) is 2 z - 2.
    model = _model()
    model.fit(testing.batches(_batch(512), 256).repeat(200), verbose=0)
    points = np.zeros([3, _LATENT], np.float32)
    points[:, 0] = [0.0, 1.0, 2.0]
    self.assertAllClose(model(points), [-2.0, 0.0, 2.0], atol=0.7)

  def test_cannot_tell_the_prior_from_itself(self):
    model, batch = _model(), _batch(256, mean=0.0)
    model.fit(testing.batches(batch, 128).repeat(30), verbose=0)
    logs = testing.evaluate(model, batch, 128)
    self.assertAllClose(logs["accuracy"], 0.5, atol=0.1)
    self.assertAllClose(logs["loss"], np.log(2.0), atol=0.1)
