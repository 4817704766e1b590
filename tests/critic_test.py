"""Tests of critic."""

import numpy as np
import tensorflow as tf

from lc_keras.models import critic
from tests import testing

_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH = 4, 5, 7, 2


def _inputs(rows=3):
  return testing.requests(rows, _LATENT, _ATTRIBUTES)


def _critic():
  return critic.Critic(_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH)


class CriticTest(tf.test.TestCase):
  def test_is_the_trunk_after_the_embedding(self):
    # As published: z and the embedding, concatenated. Few rows are computed in
    # another way than many.
    for rows in (3, 20):
      layer, (latents, values, mask) = _critic(), _inputs(rows)
      mask[:, 1] = 0.0
      for network in (layer.embedding, layer.trunk):
        network.set_weights([w + 0.1 for w in network.get_weights()])
      embedded = layer.embedding(np.concatenate([values * mask, mask], 1))
      expected = layer.trunk(tf.concat([latents, embedded], axis=1))[:, 0]
      self.assertAllClose(layer(latents, values, mask), expected, atol=1e-5)
      judge = layer.under(values, mask)
      self.assertAllClose(judge(latents), expected, atol=1e-5)

  def test_compares_as_if_asked_one_after_the_other(self):
    layer, (real, own, mask) = _critic(), _inputs(12)
    fake, fake_labels, wrong = real[::-1] + 1.0, own[::-1], 1.0 - own
    mix = np.linspace(0, 1, 12, dtype=np.float32)[:, np.newaxis]
    *logits, slopes = layer.compare(
      real, fake, mix, own, fake_labels, wrong, mask
    )
    for given, (latents, labels) in zip(
      logits, [(real, own), (fake, fake_labels), (real, wrong)]
    ):
      self.assertAllClose(given, layer(latents, labels, mask), atol=1e-5)
    between = tf.constant(mix * real + (1 - mix) * fake)
    with tf.GradientTape() as tape:
      tape.watch(between)
      logits = layer(between, fake_labels, mask)
    self.assertAllClose(slopes, tape.gradient(logits, between), atol=1e-5)

  def test_a_penalty_of_slopes_has_the_gradient_of_a_tape_in_a_tape(self):
    layer, (real, labels, mask) = _critic(), _inputs(12)
    layer.trunk.set_weights([w + 0.1 for w in layer.trunk.get_weights()])
    fake, mix = real + 1.0, np.full([12, 1], 0.25, np.float32)
    weights = [weight.value for weight in layer.trainable_variables]
    with tf.GradientTape() as outer:
      between = tf.constant(mix * real + (1 - mix) * fake)
      with tf.GradientTape() as inner:
        inner.watch(between)
        logits = layer(between, labels, mask)
      slopes = inner.gradient(logits, between)
      value = tf.reduce_sum(tf.norm(slopes, axis=1) ** 3)
    expected = outer.gradient(value, weights, unconnected_gradients="zero")
    with tf.GradientTape() as tape:
      *_, slopes = layer.compare(real, fake, mix, *[labels] * 3, mask)
      value = tf.reduce_sum(tf.norm(slopes, axis=1) ** 3)
    found = tape.gradient(value, weights, unconnected_gradients="zero")
    self.assertGreater(tf.norm(expected[2]), 0.0)
    for one, other in zip(found, expected):
      self.assertAllClose(one, other, rtol=1e-4, atol=1e-5)
