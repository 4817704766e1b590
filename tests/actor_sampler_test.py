"""Tests of samplers.actor: one move, by as much as the dial says."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.samplers import actor
from tests import analytic_judges


def _told(latents, values, mask):
  """Moves by what the actor is told, so that a test can read it."""
  told = tf.concat([values[:, :2], mask[:, :2]], axis=-1)
  return latents + 1.0 + told


def _sampler(strength=1.0):
  return actor.ActorSampler(analytic_judges.JUDGES, _told, strength)


class ActorSamplerTest(tf.test.TestCase, parameterized.TestCase):
  def test_a_sample_is_the_actors_move_from_the_prior(self):
    asked = analytic_judges.ask(3, Bald=1.0)
    start = analytic_judges.run(_sampler(0.0).sample, asked)
    end = analytic_judges.run(_sampler().sample, asked)
    self.assertNotAllClose(start.latents[0], start.latents[1])
    # Told of baldness, and of nothing else: what is open stays open.
    expected = start.latents + [2.0, 1.0, 2.0, 1.0]
    self.assertAllClose(end.latents, expected)
    self.assertAllEqual(end.steps, [1, 1, 1])

  def test_a_transformation_names_everything(self):
    start = np.array([[-1.0, 1.0, 0.5, 0.0], [-1.0, -1.0, 0.5, 0.0]], "f")
    result = analytic_judges.run(
      _sampler().transform, analytic_judges.ask(2, Male=0.0), start
    )
    # Black hair is kept where it is, and both columns are masked in.
    move = [[1.0, 2.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    self.assertAllClose(result.latents - start, move)
    self.assertAllGreater(result.distance, 0.0)

  def test_asked_to_be_on_rules_out_what_excludes_it(self):
    start = np.array([[-1.0, 1.0, 0.5, 0.0]], np.float32)
    result = analytic_judges.run(
      _sampler().transform, analytic_judges.ask(1, Bald=1.0), start
    )
    self.assertAllClose(result.latents - start, [[2.0, 1.0, 2.0, 2.0]])

  @parameterized.parameters(0.0, 0.25, 1.0, 2.0)
  def test_the_dial_scales_the_move(self, strength):
    start = analytic_judges.latents(3)
    asked = analytic_judges.ask(3, Smiling=1.0)
    whole = analytic_judges.run(_sampler().transform, asked, start)
    part = analytic_judges.run(_sampler(strength).transform, asked, start)
    self.assertAllClose(
      part.latents - start, strength * (whole.latents - start), atol=1e-6
    )

  def test_the_ends_of_the_dial_are_exact(self):
    start = analytic_judges.latents(3)
    asked = analytic_judges.ask(3, Smiling=1.0)
    kept = analytic_judges.JUDGES.keep(start, asked)
    for strength, expected in (
      (0.0, start),
      (1.0, _told(start, kept.values, kept.mask)),
    ):
      result = _sampler(strength).transform(
        start, asked, analytic_judges.seeds()
      )
      self.assertAllEqual(result.latents, expected)

  def test_each_row_can_have_its_own_strength(self):
    start = analytic_judges.latents(3)
    asked = analytic_judges.ask(3, Smiling=1.0)
    whole = analytic_judges.run(_sampler().transform, asked, start)
    dial = tf.constant([0.0, 0.5, 1.0])
    result = analytic_judges.run(_sampler(dial).transform, asked, start)
    expected = dial[:, tf.newaxis] * (whole.latents - start)
    self.assertAllClose(result.latents - start, expected, atol=1e-6)

  def test_the_judges_say_what_became_of_it(self):
    start = analytic_judges.latents(3)
    result = analytic_judges.run(
      _sampler().transform, analytic_judges.ask(3, Bald=1.0), start
    )
    logits = analytic_judges.attribute_critic(result.latents)
    self.assertAllClose(result.attribute_probabilities, tf.sigmoid(logits))
    logits = analytic_judges.critic(result.latents, None, None)
    self.assertAllClose(result.realism, tf.sigmoid(logits))


if __name__ == "__main__":
  tf.test.main()
