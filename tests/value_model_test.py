"""Tests of value_model: members are not trained on their fold."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.learning import fitting
from lc_keras.models import value_model
from tests import testing

_LATENT_SIZE = 6
_FOLDS = 3


def _model(steps=10):
  keras.utils.set_random_seed(0)
  model = value_model.ValueModel(_LATENT_SIZE, width=16, depth=1, folds=_FOLDS)
  fitting.compile_model(model, steps)
  # Tracing a graph takes longer than a few steps.
  model.run_eagerly = True
  return model


def _batch(rows=12):
  random = np.random.default_rng(0)
  return {
    "mean": random.normal(size=[rows, _LATENT_SIZE]).astype(np.float32),
    # No noise, which differs between replicas.
    "scale": np.zeros([rows, _LATENT_SIZE], np.float32),
    "value": random.integers(0, 2, rows).astype(np.float32),
    "weight": random.uniform(0.5, 2.0, rows).astype(np.float32),
    "fold": np.arange(rows) % _FOLDS,
  }


class ValueModelTest(tf.test.TestCase, parameterized.TestCase):
  def test_a_member_does_not_see_its_fold(self):
    batch = _batch()
    other = {
      **batch,
      "value": np.where(batch["fold"] == 1, 0.5, batch["value"]),
    }
    other["value"] = other["value"].astype(np.float32)
    one, two = [_model() for _ in range(2)]
    one.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    two.fit(tf.data.Dataset.from_tensors(other), verbose=0)
    before, after = [
      model.by_member(tf.constant(batch["mean"])) for model in (one, two)
    ]
    self.assertAllEqual(before[:, 1], after[:, 1])
    self.assertNotAllClose(before[:, 0], after[:, 0], atol=1e-6)

  def test_a_row_without_weight_does_not_count(self):
    batch = _batch()
    batch["weight"][3] = 0.0
    other = {**batch, "value": batch["value"].copy()}
    other["value"][3] = 1.0 - other["value"][3]
    self.assertAllEqual(
      testing.weights_after_one_step(_model, batch)[0],
      testing.weights_after_one_step(_model, other)[0],
    )

  def test_the_logit_is_the_calibrated_mean_of_the_members(self):
    model = _model()
    latents = tf.constant(_batch()["mean"])
    self.assertAllClose(
      model(latents), tf.reduce_mean(model.by_member(latents), axis=-1)
    )
    model.calibrate(2.0, -0.5)
    self.assertAllClose(
      model(latents),
      2.0 * tf.reduce_mean(model.by_member(latents), axis=-1) - 0.5,
    )
