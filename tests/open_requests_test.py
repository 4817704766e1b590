"""Tests of open_requests: empty requests get another sampler."""

import tensorflow as tf

from lc_keras.constraints import constraint
from lc_keras.samplers import actor
from lc_keras.samplers import open_requests
from lc_keras.samplers import unconditional
from tests import analytic_judges as judges

_JUDGES = judges.JUDGES


def _samplers():
  first = actor.ActorSampler(_JUDGES, lambda latents, values, mask: -latents)
  open_sampler = unconditional.Unconditional(_JUDGES, lambda prior: 2.0 * prior)
  return first, open_sampler, open_requests.OpenRequests(first, open_sampler)


class OpenRequestsTest(tf.test.TestCase):
  def test_each_row_is_answered_by_who_knows_it(self):
    first, open_sampler, both = _samplers()
    asked = judges.ask(3, Male=1.0)
    weights = asked.weights * [[1.0], [0.0], [1.0]]
    mixed = constraint.Constraint(asked.values, weights)
    seeds = judges.seeds()
    made = judges.run(both.sample, mixed)
    for rows, alone in (
      ([0, 2], first.sample(mixed, seeds)),
      ([1], open_sampler.sample(mixed, seeds)),
    ):
      for name, value in made._asdict().items():
        self.assertAllClose(
          tf.gather(value, rows), tf.gather(getattr(alone, name), rows)
        )

  def test_nothing_else_changes(self):
    first, _, both = _samplers()
    asked = judges.ask(3, Male=1.0)
    seeds, latents = judges.seeds(), judges.latents()
    for ours, theirs in (
      (both.sample(asked, seeds), first.sample(asked, seeds)),
      (
        both.transform(latents, asked, seeds),
        first.transform(latents, asked, seeds),
      ),
    ):
      self.assertAllEqual(ours.latents, theirs.latents)
      self.assertAllEqual(ours.steps, theirs.steps)
