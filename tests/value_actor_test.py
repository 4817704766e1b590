"""Tests of value_actor: it minimises its loss, with small other changes."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.data import latents
from lc_keras.models import value_actor

_SIZE, _ROWS = 4, 12


def _read(z):
  """Returns the constraint's logits: on if dimension 0 is positive."""
  return 4.0 * z[:, 0]


def _loss(start, moved, value, seeds):
  del seeds
  wrong = tf.nn.sigmoid_cross_entropy_with_logits(value, _read(moved))
  return wrong + 0.1 * tf.reduce_sum(tf.square(moved - start), axis=-1)


def _model(continuous=False, loss=_loss):
  keras.utils.set_random_seed(0)
  model = value_actor.ValueActor(_SIZE, 16, 1)
  model.compile(
    keras.optimizers.Adam(1e-2),
    loss_of_move=loss,
    read_value=_read,
    continuous=continuous,
    jit_compile=False,
  )
  return model


def _batch(rows=_ROWS):
  random = np.random.default_rng(1)
  return {
    "mean": random.normal(size=[rows, _SIZE]).astype(np.float32),
    "scale": np.full([rows, _SIZE], 0.1, np.float32),
  }


class ValueActorTest(tf.test.TestCase):
  def test_it_learns_to_make_what_is_asked_for_and_little_else(self):
    model = _model()
    batches = tf.data.Dataset.from_tensors(_batch(128)).repeat()
    model.fit(batches, steps_per_epoch=300, verbose=0)
    start = tf.constant(_batch(64)["mean"])
    for value in (0.0, 1.0):
      moved = model(start, tf.fill([64], value))
      right = (_read(moved) > 0.0) == (value > 0.5)
      self.assertGreater(np.mean(right), 0.95)
      change = tf.reduce_mean(tf.square(moved - start), axis=0)
      self.assertAllLess(change[1:], change[0])

  def test_most_rows_are_asked_for_what_they_are_not(self):
    asked = []

    def loss(start, moved, value, seeds):
      asked.append((value, _read(start), seeds))
      return _loss(start, moved, value, seeds)

    model = _model(loss=loss)
    model.optimizer.build(model.trainable_variables)
    for _ in range(40):
      model.train_step({k: tf.constant(v) for k, v in _batch().items()})
    value, read, seeds = (tf.concat(part, axis=0) for part in zip(*asked))
    switched = tf.cast((value > 0.5) != (read > 0.0), tf.float32)
    self.assertAllInRange(tf.reduce_mean(switched), 0.65, 0.85)
    self.assertLen(set(seeds.numpy()), len(seeds))

  def test_of_a_continuous_one_any_value_is_asked_for(self):
    asked = []

    def loss(start, moved, value, seeds):
      asked.append(value)
      return _loss(start, moved, value, seeds)

    _model(True, loss).train_step(
      {k: tf.constant(v) for k, v in _batch(64).items()}
    )
    self.assertAllInRange(asked[0], 0.0, 1.0)
    self.assertLen(set(asked[0].numpy()), 64)

  def test_an_axis_of_noise_alone_is_left_alone(self):
    random = np.random.default_rng(2)
    mean = random.normal(size=[200, _SIZE]).astype(np.float32)
    mean[:, 3] = 0.0
    rows = latents.Latents(mean, np.ones_like(mean), np.zeros([200, 0]))
    model = value_actor.ValueActor(_SIZE, 16, 1)
    model.whitening.adapt(rows)
    moved = model(tf.constant(mean), tf.ones([200]))
    change = tf.reduce_max(tf.abs(moved - mean), axis=0)
    self.assertLess(change[3], 0.05)
    self.assertAllGreater(change[:3], 0.2)
