"""Tests of scaled: any sampler's move, scaled by a strength."""

import tensorflow as tf
from absl.testing import parameterized

from lc_keras.samplers import actor
from lc_keras.samplers import scaled
from tests import analytic_judges as judges


def _moves():
  return actor.ActorSampler(
    judges.JUDGES, lambda z, values, mask: z + 1.0 + values[:, :4]
  )


class ScaledTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(0.0, 0.25, 1.0, 2.0, ([0.0, 0.5, 1.0],))
  def test_scales_the_move_of_each_row(self, strength):
    start, asked = judges.latents(), judges.ask(Male=1.0)
    whole = judges.run(_moves().transform, asked, start)
    part = judges.run(
      scaled.Scaled(_moves(), tf.constant(strength)).transform, asked, start
    )
    factor = tf.reshape(strength, [-1, 1])
    self.assertAllClose(
      part.latents - start, factor * (whole.latents - start), atol=1e-6
    )
    self.assertAllEqual(part.steps, whole.steps)
    logits = judges.attribute_critic(part.latents)
    self.assertAllClose(part.attribute_probabilities, tf.sigmoid(logits))

  def test_no_strength_and_all_of_it_are_exact(self):
    start, asked = judges.latents(), judges.ask(Male=1.0)
    whole = _moves().transform(start, asked, judges.seeds())
    for strength, expected in ((0.0, start), (1.0, whole.latents)):
      sampler = scaled.Scaled(_moves(), strength)
      made = sampler.transform(start, asked, judges.seeds())
      self.assertAllEqual(made.latents, expected)

  def test_a_sample_is_not_scaled(self):
    asked, seeds = judges.ask(Male=1.0), judges.seeds()
    sampler = scaled.Scaled(_moves(), 0.5)
    self.assertAllEqual(
      sampler.sample(asked, seeds).latents,
      _moves().sample(asked, seeds).latents,
    )
