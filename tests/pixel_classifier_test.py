"""Tests of pixel_classifier."""

import itertools
import types

import keras
import numpy as np
import tensorflow as tf

from lc_keras.models import pixel_classifier
from tests import testing
from trainers import classifier

_SHAPE, _ATTRIBUTES = (16, 32, 2), 3


def _batch(rows):
  """Returns images whose attributes are bright parts."""
  random = np.random.default_rng(0)
  labels = random.integers(0, 2, [rows, _ATTRIBUTES]).astype(np.float32)
  images = 0.5 * random.random([rows, *_SHAPE])
  for column in range(_ATTRIBUTES):
    part = slice(10 * column, 10 * column + 8)
    images[:, 4:12, part] += 0.5 * labels[:, column, None, None, None]
  return {"image": images.astype(np.float32), "attributes": labels}


def _model():
  keras.utils.set_random_seed(0)
  model = pixel_classifier.PixelClassifier(_SHAPE, _ATTRIBUTES, "toon_faces")
  model.compile(keras.optimizers.Adam(1e-3))
  return model


class PixelClassifierTest(tf.test.TestCase):
  def test_gives_a_logit_per_attribute_and_features(self):
    model, images = _model(), _batch(5)["image"]
    features = model.features(images)
    self.assertEqual(features.shape.rank, 2)
    self.assertEqual(features.shape[0], 5)
    self.assertEqual(model(images).shape, [5, _ATTRIBUTES])
    self.assertAllClose(model(images), model.head(features))

  def test_compares_images_by_features_averaged_over_positions(self):
    images = _batch(5)["image"]
    for name, channels in (("toon_faces", 256), ("conv_small", 128)):
      model = pixel_classifier.PixelClassifier(_SHAPE, _ATTRIBUTES, name)
      # In a graph, as in the evaluation: the number of images is unknown.
      read = tf.function(
        model.logits_and_features, [tf.TensorSpec([None, *_SHAPE])]
      )
      logits, features = read(images)
      self.assertAllClose(logits, model(images))
      self.assertEqual(features.shape, [5, channels])
      maps = tf.reshape(model.features(images), [5, -1, channels])
      self.assertAllClose(features, tf.reduce_mean(maps, axis=1))

  def test_accuracy_is_the_share_of_attributes_read_right(self):
    model, batch = _model(), _batch(7)
    logs = testing.evaluate(model, batch, 3)
    read = model(batch["image"]).numpy() > 0
    self.assertAllClose(logs["accuracy"], np.mean(read == batch["attributes"]))

  def test_draws_no_more_images_than_it_is_validated_on(self):
    batch = {"image": np.zeros([4, 8, 8, 3]), "attributes": np.zeros([4, 1])}
    read = itertools.repeat(batch, 3)
    run = types.SimpleNamespace(
      settings=types.SimpleNamespace(
        validation_limit=6, batch_size=4, attributes=["Young"]
      ),
      images=lambda names: types.SimpleNamespace(
        batches=lambda split, size: read
      ),
    )
    drawn = classifier.draw(lambda images: images[:, 0, 0, :1], run)
    self.assertEqual(list(drawn), ["worst"])
    self.assertLen(list(read), 1)

  def test_learns(self):
    model, data = _model(), testing.batches(_batch(64), 16)
    model.fit(data.repeat(10), verbose=0)
    logs = model.evaluate(data, return_dict=True, verbose=0)
    self.assertGreater(logs["accuracy"], 0.9)
