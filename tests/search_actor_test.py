"""Tests of search_actor: it minimises a search's loss in one step."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.data import latents
from lc_keras.models import search_actor

_SIZE = 4
# The first two attributes exclude each other.
_EXCLUDES = np.float32([[0, 1, 0], [1, 0, 0], [0, 0, 0]])


def _read(z):
  """Returns logits: on if the dimension of this number is positive."""
  return 4.0 * z[:, :3]


def _loss(start, moved, values, mask, seeds):
  del seeds
  wrong = tf.nn.sigmoid_cross_entropy_with_logits(values, _read(moved))
  far = tf.reduce_sum(tf.square(moved - start), axis=-1)
  return tf.reduce_sum(mask * wrong, axis=-1) + 0.1 * far


def _model(loss=_loss):
  keras.utils.set_random_seed(0)
  model = search_actor.SearchActor(_SIZE, 3, 32, 1)
  model.compile(
    keras.optimizers.Adam(1e-2),
    loss_of_move=loss,
    read_attributes=_read,
    excludes=_EXCLUDES,
  )
  return model


def _batch(rows):
  random = np.random.default_rng(1)
  return {
    "mean": random.normal(size=[rows, _SIZE]).astype(np.float32),
    "scale": np.full([rows, _SIZE], 0.1, np.float32),
    "focus": np.arange(rows) % 3,
  }


class SearchActorTest(tf.test.TestCase):
  def test_it_learns_to_change_what_is_asked_for_and_little_else(self):
    model = _model()
    batches = tf.data.Dataset.from_tensors(_batch(128)).repeat()
    model.fit(batches, steps_per_epoch=300, verbose=0)
    start = _batch(64)["mean"]
    mask = np.tile(np.float32([0, 0, 1]), [64, 1])
    for value in (0.0, 1.0):
      moved = model(start, value * mask, mask)
      right = (_read(moved)[:, 2] > 0.0) == (value > 0.5)
      self.assertGreater(np.mean(right), 0.95)
      change = tf.reduce_mean(tf.square(moved - start), axis=0)
      self.assertAllLess(tf.gather(change, [0, 1, 3]), change[2] / 2)

  def test_it_is_asked_to_switch_one_or_for_several_of_another_row(self):
    asked = []

    def loss(start, moved, values, mask, seeds):
      asked.append((values, mask, _read(start) > 0.0, seeds))
      return _loss(start, moved, values, mask, seeds)

    model, batch = _model(loss), _batch(600)
    model.train_step({k: tf.constant(v) for k, v in batch.items()})
    values, mask, read, seeds = (part.numpy() for part in asked[0])
    self.assertLen(set(seeds), 600)
    rows, focus = np.arange(600), batch["focus"]
    switches = (values[rows, focus] != read[rows, focus]) & (
      mask[rows, focus] > 0
    )
    self.assertBetween(np.mean(switches), 0.75, 0.95)
    # A quarter of the requests are of other rows, a third of these about one.
    self.assertBetween(np.mean(mask.sum(axis=1) != 1), 0.15, 0.5)
    self.assertBetween(np.mean(mask.sum(axis=1) == 0), 0.03, 0.15)
    turned_on = (focus == 0) & (values[:, 0] == 1) & read[:, 1] & switches
    self.assertGreater(turned_on.sum(), 20)
    self.assertGreater(np.mean(mask[turned_on, 1] > values[turned_on, 1]), 0.8)

  def test_an_axis_of_noise_alone_is_neither_moved_nor_read(self):
    random = np.random.default_rng(2)
    mean = random.normal(size=[200, _SIZE]).astype(np.float32)
    mean[:, 3] = 0.0
    rows = latents.Latents(mean, np.ones_like(mean), np.zeros([200, 0]))
    model = search_actor.SearchActor(_SIZE, 3, 16, 1)
    model.whitening.adapt(rows)
    asked = tf.ones([200, 3])
    moved = model(mean, asked, asked)
    change = tf.reduce_max(tf.abs(moved - mean), axis=0)
    self.assertLess(change[3], 0.05)
    self.assertAllGreater(change[:3], 0.2)
    elsewhere = mean + np.float32([0, 0, 0, 5])
    self.assertAllClose(
      model(elsewhere, asked, asked)[:, :3], moved[:, :3], atol=0.05
    )
