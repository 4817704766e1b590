"""Tests of attribute_critic."""

import numpy as np
import tensorflow as tf

from lc_keras.models import attribute_critic

_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH = 4, 5, 7, 2


def _latents(rows=3):
  return (
    np.random.default_rng(0).normal(size=[rows, _LATENT]).astype(np.float32)
  )


def _critic():
  return attribute_critic.AttributeCritic(_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH)


class AttributeCriticTest(tf.test.TestCase):
  def test_gives_a_logit_per_attribute(self):
    self.assertEqual(_critic()(_latents()).shape, [3, _ATTRIBUTES])

  def test_is_the_published_network(self):
    sizes = [weight.shape for weight in _critic().weights]
    self.assertEqual(sizes, [(4, 7), (7,), (7, 7), (7,), (7, 5), (5,)])

  def test_rows_do_not_mix(self):
    layer, latents = _critic(), _latents(7)
    order = [3, 1, 6, 0, 2, 5, 4]
    self.assertAllClose(layer(latents[order]), tf.gather(layer(latents), order))

  def test_gradients_reach_every_variable_and_the_latents(self):
    layer, latents = _critic(), tf.constant(_latents(7))
    with tf.GradientTape() as tape:
      tape.watch(latents)
      loss = tf.reduce_sum(layer(latents) ** 2)
    for gradient in tape.gradient(loss, [latents, *layer.trainable_variables]):
      self.assertGreater(tf.norm(gradient), 0.0)
      self.assertAllInRange(gradient, -1e6, 1e6)


if __name__ == "__main__":
  tf.test.main()
