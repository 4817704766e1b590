"""Tests of extended: rows without new attributes use the first sampler."""

import dataclasses

import tensorflow as tf
from absl.testing import parameterized

from lc_keras.constraints import constraint
from lc_keras.samplers import actor
from lc_keras.samplers import extended
from lc_keras.samplers import gradient_search
from lc_keras.samplers import objective
from lc_keras.samplers import sampler
from lc_keras.samplers import unconditional
from tests import analytic_judges as judges

_KNOWN = judges.JUDGES
_NEW = "Heavy"
_COLUMN = len(_KNOWN.attributes)


def _wide_critic(latents):
  # The new attribute is the fourth dimension, which no other one reads.
  new = 8.0 * latents[:, 3:]
  return tf.concat([_KNOWN.attribute_critic(latents), new], axis=-1)


_WIDE = sampler.Judges(
  _KNOWN.attributes.extended([_NEW]),
  _KNOWN.critic,
  _wide_critic,
  _KNOWN.posterior_scale,
)


def _search(**options):
  return gradient_search.GradientSearch(
    _WIDE, learning_rate=0.05, beta_2=0.9, max_steps=150, **options
  )


def _ask(known: constraint.Constraint, values, weights):
  """Returns a constraint with one column more."""

  def column(numbers):
    return tf.constant(numbers, tf.float32)[:, tf.newaxis]

  return constraint.Constraint(
    tf.concat([known.values, column(values)], axis=-1),
    tf.concat([known.weights, column(weights)], axis=-1),
  )


def _mirror(latents, values, mask):
  """An actor that moves every row."""
  del values, mask
  return -latents


def _firsts():
  return {
    "actor": actor.ActorSampler(_KNOWN, _mirror),
    "unconditional": unconditional.Unconditional(_KNOWN),
  }


