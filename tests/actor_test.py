"""Tests of actor."""

import numpy as np
import tensorflow as tf

from lc_keras.models import actor
from tests import testing

_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH = 4, 5, 7, 2


def _inputs(rows=3):
  return testing.requests(rows, _LATENT, _ATTRIBUTES)


def _actor():
  return actor.Actor(_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH)


def _set_head(layer, target, raw_gate):
  """Makes what is moved to, and how far, the same for every row."""
  kernel, bias = layer.trunk.layers[-1].get_weights()
  bias[:_LATENT], bias[_LATENT:] = target, raw_gate
  layer.trunk.layers[-1].set_weights([0 * kernel, bias])


class ActorTest(tf.test.TestCase):
  def test_moves_latents_to_latents(self):
    inputs = _inputs()
    moved = _actor()(*inputs)
    self.assertEqual(moved.shape, [3, _LATENT])
    self.assertNotAllClose(moved, inputs[0])

  def test_is_the_published_network(self):
    # y -> width; with z -> depth layers of width -> target and gate.
    sizes = [weight.shape for weight in _actor().weights]
    self.assertEqual(
      sizes, [(10, 7), (7,), (11, 7), (7,), (7, 7), (7,), (7, 8), (8,)]
    )

  def test_the_embedding_is_linear(self):
    embed = _actor().embedding
    one, two = np.concatenate(_inputs()[1:], axis=1)[:2]
    both = embed(np.stack([one, two, one + two]))
    self.assertAllClose(both[0] + both[1], both[2], atol=1e-6)

  def test_a_closed_gate_is_the_identity(self):
    layer, (latents, values, mask) = _actor(), _inputs()
    _set_head(layer, target=9.0, raw_gate=-100.0)
    self.assertAllClose(layer(latents, values, mask), latents)

  def test_an_open_gate_goes_all_the_way(self):
    layer, (latents, values, mask) = _actor(), _inputs()
    _set_head(layer, target=np.arange(4), raw_gate=100.0)
    self.assertAllClose(layer(latents, values, mask), [[0, 1, 2, 3]] * 3)

  def test_a_gate_in_between_mixes(self):
    layer, (latents, values, mask) = _actor(), _inputs()
    gate = np.array([0.25, 0.5, 0.75, 0.9])
    _set_head(layer, target=2.0, raw_gate=np.log(gate / (1 - gate)))
    self.assertAllClose(
      layer(latents, values, mask), (1 - gate) * latents + gate * 2.0, rtol=1e-5
    )

  def test_looks_at_latents_and_attributes(self):
    layer, (latents, values, mask) = _actor(), _inputs()
    _, other, _ = _inputs(6)
    moved = layer(latents, values, mask)
    self.assertNotAllClose(moved, layer(latents, other[3:], mask))
    self.assertNotAllClose(moved, layer(latents[::-1].copy(), values, mask))

  def test_what_is_open_is_not_looked_at(self):
    layer, (latents, values, mask) = _actor(), _inputs()
    mask[:, 1:3] = 0.0
    other = values.copy()
    other[:, 1:3] = 1.0 - values[:, 1:3]
    moved = layer(latents, values, mask)
    self.assertAllEqual(moved, layer(latents, other, mask))
    # Open is not the same as wanted to be off.
    values[:, 1:3] = 0.0
    self.assertNotAllClose(moved, layer(latents, values, np.ones_like(mask)))

  def test_rows_do_not_mix(self):
    layer, (latents, values, mask) = _actor(), _inputs(7)
    order = [3, 1, 6, 0, 2, 5, 4]
    self.assertAllClose(
      layer(latents[order], values[order], mask[order]),
      tf.gather(layer(latents, values, mask), order),
    )

  def test_gradients_reach_every_variable(self):
    layer, (latents, values, mask) = _actor(), _inputs(7)
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(layer(latents, values, mask) ** 2)
    for variable, gradient in zip(
      layer.trainable_variables, tape.gradient(loss, layer.trainable_variables)
    ):
      self.assertGreater(tf.norm(gradient), 0.0, variable.path)
      self.assertAllInRange(gradient, -1e6, 1e6)

  def test_is_built_from_the_start(self):
    layer = _actor()
    self.assertTrue(layer.built)
    self.assertLen(layer.trainable_variables, 2 * (1 + _DEPTH + 1))


if __name__ == "__main__":
  tf.test.main()
