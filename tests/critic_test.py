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
  def test_gives_one_logit_a_row(self):
    self.assertEqual(_critic()(*_inputs()).shape, [3])
    self.assertEqual(_critic()(*_inputs(1)).shape, [1])

  def test_is_the_published_network(self):
    sizes = [weight.shape for weight in _critic().weights]
    self.assertEqual(
      sizes, [(10, 7), (7,), (11, 7), (7,), (7, 7), (7,), (7, 1), (1,)]
    )

  def test_gives_logits_of_both_signs(self):
    logits = _critic()(*_inputs(200))
    self.assertGreater(np.ptp(logits), 0.1)
    kernel_and_bias = _critic().trunk.layers[-1].get_weights()
    self.assertAllEqual(kernel_and_bias[1], [0.0])

  def test_looks_at_latents_and_attributes(self):
    layer, (latents, values, mask) = _critic(), _inputs()
    _, other, _ = _inputs(6)
    logits = layer(latents, values, mask)
    self.assertNotAllClose(logits, layer(latents, other[3:], mask))
    self.assertNotAllClose(logits, layer(latents + 1.0, values, mask))

  def test_what_is_open_is_not_looked_at(self):
    layer, (latents, values, mask) = _critic(), _inputs()
    mask[:, 1:3] = 0.0
    other = values.copy()
    other[:, 1:3] = 1.0 - values[:, 1:3]
    logits = layer(latents, values, mask)
    self.assertAllEqual(logits, layer(latents, other, mask))
    # Open is not the same as wanted to be off.
    values[:, 1:3] = 0.0
    self.assertNotAllClose(logits, layer(latents, values, np.ones_like(mask)))

  def test_rows_do_not_mix(self):
    layer, (latents, values, mask) = _critic(), _inputs(7)
    order = [3, 1, 6, 0, 2, 5, 4]
    self.assertAllClose(
      layer(latents[order], values[order], mask[order]),
      tf.gather(layer(latents, values, mask), order),
    )

  def test_is_the_trunk_after_the_embedding(self):
    # As published: z and the embedding side by side. Few rows and many are not
    # computed alike.
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
    fake, wanted, wrong = real[::-1] + 1.0, own[::-1], 1.0 - own
    mix = np.linspace(0, 1, 12, dtype=np.float32)[:, np.newaxis]
    *logits, slopes = layer.compare(real, fake, mix, own, wanted, wrong, mask)
    for given, (latents, labels) in zip(
      logits, [(real, own), (fake, wanted), (real, wrong)]
    ):
      self.assertAllClose(given, layer(latents, labels, mask), atol=1e-5)
    between = tf.constant(mix * real + (1 - mix) * fake)
    with tf.GradientTape() as tape:
      tape.watch(between)
      logits = layer(between, wanted, mask)
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

  def test_gradients_reach_every_variable_and_the_latents(self):
    layer, (latents, values, mask) = _critic(), _inputs(7)
    latents = tf.constant(latents)
    with tf.GradientTape() as tape:
      tape.watch(latents)
      loss = tf.reduce_sum(layer(latents, values, mask) ** 2)
    sources = [latents, *layer.trainable_variables]
    for gradient in tape.gradient(loss, sources):
      self.assertGreater(tf.norm(gradient), 0.0)
      self.assertAllInRange(gradient, -1e6, 1e6)


if __name__ == "__main__":
  tf.test.main()
