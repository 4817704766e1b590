"""Tests of mixed precision: a few steps in bfloat16, weights in float32."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import recipes
from lc_keras import training
from lc_keras.data import arrays
from lc_keras.models import conditional_vae
from lc_keras.models import pixel_classifier
from lc_keras.models import storage
from lc_keras.models import vae

_OPTIONS = {"architecture": "toon_faces", "steps": 4, "batch_size": 4}


def _images():
  random = np.random.default_rng(0)
  images = random.integers(256, size=[20, 16, 32, 3], dtype=np.uint8)
  return arrays.source(images, random.integers(0, 2, [20, 2]), ["A", "B"])


class PrecisionTest(parameterized.TestCase, tf.test.TestCase):
  @parameterized.parameters(
    (vae, recipes.VAE(latent_size=8, mixed_precision=True, **_OPTIONS)),
    (
      conditional_vae,
      recipes.VAE(latent_size=8, mixed_precision=True, **_OPTIONS),
    ),
    (pixel_classifier, recipes.Classifier(mixed_precision=True, **_OPTIONS)),
  )
  def test_trains_in_bfloat16_and_keeps_float32(self, module, recipe):
    begun = module.training(recipe, _images())
    self.assertEqual(keras.config.dtype_policy().name, "float32")
    layers = [layer for layer in begun.model._flatten_layers() if layer.weights]
    self.assertIn("bfloat16", {layer.compute_dtype for layer in layers})
    history = training.fit(begun, recipe, verbose=0).history
    self.assertAllInRange(history["loss"], 0.0, 1e6)
    for variable in begun.model.variables + begun.model.optimizer.variables:
      self.assertNotEqual(variable.dtype, "bfloat16", variable.path)

    folder = self.create_tempdir().full_path
    storage.save(begun.model, folder)
    again = storage.load(folder)
    batch = next(iter(_images().batches("train", 4)))
    inputs = [batch["image"]]
    if module is conditional_vae:
      inputs.append(batch["attributes"])
    made, expected = begun.model(*inputs), again(*inputs)
    self.assertEqual(made.dtype, tf.float32)
    # bfloat16 has 8 bits of precision: nearly the same, but not equal.
    self.assertAllClose(made, expected, atol=0.05, rtol=0.05)
    self.assertNotAllEqual(made, expected)
