"""Tests of scoring: rare draws are found, and weights correct the search."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.learning import fitting
from lc_keras.learning import rule_scores
from lc_keras.learning import scoring
from lc_keras.models import value_model

_LATENT_SIZE = 4


def _draw(count, seed):
  random = np.random.default_rng(seed)
  return random.normal(size=[count, _LATENT_SIZE]).astype(np.float32)


def _model():
  keras.utils.set_random_seed(0)
  model = value_model.ValueModel(_LATENT_SIZE, width=32, depth=1, folds=2)
  fitting.compile_model(model, 1000)
  return model


def _collect(oracle, count=2048, limit=20_000):
  def plain(number):
    latents = _draw(rule_scores.CHUNK, number)
    return latents, oracle(latents)

  return scoring.collect(
    plain,
    _draw,
    oracle,
    _model,
    np.ones(_LATENT_SIZE),
    count=count,
    limit=limit,
    folds=2,
  )


class ScoringTest(tf.test.TestCase):
  def test_what_is_frequent_is_drawn_as_it_comes(self):
    found = _collect(lambda latents: latents[:, 0] > 0.0)
    self.assertLen(found, 2048)
    self.assertAllEqual(found.weight, np.ones(2048))
    self.assertAllEqual(found.value, found.mean[:, 0] > 0.0)
    self.assertAllClose(np.bincount(found.fold), [1024, 1024])

  def test_what_is_rare_is_looked_for_and_its_share_stays_what_it_is(self):
    # One draw in 740.
    scored = []

    def oracle(latents):
      scored.append(len(latents))
      return latents[:, 0] > 3.0

    found = _collect(oracle)
    self.assertGreaterEqual(found.on.sum(), 100)
    # Draws of the prior would need about 74,000.
    self.assertLess(sum(scored), 30_000)
    share = np.average(found.on, weights=found.weight)
    self.assertBetween(share, 0.8e-3, 2.2e-3)
    # The search prefers draws in the rare direction only.
    mean = np.average(found.mean, axis=0, weights=found.weight)
    self.assertAllClose(mean, np.zeros(_LATENT_SIZE), atol=0.1)

  def test_what_is_rarely_off_is_looked_for_as_well(self):
    found = _collect(lambda latents: latents[:, 0] > -3.0)
    self.assertGreaterEqual((~found.on).sum(), 100)

  def test_what_never_happens_is_said_to(self):
    with self.assertRaisesRegex(
      scoring.TooFewError, "Of 4096 draws, 0 are on and 4096 off; at least 10"
    ):
      _collect(lambda latents: latents[:, 0] > 9.0, limit=4096)
