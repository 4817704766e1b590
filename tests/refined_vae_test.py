"""Tests of refined_vae; models_test has the properties of all models."""

import os

import keras
import numpy as np
import tensorflow as tf

from lc_keras import recipes
from lc_keras.data import arrays
from lc_keras.generators import generator
from lc_keras.generators import writing
from lc_keras.models import refined_vae
from lc_keras.models import storage
from lc_keras.models import vae
from trainers import refiner

_SHAPE, _LATENT = (8, 16, 1), 4


def _frozen():
  """Returns a VAE whose images have grain that real images lack."""
  keras.utils.set_random_seed(0)
  model = vae.VAE(_SHAPE, _LATENT, "mlp_small")
  *_, bias = model.decoder.weights
  grain = np.random.default_rng(0).normal(size=bias.shape)
  bias.assign(grain.astype(np.float32))
  return model


class _Run:
  """A fake run with the attributes that the refiner's job reads."""

  ended = None

  def __init__(self, folder):
    self.folder = folder

  def path(self, *names):
    return os.path.join(self.folder, *names)

  def done(self, stage):
    return self.ended

  def images(self):
    return arrays.source(np.random.default_rng(0).random([20, *_SHAPE]))


class RefinedVAETest(tf.test.TestCase):
  def test_learns_the_images_behind_what_is_frozen(self):
    frozen, images = _frozen(), np.full([16, *_SHAPE], 0.5, np.float32)
    model = refined_vae.RefinedVAE.from_vae(frozen, width=8)
    model.compile(keras.optimizers.Adam(1e-2))
    data = tf.data.Dataset.from_tensors({"image": images})
    before = model.evaluate(data, return_dict=True, verbose=0)
    model.fit(data.repeat(60), verbose=0)
    after = model.evaluate(data, return_dict=True, verbose=0)
    self.assertLess(after["loss"], 0.7 * before["loss"])
    for network in ("encoder", "decoder"):
      for one, other in zip(
        getattr(model, network).get_weights(),
        getattr(frozen, network).get_weights(),
        strict=True,
      ):
        self.assertAllEqual(one, other)
    self.assertAllEqual(
      model.encode(images).mean(), frozen.encode(images).mean()
    )

  def test_learns_from_pixels_beyond_black_and_white(self):
    model = refined_vae.RefinedVAE.from_vae(_frozen(), width=8)
    model.compile(keras.optimizers.SGD(1e-2))
    bias, images = model.refiner.layers[-1].bias, tf.fill([4, *_SHAPE], 0.5)
    for beyond in (-3.0, 3.0):
      bias.assign([beyond])
      model.train_step({"image": images})
      self.assertLess(abs(bias.numpy()[0]), abs(beyond))
      self.assertAllInRange(model.decode(model.prior.sample(3)).mean(), 0, 1)

  def test_is_the_generator_of_a_run_in_place_of_its_vae(self):
    frozen, run = _frozen(), _Run(self.create_tempdir().full_path)
    storage.save(frozen, run.path("vae"))
    before = generator.fingerprint(run.folder)
    recipe = recipes.Refiner(batch_size=2, steps=1)
    with self.assertRaisesRegex(ValueError, "not been trained to its end"):
      refiner.begin(recipe, run)
    run.ended = {}
    model = refiner.begin(recipe, run).model
    model.refiner.layers[-1].bias.assign([0.1])
    run_dir = run.folder
    writing.write(generator.Generator(model), run_dir)
    self.assertEqual(generator.find(run_dir), "refiner")
    self.assertNotEqual(generator.fingerprint(run_dir), before)
    self.assertTrue(generator.has_encoder(run_dir))
    latents = model.prior.sample(3, seed=0)
    made = generator.load(run_dir).decode(latents).mean()
    self.assertAllEqual(made, model.decode(latents).mean())
    self.assertAllGreater(made - frozen.decode(latents).mean(), 0.0)
    with self.subTest("and of no other VAE"):
      frozen.decoder.weights[-1].assign_add([1.0])
      storage.save(frozen, run.path("vae"))
      for function in (generator.find, generator.load):
        with self.assertRaisesRegex(ValueError, "behind another VAE"):
          function(run_dir)
      with self.assertRaisesRegex(ValueError, "behind another VAE"):
        refiner.begin(recipe, run)
    with self.subTest("a preset has its VAE in the refiner"):
      os.remove(run.path("vae", storage.WEIGHTS))
      self.assertEqual(generator.find(run_dir), "refiner")
      with self.assertRaisesRegex(ValueError, "is a preset's"):
        refiner.begin(recipe, run)
