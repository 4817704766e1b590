"""Tests of storage: loaded models equal saved ones, bit for bit."""

import json
import pathlib

import h5py
import keras
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import files
from lc_keras.models import attribute_model
from lc_keras.models import storage
from lc_keras.models import vae

_LATENT = 4


def _model(width=7):
  return attribute_model.AttributeModel(_LATENT, 5, width, 2)


class StorageTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir()) / "deep" / "model"

  def test_optimisers_are_not_in_the_file(self):
    model = _model()
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    storage.save(model, str(self.folder))
    names = []
    with h5py.File(self.folder / storage.WEIGHTS) as file:
      file.visit(names.append)
    self.assertEmpty([name for name in names if "optimizer" in name])

  def test_the_same_weights_are_the_same_file(self):
    # Keras numbers the models of a process.
    model = _model()
    storage.save(model, str(self.folder))
    first = files.checksum(str(self.folder / storage.WEIGHTS))
    storage.save(model, str(self.folder))
    self.assertEqual(files.checksum(str(self.folder / storage.WEIGHTS)), first)

  def test_is_not_loaded_while_a_function_is_traced(self):
    storage.save(_model(), str(self.folder))
    read = tf.function(lambda: storage.load(str(self.folder)), autograph=False)
    with self.assertRaisesRegex(RuntimeError, "use it once before"):
      read()

  def test_saves_what_was_trained_under_a_strategy(self):
    # The saved copy is independent of the strategy of the variables.
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
      model = _model()
      storage.save(model, str(self.folder))
    self.assertAllEqual(
      storage.load(str(self.folder)).weights[0].numpy(),
      model.weights[0].numpy(),
    )

  @parameterized.parameters("model.json", "best.weights.h5")
  def test_says_what_to_do_when_a_file_is_missing(self, name):
    storage.save(_model(), str(self.folder))
    (self.folder / name).unlink()
    with self.assertRaisesRegex(FileNotFoundError, f"{name}.*Train it first"):
      storage.load(str(self.folder))

  def test_refuses_a_class_that_is_not_ours(self):
    storage.save(_model(), str(self.folder))
    (self.folder / "model.json").write_text(
      json.dumps({"class": "Sequential", "arguments": {}})
    )
    with self.assertRaisesRegex(ValueError, "'Sequential'; known: ActorCritic"):
      storage.load(str(self.folder))

  def test_refuses_weights_of_another_model(self):
    storage.save(_model(), str(self.folder))
    other = self.folder.parent / "other"
    storage.save(_model(width=9), str(other))
    (other / storage.WEIGHTS).replace(self.folder / storage.WEIGHTS)
    with self.assertRaises(ValueError):
      storage.load(str(self.folder))

  def test_a_description_is_plain_json(self):
    model = vae.VAE((8, 16, 1), _LATENT, "mlp_small", observation_scale=0.3)
    storage.save(model, str(self.folder))
    # All arguments of the constructor, including defaults.
    self.assertEqual(
      json.loads((self.folder / "model.json").read_text()),
      {
        "class": "VAE",
        "arguments": {
          "image_shape": [8, 16, 1],
          "latent_size": 4,
          "architecture": "mlp_small",
          "observation_scale": 0.3,
          "beta": 1.0,
        },
        "sha256": files.checksum(str(self.folder / storage.WEIGHTS)),
      },
    )
    self.assertCountEqual(
      [path.name for path in self.folder.iterdir()],
      ["model.json", "best.weights.h5"],
    )

  def test_says_when_the_weights_are_damaged(self):
    storage.save(_model(), str(self.folder))
    path = self.folder / storage.WEIGHTS
    whole = path.read_bytes()
    for half in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
      path.write_bytes(half)
      with self.assertRaisesRegex(ValueError, f"{path} is damaged"):
        storage.load(str(self.folder))
