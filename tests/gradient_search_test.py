"""Tests of gradient_search: matching rows stay, others reach their targets."""

import dataclasses

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.samplers import gradient_search
from lc_keras.samplers import objective
from lc_keras.samplers import sampler
from tests import analytic_judges as judges

_JUDGES = judges.JUDGES
# Read within 1e-2 of its target, and realistic.
_BALD = np.array([[1.5, 0.0, 0.0, 0.3]], np.float32)
_NOT_BALD = np.array([[-0.4, 0.5, -0.3, 0.2]], np.float32)
_COVARIANCE = np.diag([1.0, 1.0, 1.0, 1e-6]).astype(np.float32)
# Faster than the published rates, which need hundreds of steps.
_FAST = {"learning_rate": 0.05, "beta_2": 0.9, "max_steps": 100}


def _objective(noise=0.0, **weights):
  return objective.Objective(_JUDGES, attribute_noise=noise, **weights)


_SEARCH = gradient_search.GradientSearch(_JUDGES, **_FAST)


def _transform(start, constraint, **settings):
  search = _SEARCH
  if settings:
    search = gradient_search.GradientSearch(_JUDGES, **{**_FAST, **settings})
  return judges.run(search.transform, constraint, start)


class GradientSearchTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters({}, {"covariance": _COVARIANCE})
  def test_who_is_there_comes_back_to_the_bit(self, **settings):
    start = np.concatenate([_BALD, _NOT_BALD, _BALD])
    result = _transform(start, judges.ask(3, Bald=1.0), **settings)
    self.assertAllEqual(result.latents[0::2], start[0::2])
    self.assertAllEqual(result.steps[0::2], [0, 0])
    self.assertAllEqual(result.distance[0::2], [0.0, 0.0])
    self.assertAllGreater(result.steps[1], 0)
    self.assertAllEqual(result.converged, [True] * 3)

  @parameterized.parameters(
    {},
    {"objective": _objective(0.05)},
    {"covariance": _COVARIANCE},
  )
  def test_who_converges_has_what_was_asked_for(self, **settings):
    start = 0.5 * judges.latents(7)
    asked = judges.ask(7, Bald=1.0, Male=0.0)
    result = _transform(start, asked, **settings)
    self.assertAllEqual(result.converged, [True] * 7)
    self.assertAllInRange(result.realism, sampler.REALISM_THRESHOLD, 1.0)
    self.assertAllInRange(result.attribute_probabilities[:, 0], 0.98, 1.0)
    self.assertAllInRange(result.attribute_probabilities[:, 2], 0.0, 0.02)
    self.assertAllInRange(result.steps, 1, 100)
    self.assertAllGreater(result.distance, 0.0)

  def test_a_target_between_off_and_on_is_met(self):
    result = _transform(_BALD, judges.ask(1, Male=0.7))
    self.assertAllEqual(result.converged, [True])
    self.assertAllClose(result.attribute_probabilities[0, 2], 0.7, atol=0.01)

  def test_nothing_asked_of_what_is_realistic_is_no_work(self):
    result = _transform(_BALD, judges.ask(1))
    self.assertAllEqual(result.latents, _BALD)
    self.assertAllEqual(result.steps, [0])

  def test_what_cannot_be_has_not_converged(self):
    # Smiling is the sum of these two.
    asked = judges.ask(1, Bald=1.0, Black_Hair=1.0, Smiling=0.0)
    result = _transform(_NOT_BALD, asked, max_steps=20)
    self.assertAllEqual(result.converged, [False])
    self.assertAllEqual(result.steps, [20])

  def test_who_gets_there_with_the_last_step_has_converged(self):
    asked = judges.ask(1, Bald=1.0)
    steps = int(_transform(_NOT_BALD, asked).steps[0])
    for max_steps, converged in ((steps, True), (steps - 1, False)):
      result = _transform(_NOT_BALD, asked, max_steps=max_steps)
      self.assertAllEqual(result.converged, [converged])
      self.assertAllEqual(result.steps, [max_steps])

  def test_without_steps_only_looks(self):
    start = np.concatenate([_BALD, _NOT_BALD])
    asked = judges.ask(2, Bald=1.0)
    result = _transform(start, asked, max_steps=0)
    self.assertAllEqual(result.converged, [True, False])
    self.assertAllEqual(result.latents, start)

  def test_steps_are_adams(self):
    # Adam's first steps have about the length of its rate for any gradient.
    result = _transform(
      _NOT_BALD,
      judges.ask(1, Bald=1.0),
      max_steps=2,
      objective=_objective(realism_weight=0.0),
    )
    expected = _NOT_BALD + [[0.1, 0.0, 0.0, 0.0]]
    self.assertAllClose(result.latents, expected, atol=1e-3)

  def test_moves_where_encoded_images_differ(self):
    # Smiling depends on the first two dimensions; images vary in one of them.
    result = _transform(
      _NOT_BALD,
      judges.ask(1, Smiling=1.0),
      covariance=np.diag([1.0, 1e-6, 1.0, 1.0]),
    )
    move = (result.latents - _NOT_BALD)[0]
    self.assertGreater(move[0], 0.5)
    self.assertAllClose(move[1], 0.0, atol=0.01)

  def test_keeps_what_was_not_asked_for(self):
    # Smiling by the first dimension changes Young, by the second it does not.
    start = np.array([[-0.3, -0.3, 0.0, 0.0]], np.float32)
    asked = judges.ask(1, Smiling=1.0)
    before = tf.sigmoid(_JUDGES.attribute_critic(start))[0, 4]
    changes = [
      abs(result.attribute_probabilities[0, 4] - before)
      for result in (
        _transform(start, asked),
        _transform(start, asked, objective=_objective(keep_weight=3.0)),
      )
    ]
    self.assertLess(changes[1], 0.5 * changes[0])

  def test_can_insist_on_what_is_to_be_kept(self):
    # No row can smile without another change.
    start = np.array([[-0.3, -0.3, 0.0, 0.0]], np.float32)
    asked = judges.ask(1, Smiling=1.0)
    content, insisting = (
      _transform(start, asked, keep_tolerance=tolerance, max_steps=200)
      for tolerance in (np.inf, 1e-3)
    )
    self.assertAllLess(content.steps, 200)
    self.assertAllEqual(insisting.steps, [200])
    # The request is reached nevertheless.
    self.assertAllEqual(insisting.converged, [True])

  def test_is_no_surer_than_of_real_images(self):
    # Real bald rows read as 0.8, others as 0.01.
    margin = np.zeros([2, 5], np.float32)
    margin[:, 0] = 0.01, 0.2
    cautious = dataclasses.replace(_JUDGES, margin=tf.constant(margin))
    search = gradient_search.GradientSearch(cautious, **_FAST)
    for start, value, low, high in (
      (_NOT_BALD, 1.0, 0.8, 0.95),
      (_BALD, 0.0, 0.0, 0.01),
      (_BALD, 0.5, 0.49, 0.51),
    ):
      asked = judges.ask(1, Bald=value)
      result = judges.run(search.transform, asked, start)
      self.assertAllEqual(result.converged, [True])
      self.assertAllInRange(result.attribute_probabilities[:, 0], low, high)
    # Without a margin, the search goes as far as before.
    asked = judges.ask(1, Male=1.0)
    result = judges.run(search.transform, asked, _NOT_BALD)
    self.assertAllGreater(result.attribute_probabilities[:, 2], 0.99)

  def test_realism_is_sought_on_its_own(self):
    far = np.array([[0.0, 0.0, 3.0, 0.0]], np.float32)
    result = _transform(far, judges.ask(1, Male=1.0))
    self.assertAllEqual(result.converged, [True])
    self.assertAllGreater(result.realism, sampler.REALISM_THRESHOLD)
    self.assertAllGreater(result.steps, 0)

  def test_samples_start_from_the_prior_and_get_there(self):
    asked = judges.ask(3, Bald=1.0)
    nothing = gradient_search.GradientSearch(_JUDGES, max_steps=0)
    start = judges.run(nothing.sample, asked)
    self.assertAllEqual(start.latents, _SEARCH._prior(judges.seeds()))
    end = judges.run(_SEARCH.sample, asked)
    self.assertAllEqual(end.converged, [True] * 3)

  def test_the_robust_search_ends_where_results_are_realistic(self):
    # The D of an actor, which detects the samples of a search.
    fooled = dataclasses.replace(
      _JUDGES,
      critic=lambda latents, values, mask: -9.0 * tf.ones_like(latents[:, 0]),
      realism=lambda latents: judges.critic(latents, None, None),
      posterior_scale=np.full(4, 0.01, np.float32),
    )
    robust = gradient_search.GradientSearch.robust(
      fooled, np.eye(4, dtype=np.float32)
    )
    result = judges.run(robust.sample, judges.ask(3, Bald=1.0))
    self.assertAllEqual(result.converged, [True] * 3)
    self.assertAllLess(result.steps, 300)
