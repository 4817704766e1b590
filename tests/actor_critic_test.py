"""Tests of actor_critic: steps, the average, several replicas."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import actor_critic
from lc_keras.models import attribute_critic
from lc_keras.models import flow_matching
from tests import testing
from tests import tiny_actor_critic as tiny


class TrainStepTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters({}, {"real_weight": 0.0, "wrong_weight": 0.0})
  def test_updates_the_critic_in_all_turns_but_the_last(self, **options):
    model = tiny.build(**options)
    logs = model.train_step(tiny.batch())
    self.assertAllInRange([float(value) for value in logs.values()], 0.0, 1e3)
    self.assertEqual(int(model.critic_optimizer.iterations), tiny.TURNS - 1)
    self.assertEqual(int(model.optimizer.iterations), 1)

  def test_the_attribute_critic_stays_frozen_and_outside(self):
    frozen = attribute_critic.AttributeCritic(
      tiny.LATENT_SIZE, tiny.NUM_ATTRIBUTES, 8, 2
    )
    model = tiny.build(read_attributes=frozen)
    before = frozen.get_weights()
    weights = len(
      actor_critic.ActorCritic(
        tiny.LATENT_SIZE, tiny.NUM_ATTRIBUTES, 8, 2
      ).weights
    )
    model.train_step(tiny.batch())
    for old, new in zip(before, frozen.get_weights()):
      self.assertAllEqual(old, new)
    self.assertLen(model.weights, weights)

  def test_teaches_the_actor_the_request(self):
    model = tiny.build(
      keras.optimizers.Adam(3e-2), distance_weight=0.0, average_decay=0.9
    )
    before = tiny.evaluate(model)["attribute"]
    # The last turn is the actor's; this batch has no other.
    batch = {name: value[:, :1] for name, value in tiny.batch(32).items()}
    step = tf.function(model.train_step, autograph=False)
    for _ in range(30):
      step(batch)
    self.assertLess(tiny.evaluate(model)["attribute"], 0.7 * before)


class StartsTest(tf.test.TestCase):
  def test_imitates_a_flow_from_the_start(self):
    rows = tiny.some_rows(400)
    flow = flow_matching.FlowMatching(
      tiny.LATENT_SIZE, tiny.NUM_ATTRIBUTES, 6, 1
    )
    flow.whitening.adapt(rows)
    model = actor_critic.ActorCritic(
      tiny.LATENT_SIZE,
      tiny.NUM_ATTRIBUTES,
      8,
      2,
      flow_sizes=(6, 1),
      strides=2,
    )
    model.imitate(flow)
    prior = np.random.default_rng(0).normal(size=[9, tiny.LATENT_SIZE])
    prior = prior.astype(np.float32)
    noise = flow.whitening.noise(prior)
    self.assertAllClose(
      model.starts(prior), flow.whitening.undo(noise), atol=1e-5
    )
    for network in (model.actor, model.trained_actor):
      for weight, own in zip(network.network.weights, flow.velocity.weights):
        self.assertAllEqual(weight, own)


class ReplicasTest(tf.test.TestCase):
  def test_two_replicas_validate_like_one(self):
    def make():
      model = tiny.build()
      # Independent of the row's position.
      tiny.set_heads(model, target=1.0, raw_gate=0.0)
      return model

    rows = tiny.some_rows(16, scale=0.0)
    with testing.draws(normal=0.3, uniform=0.5):
      one = tiny.evaluate(make(), rows, 8)
      with testing.two_replica_strategy().scope():
        model = make()
      model.run_eagerly = False
      two = tiny.evaluate(model, rows, 8)
    self.assertAllClose(one, two, rtol=1e-5)
