"""Tests of the losses of actor and critic, and of their rows."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import recipes
from lc_keras.models import actor_critic
from lc_keras.models import actor_requests
from tests import testing
from tests import tiny_actor_critic as tiny


class ActorLossTest(tf.test.TestCase):
  def test_is_the_weighted_sum_of_its_terms(self):
    weights = {name: 0.5 + i for i, name in enumerate(actor_critic.TERMS)}
    model = tiny.build(**{f"{name}_weight": w for name, w in weights.items()})
    logs = tiny.evaluate(model, lessons=tiny.some_lessons(moved=0.5))
    self.assertAllClose(
      logs["actor_loss"], sum(w * logs[name] for name, w in weights.items())
    )

  def test_open_attributes_of_a_real_row_have_to_stay(self):
    rows = {name: value[:, 0] for name, value in tiny.batch().items()}
    prior, real = actor_requests.requests(
      rows,
      recipes.Actor(masked_fraction=1.0),
      tf.zeros([tiny.NUM_ATTRIBUTES] * 2),
      tf.identity,
      [(0, stream) for stream in range(8)],
    )
    # For prior samples, only the requested attributes are read.
    self.assertAllEqual(prior.read, prior.mask)
    self.assertLess(tf.reduce_mean(prior.mask), 1.0)
    self.assertAllEqual(real.read, tf.ones_like(real.read))
    open_ = real.mask == 0.0
    self.assertAllEqual(real.values[open_], rows["attributes"][open_])

  def test_lessons_say_where_a_row_belongs(self):
    model = tiny.build(imitation_weight=2.0, attribute_weight=0.0)
    tiny.zero_critic(model)
    tiny.set_heads(model, target=0.0, raw_gate=-100.0)  # The identity.
    rows = {name: value[:, 0] for name, value in tiny.batch().items()}
    logs = model.test_step({**rows, "lessons": tiny.some_lessons(moved=0.5)})
    self.assertAllClose(logs["imitation"], 0.25)
    # The distance is measured from there, too, not from the start.
    self.assertAllClose(logs["distance"], np.log(1.25) / 0.5**2, rtol=1e-5)
    self.assertAllClose(
      logs["actor_loss"],
      np.log(2.0) + 0.1 * logs["distance"] + 2.0 * 0.25,
      rtol=1e-5,
    )

  def test_what_is_to_be_kept_costs_if_it_changes(self):
    distances = {}
    for gate in (-100.0, 100.0):
      model = tiny.build(same_weight=3.0, embed=lambda latents: latents[:, :2])
      tiny.set_heads(model, target=9.0, raw_gate=gate)
      distances[gate] = tiny.evaluate(model)["same"]
    self.assertAllClose(distances[-100.0], 0.0)
    self.assertGreater(distances[100.0], 9.0)


class CriticLossTest(tf.test.TestCase, parameterized.TestCase):
  def _loss(self, labels, masked_fraction=0.0, **draws):
    """Returns the flat critic's loss: log 2 for each term that is included."""
    still = [keras.optimizers.SGD(0.0) for _ in range(2)]
    model = tiny.build(
      *still, penalty_weight=0.0, masked_fraction=masked_fraction
    )
    tiny.zero_critic(model)
    batch = dict(tiny.batch())
    batch["focus"] = tf.zeros_like(batch["focus"])
    batch["attributes"] = tf.broadcast_to(labels, batch["attributes"].shape)
    with testing.draws(**draws):
      return float(model.train_step(batch)["critic_loss"])

  def test_has_three_blocks(self):
    labels = np.zeros([7, 1, tiny.NUM_ATTRIBUTES], np.float32)
    labels[::2, :, 4] = 1  # Neighbours differ, except the last and the first.
    labels[0, :, 3] = 1
    self.assertAllClose(self._loss(labels, uniform=0.0), 3 * np.log(2.0))

  def test_wrong_labels_that_are_right_are_left_out(self):
    # Wrong labels are those of another row; here all rows have the same ones.
    labels = np.array([0, 0, 1, 0, 1], np.float32)
    self.assertAllClose(self._loss(labels, uniform=0.0), 2 * np.log(2.0))

  def test_wrong_labels_that_differ_in_what_is_open_are_left_out(self):
    # Requests are for the focus only, in which no row differs from another.
    labels = np.zeros([7, 1, tiny.NUM_ATTRIBUTES], np.float32)
    labels[::2, :, 4] = 1
    loss = self._loss(labels, masked_fraction=1.0, uniform=0.0)
    self.assertAllClose(loss, 2 * np.log(2.0))

  def test_the_penalty_is_taken_between_real_and_fake(self):
    # The paper's code takes the penalty between two real rows.
    model = tiny.build(prior_fraction=1.0)
    batch = dict(tiny.batch())
    row = tf.range(1.0, 8.0)[:, tf.newaxis, tf.newaxis]
    batch["mean"] = tf.broadcast_to(row, batch["mean"].shape)
    batch["scale"] = tf.zeros_like(batch["scale"])
    taken = []

    compare = model.critic.compare

    def spy(real, fake, mix, *labels):
      taken.append(np.array(mix * real + (1.0 - mix) * fake))
      return compare(real, fake, mix, *labels)

    with (
      testing.draws(normal=-1.0),
      mock.patch.object(model.critic, "compare", spy),
    ):
      model.train_step(batch)
    self.assertLen(taken, tiny.TURNS - 1)
    for points in taken:
      # Real row i is i in every dimension, every fake is -1.
      share = (points + 1) / (np.arange(1, 8)[:, np.newaxis] + 1)
      self.assertAllInRange(share, 0.0, 1.0)
      # One share for each row: points on the line, not in the box.
      self.assertAllClose(
        share, np.repeat(share[:, :1], tiny.LATENT_SIZE, axis=1)
      )
      self.assertGreater(np.ptp(share[:, 0]), 0.1)
    self.assertNotAllClose(taken[0], taken[1])
