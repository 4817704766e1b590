"""Tests of priors: a draw depends on its seed only."""

import itertools

import tensorflow as tf

from lc_keras import priors
from tests import testing


class StepSeedTest(tf.test.TestCase):
  def test_differs_by_step_stream_and_replica(self):
    strategy = testing.two_replica_strategy()
    seeds = set()
    for step, stream in itertools.product(range(5), range(20)):
      per_replica = strategy.run(
        lambda step=step, stream=stream: priors.step_seed(
          tf.constant(step), stream
        )
      )
      results = strategy.experimental_local_results(per_replica)
      seeds |= {tuple(seed.numpy()) for seed in results}
    self.assertLen(seeds, 200)

  def test_is_the_same_for_the_same_step(self):
    first = priors.step_seed(tf.constant(7, tf.int64), 3)
    self.assertAllEqual(first, priors.step_seed(tf.Variable(7), 3))
    self.assertEqual(first.dtype, tf.int32)


class SampleRowsTest(tf.test.TestCase):
  def test_a_row_depends_on_its_seed_alone(self):
    seeds = tf.constant([3, -9, 3, 2**40], tf.int64)
    rows = priors.sample_rows(seeds, 5)
    self.assertAllEqual(rows[0], rows[2])
    for row, seed in zip(rows, seeds):
      self.assertAllEqual(priors.sample_rows(seed[tf.newaxis], 5)[0], row)
    self.assertEqual(priors.sample_rows(seeds[:0], 5).shape, [0, 5])

  def test_numbered_draws_differ_from_each_other_and_from_the_plain_one(self):
    seeds = tf.constant([3, 4], tf.int64)
    draws = [priors.sample_rows(seeds, 5)]
    draws += [priors.sample_rows(seeds, 5, number) for number in (-1, 0, 1)]
    rows = {row.tobytes() for draw in draws for row in draw.numpy()}
    self.assertLen(rows, 8)
    again = priors.sample_rows(seeds[1:], 5, tf.constant(1))
    self.assertAllEqual(again, draws[-1][1:])

  def test_all_64_bits_count(self):
    seeds = [0, -1, -(2**63), 2**63 - 1] + [2**bit for bit in range(63)]
    rows = priors.sample_rows(tf.constant(seeds, tf.int64), 3).numpy()
    self.assertLen({row.tobytes() for row in rows}, len(seeds))

  def test_takes_any_number_of_rows_in_a_function(self):
    draw = tf.function(
      lambda seeds: priors.sample_rows(seeds, 4),
      input_signature=[tf.TensorSpec([None], tf.int64)],
      autograph=False,
    )
    self.assertAllEqual(draw.get_concrete_function().output_shapes, [None, 4])

  def test_is_standard_normal(self):
    rows = priors.sample_rows(tf.range(500, dtype=tf.int64), 16).numpy()
    self.assertAllClose(rows.mean(), 0.0, atol=0.05)
    self.assertAllClose(rows.std(), 1.0, atol=0.05)
    # Draws of neighbouring seeds are independent.
    self.assertLess(abs((rows[1:] * rows[:-1]).mean()), 0.05)
