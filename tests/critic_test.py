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
