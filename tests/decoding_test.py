"""Tests of decoding: the number of images at a time is limited by memory."""

from unittest import mock

import numpy as np
import tensorflow as tf

import lc_keras
from lc_keras import batched
from lc_keras import parts as parts_of
from lc_keras import recipes
from lc_keras.constraints import attributes
from lc_keras.constraints import rule
from lc_keras.data import latents
from lc_keras.generators import decoding
from lc_keras.learning import acquire

_SIZE = 4


class DecodingTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.seen = []

    def decode(z):
      self.seen.append(len(z))
      return 1.0 / (1.0 + np.exp(-np.tile(z, [1, 16]))).reshape(-1, 8, 8, 1)

    self.generator = lc_keras.Generator(
      decode, lambda x: x.reshape(-1, 64)[:, :_SIZE], latent_size=_SIZE
    )
    self.seen.clear()
    # Room for three images of 8 x 8 floats.
    room = mock.patch.object(batched, "_BYTES", 3 * 8 * 8 * 4)
    self.enter_context(room)

  def test_a_chunk_is_what_there_is_room_for(self):
    decode = decoding.decoder(self.generator)
    rows = np.random.default_rng(0).normal(size=[7, _SIZE]).astype(np.float32)
    images = decode(rows)[decoding.IMAGES]
    self.assertEqual(self.seen, [3, 3, 1])
    self.assertAllClose(images[:, 0, 0, :1], tf.sigmoid(rows[:, :1]))
    batches = decode.iter_batches(rows)
    self.assertAllEqual(next(batches)[decoding.IMAGES], images[:3])
    self.assertAllEqual(self.generator.map(rows), images)

  def test_a_graph_reads_few_images_at_a_time(self):
    read = decoding.reader(self.generator, lambda images: images[:, 0, 0])
    rows = tf.random.stateless_normal([7, _SIZE], (0, 0))
    found = tf.function(read, autograph=False)(rows)
    self.assertEqual(self.seen, [3, 3, 3])
    self.assertAllClose(found, tf.sigmoid(rows[:, :1]))

  def test_one_image_larger_than_the_room_is_made_alone(self):
    self.assertEqual(batched.rows_at_once((1 << 20, 1 << 20, 3)), 1)

  def test_learning_a_rule_says_how_long_and_keeps_to_chunks(self):
    random = np.random.default_rng(0)
    mean = random.normal(size=[40, _SIZE]).astype(np.float32)
    rows = latents.Latents(
      mean, np.full_like(mean, 0.1), np.zeros([40, 0], np.float32)
    )
    parts = parts_of.Parts(
      self.generator, attributes.Attributes(()), latents={"train": rows}
    )
    said = mock.Mock()
    recipe = recipes.Constraint(
      count=2048, rounds=1, steps=1, width=4, depth=1, folds=2
    )
    dark = rule.Rule(lambda x: x[:, 0, 0, 0] < 0.5)
    list(acquire.from_rules(parts, {"Dark": dark}, recipe, progress=said))
    self.assertLessEqual(max(self.seen), 3)
    said.bar.assert_called_with(2048, " images")
    told = [call.args[0] for call in said.say.call_args_list]
    self.assertRegex(told[1], r"About 2,048 images are scored, .* a second: ")
