"""Tests of attribute_model."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.models import attribute_model
from tests import testing

_LATENT, _ATTRIBUTES = 4, 5


def _batch(rows, scale=0.0):
  """Returns latents whose signs are their attributes."""
  mean = np.random.default_rng(0).normal(size=[rows, _LATENT])
  labels = np.concatenate([mean > 0, mean[:, :1] < 0], axis=1)
  return {
    "mean": mean.astype(np.float32),
    "scale": np.full([rows, _LATENT], scale, np.float32),
    "attributes": labels.astype(np.float32),
  }


def _model():
  keras.utils.set_random_seed(0)
  model = attribute_model.AttributeModel(_LATENT, _ATTRIBUTES, 16, 2)
  model.compile(keras.optimizers.Adam(1e-2))
  return model


class AttributeModelTest(tf.test.TestCase):
  def test_accuracy_is_the_share_of_attributes_read_right(self):
    model, batch = _model(), _batch(7)
    logs = testing.evaluate(model, batch, 3)
    read = model(batch["mean"]).numpy() > 0
    self.assertAllClose(logs["accuracy"], np.mean(read == batch["attributes"]))

  def test_learns_in_spite_of_noise(self):
    data = testing.batches(_batch(256, scale=0.1), 64)
    model = _model()
    model.fit(data.repeat(50), verbose=0)
    logs = model.evaluate(data, return_dict=True, verbose=0)
    self.assertGreater(logs["accuracy"], 0.9)
