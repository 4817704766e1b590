"""Tests of the flow sampler, on flows with analytic solutions."""

import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import priors
from lc_keras.samplers import flow
from tests import analytic_judges as judges

_MALE = judges.ATTRIBUTES.index("Male")


def _sampler(**options):
  return flow.FlowSampler(
    judges.JUDGES, judges.Flow(), **{"steps": 64, **options}
  )


class IntegrateTest(tf.test.TestCase):
  def _turn(self, points, angle):
    del angle
    return tf.stack([-points[:, 1], points[:, 0]], axis=-1)

  def _error(self, steps):
    start = tf.constant([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    end = flow.integrate(self._turn, start, 0.0, math.pi / 2, steps)
    return np.abs(end - self._turn(start, 0.0)).max()

  def test_is_of_second_order(self):
    self.assertBetween(self._error(8) / self._error(16), 3.5, 4.5)
    self.assertLess(self._error(64), 1e-3)

  def test_knows_the_angle(self):
    # x(a) = sin(a) solves dx/da = cos(a).
    def field(points, angle):
      return tf.cos(angle) * tf.ones_like(points)

    made = flow.integrate(field, tf.zeros([3, 1]), 0.5, 1.5, 32)
    self.assertAllClose(
      made, np.full([3, 1], math.sin(1.5) - math.sin(0.5)), atol=1e-4
    )

  def test_guidance_goes_on_where_a_request_leads(self):
    field = flow.guided(
      lambda points, angle: points, lambda points, angle: 3.0 * points, 1.5
    )
    self.assertAllClose(field(tf.ones([3, 2]), 0.0), 4.0 * np.ones([3, 2]))


class FlowSamplerTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(({}, 0.0), ({"Male": 1.0}, 2.0), ({"Male": 0}, -2))
  def test_sample_reaches_the_distribution_that_is_asked_for(self, asked, mean):
    result = judges.run(_sampler(guidance=1.0).sample, judges.ask(**asked))
    prior = priors.sample_rows(judges.seeds(), judges.LATENT_SIZE)
    expected = judges.Flow.SCALE * prior + mean * tf.one_hot(
      2, judges.LATENT_SIZE
    )
    self.assertAllClose(result.latents, expected, atol=1e-2)
    self.assertAllEqual(result.steps, [128] * 3)

  def test_more_guidance_goes_further(self):
    third = [
      _sampler(steps=8, guidance=guidance)
      .sample(judges.ask(Male=1.0), judges.seeds())
      .latents[:, 2]
      for guidance in (0.0, 1.0, 2.0)
    ]
    self.assertAllGreater(third[1] - third[0], 1.0)
    self.assertAllGreater(third[2] - third[1], 0.5)

  def test_transform_changes_what_is_asked_and_nothing_else(self):
    latents = judges.latents() * [0.3, 0.3, 0.1, 0.3] - [0, 0, 2.0, 0]
    result = judges.run(
      _sampler(edit_guidance=1.0).transform, judges.ask(Male=1.0), latents
    )
    # From one normal to the other, by way of the same noise.
    self.assertAllClose(
      result.latents - latents, 3 * [[0.0, 0.0, 4.0, 0.0]], atol=2e-2
    )
    self.assertAllEqual(result.steps, [256] * 3)
    self.assertAllGreater(result.distance, 0.0)
    self.assertAllGreater(result.attribute_probabilities[:, _MALE], 0.5)

  def test_more_edit_guidance_changes_more(self):
    latents = tf.constant([[0.1, 0.2, -2.0, 0.3]])
    moves = [
      judges.run(
        _sampler(edit_guidance=guidance).transform,
        judges.ask(1, Male=1.0),
        latents,
      ).latents[0, 2]
      for guidance in (0.0, 1.0, 2.0)
    ]
    # Without guidance, the path there and back is the same.
    self.assertAllClose(moves[0], -2.0, atol=1e-2)
    self.assertGreater(moves[1] - moves[0], 1.0)
    self.assertGreater(moves[2] - moves[1], 0.5)

  def test_transform_leaves_alone_what_is_as_asked(self):
    latents = judges.latents() * [0.3, 0.3, 0.1, 0.3]
    latents += tf.constant([[0, 0, -2.0, 0], [0, 0, 2, 0], [0, 0, -2, 0]])
    transform = _sampler(steps=4).transform
    for asked, steps in ({"Male": 1.0}, [16, 0, 16]), ({}, [0, 0, 0]):
      result = transform(latents, judges.ask(**asked), judges.seeds())
      self.assertAllEqual(result.steps, steps)
      self.assertAllEqual(result.latents[1], latents[1])
      self.assertAllEqual(result.distance[1], 0.0)
