"""Tests of samplers.actor: one move of a trained actor."""

import numpy as np
import tensorflow as tf

from lc_keras import priors
from lc_keras.samplers import actor
from lc_keras.samplers import rejection
from tests import analytic_judges as judges


def _told(latents, values, mask):
  """An actor that moves by its inputs, so that tests can read them."""
  told = tf.concat([values[:, :2], mask[:, :2]], axis=-1)
  return latents + 1.0 + told


def _sampler(**options):
  return actor.ActorSampler(judges.JUDGES, _told, **options)


class ActorSamplerTest(tf.test.TestCase):
  def test_a_sample_is_the_actors_move_from_the_prior(self):
    asked = judges.ask(3, Bald=1.0)
    start = priors.sample_rows(judges.seeds(), 4)
    end = judges.run(_sampler(starts=lambda z: 2.0 * z).sample, asked)
    # The mask has Bald only: the other attributes are open.
    expected = 2.0 * start + [2.0, 1.0, 2.0, 1.0]
    self.assertAllClose(end.latents, expected)
    self.assertAllEqual(end.steps, [1, 1, 1])

  def test_a_transformation_names_everything(self):
    start = np.array([[-1.0, 1.0, 0.5, 0.0], [-1.0, -1.0, 0.5, 0.0]], "f")
    result = judges.run(_sampler().transform, judges.ask(2, Male=0.0), start)
    # Black hair stays where it is; the mask has both columns.
    move = [[1.0, 2.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    self.assertAllClose(result.latents - start, move)
    self.assertAllGreater(result.distance, 0.0)

  def test_asked_to_be_on_rules_out_what_excludes_it(self):
    start = np.array([[-1.0, 1.0, 0.5, 0.0]], np.float32)
    result = judges.run(_sampler().transform, judges.ask(1, Bald=1.0), start)
    self.assertAllClose(result.latents - start, [[2.0, 1.0, 2.0, 2.0]])


class SearchActorSamplerTest(tf.test.TestCase):
  def _sampler(self):
    return actor.SearchActorSampler(
      judges.JUDGES, _told, rejection.BestOfN(judges.JUDGES, 4)
    )

  def test_a_transformation_names_only_what_is_to_change(self):
    start = np.array([[-1.0, 1.0, 0.5, 0.0]], np.float32)
    result = judges.run(
      self._sampler().transform, judges.ask(1, Bald=1.0), start
    )
    self.assertAllClose(result.latents - start, [[2.0, 1.0, 2.0, 1.0]])
    self.assertAllEqual(result.steps, [1])

  def test_a_row_for_which_the_request_holds_is_left_alone(self):
    start = np.array([[2.0, 0.0, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0]], np.float32)
    result = judges.run(
      self._sampler().transform, judges.ask(2, Bald=1.0), start
    )
    self.assertAllEqual(result.steps, [0, 1])
    self.assertAllEqual(result.latents[0], start[0])
    self.assertAllEqual(result.distance > 0.0, [False, True])

  def test_a_sample_starts_from_the_best_draw(self):
    asked = judges.ask(3, Male=1.0)
    best = judges.run(rejection.BestOfN(judges.JUDGES, 4).sample, asked)
    end = judges.run(self._sampler().sample, asked)
    moved = tf.reduce_sum(tf.abs(end.latents - best.latents), axis=-1)
    self.assertAllClose(moved, 4.0 * tf.cast(end.steps, tf.float32))
    self.assertAllEqual(end.distance, [0.0] * 3)
