"""Tests of batches of latents: a resumed run gets the same ones."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.data import latent_batches
from lc_keras.data import latents
from tests import numbered_latents


class InOrderTest(tf.test.TestCase):
  def test_is_one_pass_in_order_with_the_remainder(self):
    rows = numbered_latents.make(7)
    batches = list(latent_batches.in_order(rows, 3))
    self.assertEqual([len(batch["mean"]) for batch in batches], [3, 3, 1])
    for name in latents.COLUMNS:
      joined = np.concatenate([batch[name] for batch in batches])
      self.assertAllEqual(joined, getattr(rows, name))
    focus = np.concatenate([batch["focus"] for batch in batches])
    self.assertAllEqual(focus, [0, 1, 2, 3, 4, 0, 1])


class AtRandomTest(tf.test.TestCase, parameterized.TestCase):
  def _take(self, count, rows=None, batch_size=3, **options):
    rows = numbered_latents.make(50) if rows is None else rows
    batches = latent_batches.at_random(rows, batch_size, **options)
    return list(batches.take(count).as_numpy_iterator())

  def test_a_batch_is_rows_of_the_split(self):
    rows = numbered_latents.make(50)
    for batch in self._take(4, rows):
      index = batch["mean"][:, 0].astype(int)
      for name in latents.COLUMNS:
        self.assertAllEqual(batch[name], getattr(rows, name)[index])
      self.assertAllInRange(batch["focus"], 0, 4)

  def test_turns_are_the_second_dimension(self):
    rows = numbered_latents.make(50)
    dataset = latent_batches.at_random(rows, 3, turns=6)
    (batch,) = dataset.take(1)
    for name, size in (
      ("mean", [4]),
      ("scale", [4]),
      ("attributes", [5]),
      ("focus", []),
    ):
      self.assertEqual(batch[name].shape, [3, 6, *size])
      self.assertEqual(dataset.element_spec[name].shape, [3, 6, *size])
    index = batch["mean"].numpy()[..., 0].astype(int)
    self.assertAllEqual(batch["attributes"], rows.attributes[index])
    self.assertGreater(len(np.unique(index)), 10)

  @parameterized.parameters({}, {"turns": 2, "balanced_fraction": 0.5})
  def test_seed_and_step_alone_decide(self, **options):
    whole, again, other = (
      self._take(7, seed=seed, **options) for seed in (1, 1, 2)
    )
    late = self._take(3, seed=1, start_step=4, **options)
    for one, two in zip(whole + whole[4:], again + late, strict=True):
      for name in one:
        self.assertAllEqual(one[name], two[name])
    means = {batch["mean"].tobytes() for batch in whole + other}
    self.assertLen(means, 14)
    # (seed 0, step 1) must not be (seed 1, step 0).
    (shifted,) = self._take(1, start_step=1, **options)
    self.assertNotAllClose(shifted["mean"], whole[0]["mean"])

  def test_evenly_is_evenly(self):
    rows = numbered_latents.make(20)
    drawn = np.concatenate([b["mean"][:, 0] for b in self._take(400, rows, 20)])
    counts = np.bincount(drawn.astype(int), minlength=20)
    self.assertAllInRange(counts / 400, 0.7, 1.3)

  def test_balancing_makes_rare_values_as_frequent(self):
    # 3 of 100 rows have attribute 0, and 97 have attribute 1.
    rows = numbered_latents.make(100)
    rows.attributes[:, :2] = [0, 1]
    rows.attributes[:3, :2] = [1, 0]
    batches = self._take(200, rows, 50, balanced_fraction=1.0)
    focus = np.concatenate([batch["focus"] for batch in batches])
    labels = np.concatenate([batch["attributes"] for batch in batches])
    for column in range(5):
      self.assertAllClose(np.mean(focus == column), 0.2, atol=0.03)
      own = labels[focus == column, column]
      self.assertAllClose(own.mean(), 0.5, atol=0.06)
    half = self._take(200, rows, 50, balanced_fraction=0.5)
    between = np.mean([batch["attributes"][:, 0] for batch in half])
    self.assertAllClose(between, (0.03 + labels[:, 0].mean()) / 2, atol=0.03)
    self.assertGreater(labels[:, 0].mean(), between + 0.03)

  def test_attributes_of_one_value_leave_every_row_in_reach(self):
    rows = numbered_latents.make(5)
    rows.attributes[:, 2:4] = [0, 1]
    batches = self._take(60, rows, balanced_fraction=0.5)
    index = np.concatenate([batch["mean"][:, 0] for batch in batches])
    self.assertAllEqual(np.unique(index), range(5))
    focus = np.concatenate([batch["focus"] for batch in batches])
    self.assertAllEqual(np.unique(focus), range(5))

  def test_refuses_fewer_rows_than_a_batch(self):
    with self.assertRaisesRegex(ValueError, "batch of 8 rows.*got 7"):
      latent_batches.at_random(numbered_latents.make(7), 8)
    self.assertLen(self._take(1, numbered_latents.make(7), 7)[0]["mean"], 7)

  def test_ending_a_pass_does_not_wait_for_tuning(self):
    for make in (latent_batches.in_order, latent_batches.at_random):
      dataset = make(numbered_latents.make(23), 4)
      self.assertFalse(dataset.options().autotune.enabled)
