"""Tests of actor_critic: steps, the average, several replicas."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.data import latent_batches
from lc_keras.models import actor_critic
from lc_keras.models import attribute_critic
from lc_keras.models import flow_matching
from tests import testing
from tests import tiny_actor_critic

# Before anything starts TensorFlow.
testing.two_logical_cpus()


class TrainStepTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(
    {},
    {"real_weight": 0.0},
    {"distance_weight": 0.0},
    {"attribute_weight": 0.0},
    {"prior_fraction": 0.5},
    {"wrong_weight": 0.0},
    {"masked_fraction": 0.0},
  )
  def test_reaches_every_trained_variable(self, **options):
    model = tiny_actor_critic.build(**options)
    trained = [
      *model.trained_actor.trainable_variables,
      *model.critic.trainable_variables,
    ]
    before = [variable.numpy() for variable in trained]
    logs = model.train_step(tiny_actor_critic.batch())
    for old, variable in zip(before, trained):
      self.assertNotAllEqual(old, variable, variable.path)
      self.assertAllInRange(variable, -1e3, 1e3)
    self.assertAllInRange([float(value) for value in logs.values()], 0.0, 1e3)

  def test_updates_the_critic_in_all_turns_but_the_last(self):
    model = tiny_actor_critic.build()
    model.train_step(tiny_actor_critic.batch())
    self.assertEqual(
      int(model.critic_optimizer.iterations), tiny_actor_critic.TURNS - 1
    )
    self.assertEqual(int(model.optimizer.iterations), 1)

  def test_each_optimiser_has_its_own_network(self):
    still = keras.optimizers.SGD(0.0)
    model = tiny_actor_critic.build(actor_optimizer=still)
    before = model.trained_actor.get_weights(), model.critic.get_weights()
    model.train_step(tiny_actor_critic.batch())
    for old, new in zip(before[0], model.trained_actor.get_weights()):
      self.assertAllEqual(old, new)
    self.assertNotAllEqual(before[1][0], model.critic.get_weights()[0])

    model = tiny_actor_critic.build(critic_optimizer=keras.optimizers.SGD(0.0))
    before = model.trained_actor.get_weights(), model.critic.get_weights()
    model.train_step(tiny_actor_critic.batch())
    self.assertNotAllEqual(before[0][0], model.trained_actor.get_weights()[0])
    for old, new in zip(before[1], model.critic.get_weights()):
      self.assertAllEqual(old, new)

  def test_optimisers_are_built_before_the_first_step(self):
    # Under two replicas, a step cannot build them.
    model = tiny_actor_critic.build(
      keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    )
    trained = len(model.trained_actor.trainable_variables)
    self.assertGreaterEqual(len(model.optimizer.variables), 2 * trained)
    judged = len(model.critic.trainable_variables)
    self.assertGreaterEqual(len(model.critic_optimizer.variables), 2 * judged)

  def test_the_attribute_critic_stays_frozen_and_outside(self):
    frozen = attribute_critic.AttributeCritic(
      tiny_actor_critic.LATENT_SIZE, tiny_actor_critic.NUM_ATTRIBUTES, 8, 2
    )
    model = tiny_actor_critic.build(read_attributes=frozen)
    before = frozen.get_weights()
    weights = len(
      actor_critic.ActorCritic(
        tiny_actor_critic.LATENT_SIZE, tiny_actor_critic.NUM_ATTRIBUTES, 8, 2
      ).weights
    )
    model.train_step(tiny_actor_critic.batch())
    for old, new in zip(before, frozen.get_weights()):
      self.assertAllEqual(old, new)
    self.assertLen(model.weights, weights)

  def test_fit_draws_afresh_every_step_and_validation_does_not(self):
    still = [keras.optimizers.SGD(0.0) for _ in range(2)]
    model = tiny_actor_critic.build(*still)
    data = tf.data.Dataset.from_tensors(tiny_actor_critic.batch())
    history = model.fit(
      data,
      validation_data=latent_batches.in_order(tiny_actor_critic.some_rows(), 7),
      epochs=3,
      verbose=0,
    ).history
    for name in ("critic_loss", "penalty", "actor_loss", "distance"):
      self.assertLen(set(history[name]), 3, name)
    for name in ("actor_loss", "realism", "distance", "attribute_loss"):
      # The average of equal weights may differ from them in the last bit.
      values = np.round(history[f"val_{name}"], 5)
      self.assertLen(set(values), 1, name)

  def test_is_determined_by_the_step(self):
    first, second = tiny_actor_critic.build(), tiny_actor_critic.build()
    for model in (first, second):
      model.train_step(tiny_actor_critic.batch())
      model.train_step(tiny_actor_critic.batch(seed=1))
    for one, two in zip(first.get_weights(), second.get_weights()):
      self.assertAllEqual(one, two)

  def test_teaches_the_actor_what_is_asked(self):
    model = tiny_actor_critic.build(
      keras.optimizers.Adam(1e-2, 0.0, 0.9),
      keras.optimizers.Adam(1e-3, 0.0, 0.9),
      distance_weight=0.0,
      average_decay=0.9,
    )
    before = tiny_actor_critic.evaluate(model)["attribute_loss"]
    model.fit(
      latent_batches.at_random(tiny_actor_critic.some_rows(), 32, turns=2),
      steps_per_epoch=100,
      verbose=0,
    )
    self.assertLess(
      tiny_actor_critic.evaluate(model)["attribute_loss"], 0.7 * before
    )


class AverageTest(tf.test.TestCase):
  def test_starts_as_the_trained_actor_and_is_not_trained(self):
    model = tiny_actor_critic.build()
    for mean, trained in zip(model.actor.weights, model.trained_actor.weights):
      self.assertAllEqual(mean, trained)
    self.assertEmpty(model.actor.trainable_variables)

  def test_without_decay_is_the_trained_actor(self):
    model = tiny_actor_critic.build(average_decay=0.0)
    for seed in range(3):
      model.train_step(tiny_actor_critic.batch(seed=seed))
    for mean, trained in zip(model.actor.weights, model.trained_actor.weights):
      self.assertAllEqual(mean, trained)

  def test_follows_the_trained_actor(self):
    model = tiny_actor_critic.build(average_decay=0.9)
    start = model.actor.get_weights()[0]
    model.train_step(tiny_actor_critic.batch())
    first = model.actor.get_weights()[0]
    trained = model.trained_actor.get_weights()[0]
    # Between where it was and what it follows, at one share for all.
    moved = np.abs(trained - start) > 1e-4 * np.ptp(trained)
    share = (first - start)[moved] / (trained - start)[moved]
    self.assertAllInRange(share, 0.05, 1.0 + 1e-3)
    self.assertAllClose(share, np.full_like(share, share[0]), atol=1e-2)
    model.optimizer.learning_rate = 0.0
    model.fit(
      tf.data.Dataset.from_tensors(tiny_actor_critic.batch()).repeat(60),
      verbose=0,
    )
    self.assertAllClose(
      model.actor.get_weights()[0], trained, atol=0.05 * np.ptp(trained - start)
    )

  def test_is_what_is_called_and_validated(self):
    model = tiny_actor_critic.build()
    tiny_actor_critic.set_heads(
      model, target=0.0, raw_gate=-100.0
    )  # The identity.
    model.trained_actor.set_weights(
      [weight + 1.0 for weight in model.trained_actor.get_weights()]
    )
    batch = tiny_actor_critic.batch()
    labels = batch["attributes"][:, 0]
    moved = model(batch["mean"][:, 0], labels, tf.ones_like(labels))
    self.assertAllClose(moved, batch["mean"][:, 0])
    self.assertAllClose(tiny_actor_critic.evaluate(model)["distance"], 0.0)


class BeginTest(tf.test.TestCase):
  def test_imitates_a_flow_from_the_start(self):
    rows = tiny_actor_critic.some_rows(400)
    flow = flow_matching.FlowMatching(
      tiny_actor_critic.LATENT_SIZE, tiny_actor_critic.NUM_ATTRIBUTES, 6, 1
    )
    flow.whitening.adapt(rows)
    model = actor_critic.ActorCritic(
      tiny_actor_critic.LATENT_SIZE,
      tiny_actor_critic.NUM_ATTRIBUTES,
      8,
      2,
      flow_sizes=(6, 1),
    )
    model.imitate(flow)
    prior = np.random.default_rng(0).normal(
      size=[9, tiny_actor_critic.LATENT_SIZE]
    )
    prior = prior.astype(np.float32)
    noise = flow.whitening.noise(prior)
    self.assertAllClose(
      model.begin(prior), flow.whitening.undo(noise), atol=1e-5
    )
    for network in (model.actor, model.trained_actor):
      for weight, own in zip(network.network.weights, flow.velocity.weights):
        self.assertAllEqual(weight, own)

  def test_prior_samples_begin_with_the_moments_of_the_rows(self):
    model, rows = tiny_actor_critic.build(), tiny_actor_critic.some_rows(400)
    prior = np.random.default_rng(0).normal(
      size=[5000, tiny_actor_critic.LATENT_SIZE]
    )
    prior = prior.astype(np.float32)
    self.assertAllClose(model.begin(prior), prior)
    model.whitening.adapt(rows)
    begun = model.begin(prior).numpy()
    self.assertAllClose(begun.mean(0), rows.mean.mean(0), atol=0.1)
    covariance = np.cov(rows.mean.T) + np.diag((rows.scale**2).mean(0))
    self.assertAllClose(np.cov(begun.T), covariance, atol=0.1)


class ReplicasTest(tf.test.TestCase):
  def test_two_replicas_make_the_update_of_one(self):
    # Replicas draw their own noise, and a "wrong" label may be a neighbour's:
    # make all draws the same, and neighbours of no account.
    batch = {
      name: value.numpy() for name, value in tiny_actor_critic.batch(16).items()
    }
    with tiny_actor_critic.draws(normal=0.3, uniform=0.5):
      one = testing.weights_after_one_step(tiny_actor_critic.build, batch)
      two = testing.weights_after_one_step(
        tiny_actor_critic.build, batch, testing.two_replica_strategy()
      )
    for weight, first, second in zip(
      tiny_actor_critic.build().weights, one, two
    ):
      self.assertAllClose(first, second, atol=1e-6)
      if not weight.path.startswith("whitening"):
        self.assertNotAllClose(first, weight, atol=1e-5)

  def test_two_replicas_validate_like_one(self):
    def make():
      model = tiny_actor_critic.build()
      # The same for a row wherever it stands.
      tiny_actor_critic.set_heads(model, target=1.0, raw_gate=0.0)
      return model

    rows = tiny_actor_critic.some_rows(16, scale=0.0)
    with tiny_actor_critic.draws(normal=0.3, uniform=0.5):
      one = tiny_actor_critic.evaluate(make(), rows, 8)
      with testing.two_replica_strategy().scope():
        model = make()
      two = tiny_actor_critic.evaluate(model, rows, 8)
    self.assertAllClose(one, two, rtol=1e-5)


if __name__ == "__main__":
  tf.test.main()
