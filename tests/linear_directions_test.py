"""Tests of linear_directions."""

import numpy as np
import tensorflow as tf

from lc_keras.data import latents
from lc_keras.models import linear_directions

_LATENT, _ATTRIBUTES = 4, 5


def _rows(rows=300):
  """Returns latents whose signs are attributes 0 to 2; 3 is constant."""
  random = np.random.default_rng(0)
  mean = random.normal(size=[rows, _LATENT]).astype(np.float32)
  labels = np.zeros([rows, _ATTRIBUTES], np.float32)
  labels[:, :3] = mean[:, :3] > 0
  labels[:, 3] = 1.0
  labels[:, 4] = mean[:, 3] > 1.5  # Rare.
  return latents.Latents(mean, np.full_like(mean, 0.1), labels)


class LinearDirectionsTest(tf.test.TestCase):
  def test_moves_are_where_latents_vary(self):
    rows = _rows()
    rows.mean[:, 2] *= 5.0
    model = linear_directions.LinearDirections.estimate(rows)
    covariance = np.cov(rows.mean, rowvar=False) + 0.1**2 * np.eye(_LATENT)
    self.assertAllClose(
      model.moves, model.normals.numpy() @ covariance, rtol=1e-3, atol=1e-4
    )

  def test_finds_the_directions_that_tell_rows_apart(self):
    rows = _rows()
    model = linear_directions.LinearDirections.estimate(rows)
    right = (model(rows.mean).numpy() > 0) == (rows.attributes > 0.5)
    self.assertAllGreater(right[:, [0, 1, 2, 4]].mean(0), 0.9)
    normals = model.normals.numpy()
    for attribute, dimension in ((0, 0), (1, 1), (2, 2), (4, 3)):
      self.assertEqual(np.argmax(normals[attribute]), dimension)

  def test_a_rare_attribute_has_even_odds_half_way(self):
    rows = _rows()
    model = linear_directions.LinearDirections.estimate(rows)
    scores = model(rows.mean).numpy()[:, 4]
    has = rows.attributes[:, 4] > 0.5
    self.assertBetween(has.mean(), 0.01, 0.15)
    self.assertGreater((scores[has] > 0).mean(), 0.95)

  def test_a_constant_attribute_has_no_direction(self):
    model = linear_directions.LinearDirections.estimate(_rows())
    self.assertAllEqual(model.normals[3], np.zeros([_LATENT]))
    self.assertAllEqual(model.biases[3], 0.0)
