"""Tests of storage: what is loaded is what was saved, to the bit."""

import json
import pathlib

import h5py
import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import files
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import conditional_gan
from lc_keras.models import conditional_vae
from lc_keras.models import gan
from lc_keras.models import pixel_classifier
from lc_keras.models import realism_model
from lc_keras.models import storage
from lc_keras.models import vae

_LATENT, _ATTRIBUTES = 4, 5


def _vae():
  return vae.VAE((8, 16, 1), _LATENT, "mlp", observation_scale=0.3, beta=2.0)


def _classifier():
  return pixel_classifier.PixelClassifier((16, 32, 2), 5, "toon_faces")


def _attribute_model():
  return attribute_model.AttributeModel(_LATENT, _ATTRIBUTES, 7, 2)


def _realism_model():
  return realism_model.RealismModel(_LATENT, 7, 2)


def _actor_critic():
  model = actor_critic.ActorCritic(_LATENT, _ATTRIBUTES, 7, 2)
  # The average is not what is trained: each must find its own.
  model.actor.set_weights([w + 1 for w in model.trained_actor.get_weights()])
  return model


def _conditional_vae():
  return conditional_vae.ConditionalVAE(
    (8, 16, 1), _LATENT, _ATTRIBUTES, "mlp", observation_scale=0.3, beta=2.0
  )


def _adversarial(model):
  # The average is not what is trained: each must find its own.
  weights = model.trained_generator.get_weights()
  model.generator.set_weights([weight + 1 for weight in weights])
  return model


def _conditional_gan():
  return _adversarial(
    conditional_gan.ConditionalGAN((8, 16, 1), _LATENT, _ATTRIBUTES, "mlp")
  )


def _gan():
  return _adversarial(gan.GAN((8, 16, 1), _LATENT, "mlp"))


def _inputs(model):
  random = np.random.default_rng(0)
  shape = getattr(model, "image_shape", ())
  images = random.random([3, *shape]).astype(np.float32)
  latents = random.normal(size=[3, _LATENT]).astype(np.float32)
  labels = np.ones([3, _ATTRIBUTES], np.float32)
  return {
    "ActorCritic": [latents, labels, labels],
    "AttributeModel": [latents],
    "ConditionalGAN": [latents, labels],
    "ConditionalVAE": [images, labels],
    "GAN": [latents],
    "PixelClassifier": [images],
    "RealismModel": [latents],
    "VAE": [images],
  }[type(model).__name__]


class StorageTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir()) / "deep" / "model"

  @parameterized.parameters(
    _vae,
    _classifier,
    _attribute_model,
    _realism_model,
    _actor_critic,
    _conditional_vae,
    _conditional_gan,
    _gan,
  )
  def test_round_trips_bit_for_bit(self, make):
    model = make()
    storage.save(model, str(self.folder))
    loaded = storage.load(str(self.folder))
    self.assertIs(type(loaded), type(model))
    self.assertEqual(loaded.arguments, model.arguments)
    for first, second in zip(model.weights, loaded.weights, strict=True):
      self.assertAllEqual(first, second)
    self.assertAllEqual(model(*_inputs(model)), loaded(*_inputs(model)))
    self.assertCountEqual(
      [path.name for path in self.folder.iterdir()],
      ["model.json", "best.weights.h5"],
    )

  def test_what_a_constructor_was_told_is_kept(self):
    storage.save(_vae(), str(self.folder))
    loaded = storage.load(str(self.folder))
    likelihood = loaded.decode(tf.zeros([1, _LATENT]))
    self.assertAllClose(likelihood.stddev(), np.full([1, 8, 16, 1], 0.3))

  def test_optimisers_are_not_in_the_file(self):
    model = _attribute_model()
    storage.save(model, str(self.folder))
    path = self.folder / storage.WEIGHTS
    bare = path.stat().st_size
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    storage.save(model, str(self.folder))
    self.assertEqual(path.stat().st_size, bare)
    names = []
    with h5py.File(path) as file:
      file.visit(names.append)
    self.assertEmpty([name for name in names if "optimizer" in name])

  def test_the_same_weights_are_the_same_file(self):
    # Keras numbers the models that a process makes.
    model = _attribute_model()
    storage.save(model, str(self.folder))
    first = files.checksum(str(self.folder / storage.WEIGHTS))
    storage.save(model, str(self.folder))
    self.assertEqual(files.checksum(str(self.folder / storage.WEIGHTS)), first)

  def test_saving_again_replaces(self):
    first, second = _attribute_model(), _attribute_model()
    storage.save(first, str(self.folder))
    storage.save(second, str(self.folder))
    loaded = storage.load(str(self.folder))
    self.assertAllEqual(loaded.weights[0], second.weights[0])
    self.assertNotAllEqual(loaded.weights[0], first.weights[0])

  def test_saves_what_was_trained_under_a_strategy(self):
    # A bare copy is made of the model, wherever its variables lie.
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
      model = _attribute_model()
      storage.save(model, str(self.folder))
    self.assertAllEqual(
      storage.load(str(self.folder)).weights[0].numpy(),
      model.weights[0].numpy(),
    )

  @parameterized.parameters("model.json", "best.weights.h5")
  def test_says_what_to_do_when_a_file_is_missing(self, name):
    storage.save(_attribute_model(), str(self.folder))
    (self.folder / name).unlink()
    with self.assertRaisesRegex(FileNotFoundError, f"{name}.*Train it first"):
      storage.load(str(self.folder))

  def test_refuses_a_class_that_is_not_ours(self):
    storage.save(_attribute_model(), str(self.folder))
    (self.folder / "model.json").write_text(
      json.dumps({"class": "Sequential", "arguments": {}})
    )
    with self.assertRaisesRegex(ValueError, "'Sequential'; known: ActorCritic"):
      storage.load(str(self.folder))

  def test_refuses_weights_of_another_model(self):
    storage.save(_attribute_model(), str(self.folder))
    other = self.folder.parent / "other"
    storage.save(
      attribute_model.AttributeModel(_LATENT, _ATTRIBUTES, 9, 2), str(other)
    )
    (other / storage.WEIGHTS).replace(self.folder / storage.WEIGHTS)
    with self.assertRaises(ValueError):
      storage.load(str(self.folder))

  def test_a_description_is_plain_json(self):
    storage.save(_vae(), str(self.folder))
    self.assertEqual(
      json.loads((self.folder / "model.json").read_text()),
      {
        "class": "VAE",
        "arguments": {
          "image_shape": [8, 16, 1],
          "latent_size": 4,
          "architecture": "mlp",
          "observation_scale": 0.3,
          "beta": 2.0,
        },
        "sha256": files.checksum(str(self.folder / storage.WEIGHTS)),
      },
    )

  def test_says_when_the_weights_are_damaged(self):
    storage.save(_attribute_model(), str(self.folder))
    path = self.folder / storage.WEIGHTS
    whole = path.read_bytes()
    for half in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
      path.write_bytes(half)
      with self.assertRaisesRegex(ValueError, f"{path} is damaged"):
        storage.load(str(self.folder))


if __name__ == "__main__":
  tf.test.main()