class RefinedTest(tf.test.TestCase, parameterized.TestCase):
  def test_who_asks_for_nothing_new_gets_what_the_first_makes(self):
    first = _firsts()["actor"]
    both = extended.Extended(first, _search())
    known = judges.ask(3, Male=1.0)
    asked = _ask(known, [1.0, 1.0, 0.0], [0.0, 1.0, 0.0])
    seeds = judges.seeds()
    latents = 0.5 * judges.latents()
    for made, alone in (
      (both.sample(asked, seeds), first.sample(known, seeds)),
      (
        both.transform(latents, asked, seeds),
        first.transform(latents, known, seeds),
      ),
    ):
      for field in ("latents", "realism", "distance", "steps"):
        self.assertAllEqual(
          getattr(made, field)[0::2], getattr(alone, field)[0::2], field
        )
      self.assertNotAllClose(made.latents[1], alone.latents[1])
      self.assertAllGreater(made.attribute_probabilities[1, _COLUMN], 0.98)
      self.assertAllGreater(made.steps[1], alone.steps[1])

  def test_a_model_as_it_is_knows_nothing_so_that_all_is_searched(self):
    both = extended.Extended(_firsts()["unconditional"], _search())
    asked = _ask(judges.ask(3, Male=1.0), [0.0] * 3, [0.0] * 3)
    seeds = judges.seeds()
    latents = 0.5 * judges.latents()
    for made in (
      both.sample(asked, seeds),
      both.transform(latents, asked, seeds),
    ):
      self.assertAllEqual(made.converged, [True] * 3)
      self.assertAllGreater(made.attribute_probabilities[:, 2], 0.98)

  def test_everything_asked_for_holds_in_the_end(self):
    both = extended.Extended(_firsts()["actor"], _search())
    asked = _ask(judges.ask(5, Bald=1.0, Male=0.0), [0.0] * 5, [1.0] * 5)
    made = both.sample(asked, judges.seeds(5))
    self.assertAllEqual(made.converged, [True] * 5)
    self.assertAllGreater(made.attribute_probabilities[:, 0], 0.98)
    self.assertAllLess(made.attribute_probabilities[:, 2], 0.02)
    self.assertAllLess(made.attribute_probabilities[:, _COLUMN], 0.02)

  def test_a_row_that_asks_for_new_things_only_does_not_go_to_the_first(self):
    far = actor.ActorSampler(_KNOWN, lambda latents, values, mask: latents + 99)
    both = extended.Extended(far, _search())
    latents = 0.5 * judges.latents(2)
    asked = _ask(judges.ask(2), [1.0] * 2, [1.0] * 2)
    made = both.transform(latents, asked, judges.seeds(2))
    self.assertAllEqual(made.converged, [True] * 2)
    self.assertAllLess(tf.abs(made.latents), 3.0)

  def test_a_transformation_keeps_what_was_there(self):
    both = extended.Extended(
      _firsts()["unconditional"],
      _search(
        objective=objective.Objective(_WIDE, keep_weight=1.0),
        keep_tolerance=0.2,
      ),
    )
    latents = 0.5 * judges.latents(6)
    asked = _ask(judges.ask(6), [1.0] * 6, [1.0] * 6)
    made = both.transform(latents, asked, judges.seeds(6))
    before = tf.sigmoid(_KNOWN.attribute_critic(latents)) > 0.5
    after = made.attribute_probabilities[:, :_COLUMN] > 0.5
    self.assertAllEqual(before, after)

  def test_a_search_can_begin_with_what_another_sampler_makes(self):
    fixed = tf.constant([[0.9, 0.0, 0.0, 0.9]])

    def starts(constraint, seeds):
      return tf.repeat(fixed, tf.shape(seeds)[0], axis=0)

    made = _search(starts=starts).sample(
      _ask(judges.ask(2), [1.0] * 2, [1.0] * 2),
      judges.seeds(2),
    )
    # The start already matches, and stays.
    self.assertAllEqual(made.latents, tf.repeat(fixed, 2, axis=0))
    self.assertAllEqual(made.steps, [0, 0])

  def test_the_critic_is_told_what_the_start_reads_as(self):
    # As a trained critic, this one does not know empty requests.
    def critic(latents, values, mask):
      known = tf.reduce_any(mask[:, :_COLUMN] > 0.0, axis=-1)
      return tf.where(known, _KNOWN.critic(latents, values, mask), -9.0)

    search = gradient_search.GradientSearch(
      dataclasses.replace(_WIDE, critic=critic),
      learning_rate=0.05,
      beta_2=0.9,
      max_steps=150,
      starts=lambda constraint, seeds: 0.5 * judges.latents(2),
    )
    both = extended.Extended(_firsts()["unconditional"], search)
    asked = _ask(judges.ask(2), [1.0] * 2, [1.0] * 2)
    for made in (
      both.sample(asked, judges.seeds(2)),
      search.sample(asked, judges.seeds(2)),
    ):
      self.assertAllEqual(made.converged, [True] * 2)
      self.assertAllGreater(made.realism, sampler.REALISM_THRESHOLD)

  def test_a_sample_that_meets_the_request_is_chosen_and_not_searched(self):
    base = _firsts()["unconditional"]
    both = extended.Extended(base, _search(tolerance=0.5))
    asked = _ask(judges.ask(8), [1.0] * 8, [1.0] * 8)
    seeds = judges.seeds(8)
    made = both.sample(asked, seeds)
    self.assertAllEqual(made.converged, [True] * 8)
    # A sample of the base is a step: the last one considered is the one chosen.
    self.assertAllGreater(tf.math.count_nonzero(made.steps > 1), 1)
    last = tf.cast(made.steps - 1, tf.int64)
    chosen = base.sample(
      asked.narrowed(_COLUMN), seeds + extended._APART * last
    )
    self.assertAllEqual(made.latents, chosen.latents)

  def test_if_no_sample_meets_the_request_the_search_starts_from_the_best(self):
    # Three standard deviations away, so that none of 16 draws meets it.
    def critic(latents):
      new = 8.0 * (latents[:, 3:] - 3.0)
      return tf.concat([_KNOWN.attribute_critic(latents), new], axis=-1)

    search = gradient_search.GradientSearch(
      dataclasses.replace(_WIDE, attribute_critic=critic), max_steps=0
    )
    asked = _ask(judges.ask(8), [1.0] * 8, [1.0] * 8)
    made = extended.Extended(_firsts()["unconditional"], search).sample(
      asked, judges.seeds(8)
    )
    self.assertAllEqual(made.steps, [extended._CANDIDATES] * 8)
    self.assertAllEqual(made.converged, [False] * 8)
    self.assertAllGreater(made.latents[:, 3], 0.9)

  def test_a_row_does_not_depend_on_the_others(self):
    both = extended.Extended(_firsts()["actor"], _search())
    asked = _ask(judges.ask(4, Male=1.0), [1.0] * 4, [1.0, 0.0, 1.0, 1.0])
    seeds = judges.seeds(4)
    made = both.sample(asked, seeds)
    for row in range(4):
      one = slice(row, row + 1)
      alone = both.sample(
        constraint.Constraint(asked.values[one], asked.weights[one]), seeds[one]
      )
      self.assertAllClose(made.latents[one], alone.latents)
      self.assertAllEqual(made.steps[one], alone.steps)
