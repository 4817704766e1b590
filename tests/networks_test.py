"""Tests of the networks of models, and of their common properties."""

import math

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import actor
from lc_keras.models import attribute_critic
from lc_keras.models import critic
from lc_keras.models import discriminator
from lc_keras.models import distilled_actor
from lc_keras.models import velocity
from lc_keras.models import whitening
from tests import testing

_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH = 4, 5, 7, 2
_SIZES = (_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH)
_SHAPE = (8, 16, 1)


def _distilled():
  return distilled_actor.DistilledActor(
    *_SIZES, whitening.Whitening(_LATENT, name="whitening")
  )


_REQUESTED = {
  "actor": lambda: actor.Actor(*_SIZES),
  "critic": lambda: critic.Critic(*_SIZES),
  "distilled_actor": _distilled,
  "velocity": lambda: velocity.Velocity(*_SIZES),
}
_NETWORKS = {
  **_REQUESTED,
  "attribute_critic": lambda: attribute_critic.AttributeCritic(*_SIZES),
  "discriminator": lambda: discriminator.Discriminator(
    _SHAPE, _ATTRIBUTES, "mlp_small"
  ),
}


def _make(name):
  """Returns a network without zero weights."""
  keras.utils.set_random_seed(0)
  network, random = _NETWORKS[name](), np.random.default_rng(0)
  for weight in network.trainable_variables:
    weight.assign_add(0.1 * random.normal(size=weight.shape))
  return network


def _inputs(name, rows=7):
  """Returns the inputs of a network; the mask, if any, is last."""
  latents, values, mask = testing.requests(rows, _LATENT, _ATTRIBUTES)
  random = np.random.default_rng(1)
  if name == "attribute_critic":
    return [latents]
  if name == "discriminator":
    return [random.random([rows, *_SHAPE]).astype(np.float32), values]
  angles = random.uniform(0.0, math.pi / 2, rows).astype(np.float32)
  return [latents, *[angles] * (name == "velocity"), values, mask]


class PublishedInputsTest(tf.test.TestCase):
  def test_without_a_mask_it_is_latents_and_values(self):
    latents, values, _ = testing.requests(7, 1024, 10)
    everything = np.ones([7, 10], np.float32)
    for kind in (actor.Actor, critic.Critic):
      network = kind(1024, 10, 8, 1, masked=False)
      (embedding,) = network.embedding.layers
      self.assertEqual(latents.shape[1] + embedding.kernel.shape[0], 1034)
      # An open attribute has the value 1/2.
      half = np.where(np.arange(10) == 3, 0.5, values).astype(np.float32)
      is_open = np.where(np.arange(10) == 3, 0.0, everything)
      self.assertAllClose(
        network(latents, values, is_open.astype(np.float32)),
        network(latents, half, everything),
      )


class NetworksTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(*_NETWORKS)
  def test_gradients_reach_every_variable_and_the_input(self, name):
    network, (first, *others) = _make(name), _inputs(name)
    first = tf.constant(first)
    with tf.GradientTape() as tape:
      tape.watch(first)
      loss = tf.reduce_sum(network(first, *others) ** 2)
    sources = [first, *network.trainable_variables]
    for gradient in tape.gradient(loss, sources):
      self.assertGreater(tf.norm(gradient), 0.0)
      self.assertAllInRange(gradient, -1e6, 1e6)

  @parameterized.parameters(*_NETWORKS)
  def test_looks_at_every_input(self, name):
    network, inputs = _make(name), _inputs(name)
    before = network(*inputs)
    for place, value in enumerate(inputs):
      changed = [*inputs]
      changed[place] = 0.5 * value + 0.2
      self.assertNotAllClose(network(*changed), before)

  @parameterized.parameters(*_REQUESTED)
  def test_does_not_look_at_values_that_are_open(self, name):
    network, (*latents, values, mask) = _make(name), _inputs(name)
    mask[:, 1:3] = 0.0
    made = network(*latents, values, mask)
    other = np.where(mask > 0.0, values, 1.0 - values)
    self.assertAllEqual(network(*latents, other, mask), made)
    # Open is not the same as off.
    off = np.where(mask > 0.0, values, 0.0)
    self.assertNotAllClose(network(*latents, off, np.ones_like(mask)), made)

  @parameterized.named_parameters(
    ("actor", "actor", [(10, 7), (7,), (11, 7), (7,), (7, 7), (7,)], 8),
    ("critic", "critic", [(10, 7), (7,), (11, 7), (7,), (7, 7), (7,)], 1),
    ("attribute_critic", "attribute_critic", [(4, 7), (7,), (7, 7), (7,)], 5),
  )
  def test_is_the_published_network(self, name, sizes, outputs):
    found = [weight.shape for weight in _make(name).weights]
    self.assertEqual(found, [*sizes, (7, outputs), (outputs,)])


class ActorTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters((-100.0, 0.0), (0.0, 0.5), (100.0, 1.0))
  def test_the_gate_mixes_start_and_target(self, raw_gate, share):
    layer, (latents, values, mask) = _make("actor"), _inputs("actor")
    kernel, bias = layer.trunk.layers[-1].get_weights()
    bias[:_LATENT], bias[_LATENT:] = 3.0, raw_gate
    layer.trunk.layers[-1].set_weights([0 * kernel, bias])
    expected = (1.0 - share) * latents + share * 3.0
    self.assertAllClose(layer(latents, values, mask), expected)

  def test_the_embedding_is_linear(self):
    (layer,) = _make("actor").embedding.layers
    self.assertEqual(layer.activation.__name__, "linear")


class DiscriminatorTest(tf.test.TestCase):
  def test_an_attribute_counts_for_or_against(self):
    evidence = tf.constant([[0.5, 1.0, 10.0, 100.0, 1000.0, 10000.0]])
    for labels, logit in (
      ([1, 1, 1, 1, 1], 11111.5),
      ([0, 0, 0, 0, 0], -11110.5),
      ([1, 0, 0, 0, 0], -11108.5),
      ([1, 0.5, 0.5, 0.5, 0.5], 1.5),  # Values of 1/2 have no effect.
    ):
      judged = _make("discriminator").judge(
        evidence, tf.constant([labels], tf.float32)
      )
      self.assertAllClose(judged, [logit])

  def test_without_attributes_it_judges_images_alone(self):
    model = discriminator.Discriminator(_SHAPE, 0, "mlp_small")
    images, _ = _inputs("discriminator", 3)
    logits = model(images, tf.zeros([3, 0]))
    self.assertAllEqual(logits, model.evidence(images)[:, 0])


class VelocityTest(tf.test.TestCase):
  def test_a_fresh_network_stands_still(self):
    fresh = velocity.Velocity(*_SIZES)
    self.assertAllEqual(fresh(*_inputs("velocity")), np.zeros([7, _LATENT]))
