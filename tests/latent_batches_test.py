"""Tests of batches of latents: whoever goes on gets the same ones."""

import itertools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.data import latent_batches
from tests import numbered_latents


class InOrderTest(tf.test.TestCase):
  def test_is_one_pass_in_order_with_the_remainder(self):
    rows = numbered_latents.make(7)
    batches = list(latent_batches.in_order(rows, 3))
    self.assertEqual([len(batch["mean"]) for batch in batches], [3, 3, 1])
    for name in ("mean", "scale", "attributes"):
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
      for name in ("mean", "scale", "attributes"):
        self.assertAllEqual(batch[name], getattr(rows, name)[index])
      self.assertAllInRange(batch["focus"], 0, 4)

  def test_turns_are_the_second_dimension(self):
    rows = numbered_latents.make(50)
    (batch,) = self._take(1, rows, turns=6)
    self.assertEqual(
      {name: value.shape for name, value in batch.items()},
      {
        "mean": (3, 6, 4),
        "scale": (3, 6, 4),
        "attributes": (3, 6, 5),
        "focus": (3, 6),
      },
    )
    index = batch["mean"][..., 0].astype(int)
    self.assertAllEqual(batch["attributes"], rows.attributes[index])
    self.assertGreater(len(np.unique(index)), 10)

  def test_shapes_are_known_before_it_runs(self):
    dataset = latent_batches.at_random(numbered_latents.make(50), 3, turns=2)
    self.assertEqual(dataset.element_spec["mean"].shape, [3, 2, 4])

  def test_the_seed_decides(self):
    first, again, other = (self._take(3, seed=seed) for seed in (1, 1, 2))
    for one, two, three in zip(first, again, other):
      self.assertAllEqual(one["mean"], two["mean"])
      self.assertAllEqual(one["focus"], two["focus"])
      self.assertNotAllClose(one["mean"], three["mean"])

  @parameterized.parameters({}, {"turns": 2, "balanced_fraction": 0.5})
  def test_starting_later_is_skipping(self, **options):
    whole = self._take(7, **options)
    for late, skipped in zip(self._take(3, start_step=4, **options), whole[4:]):
      for name in skipped:
        self.assertAllEqual(late[name], skipped[name])

  def test_evenly_is_evenly(self):
    rows = numbered_latents.make(20)
    drawn = np.concatenate([b["mean"][:, 0] for b in self._take(400, rows, 20)])
    counts = np.bincount(drawn.astype(int), minlength=20)
    self.assertAllInRange(counts / 400, 0.7, 1.3)

  def test_balancing_makes_rare_values_as_frequent(self):
    # 3 in 100 have attribute 0; all but 3 have attribute 1.
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
    self.assertGreater(labels[:, 0].mean(), 0.1)

  def test_balancing_a_fraction_lies_between(self):
    rows = numbered_latents.make(100)
    rows.attributes[:, 0] = 0
    rows.attributes[:3, 0] = 1
    shares = [
      np.mean(
        [
          batch["attributes"][:, 0]
          for batch in self._take(100, rows, 50, balanced_fraction=fraction)
        ]
      )
      for fraction in (0.0, 0.5, 1.0)
    ]
    self.assertAllClose(shares[0], 0.03, atol=0.02)
    self.assertAllClose(shares[1], np.mean(shares[::2]), atol=0.03)
    self.assertGreater(shares[2], shares[0] + 0.05)

  def test_an_attribute_that_nobody_has_is_no_trap(self):
    rows = numbered_latents.make(30)
    rows.attributes[:, 2] = 0
    rows.attributes[:, 3] = 1
    batches = self._take(50, rows, 30, balanced_fraction=1.0)
    index = np.concatenate([batch["mean"][:, 0] for batch in batches])
    self.assertAllInRange(index, 0, 29)
    focus = np.concatenate([batch["focus"] for batch in batches])
    self.assertAllEqual(np.unique(focus), range(5))

  def test_every_batch_differs(self):
    batches = [batch["mean"].tobytes() for batch in self._take(20)]
    self.assertLen(set(batches), 20)

  def test_noise_of_neighbouring_seeds_differs(self):
    # (seed 0, step 1) must not be (seed 1, step 0).
    one = self._take(1, seed=0, start_step=1)[0]["mean"]
    self.assertNotAllClose(one, self._take(1, seed=1)[0]["mean"])

  def test_refuses_fewer_rows_than_a_batch(self):
    with self.assertRaisesRegex(ValueError, "batch of 8 rows.*got 7"):
      latent_batches.at_random(numbered_latents.make(7), 8)
    self.assertLen(self._take(1, numbered_latents.make(7), 7)[0]["mean"], 7)

  def test_no_row_of_a_small_split_is_out_of_reach(self):
    rows = numbered_latents.make(5)
    drawn = itertools.chain.from_iterable(
      batch["mean"][:, 0]
      for batch in self._take(60, rows, balanced_fraction=0.5)
    )
    self.assertEqual({int(index) for index in drawn}, set(range(5)))


class BothTest(tf.test.TestCase):
  def test_who_ends_a_pass_does_not_wait_for_its_tuning(self):
    for make in (latent_batches.in_order, latent_batches.at_random):
      self.assertFalse(
        make(numbered_latents.make(23), 4).options().autotune.enabled
      )


if __name__ == "__main__":
  tf.test.main()
