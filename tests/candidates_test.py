"""Tests of candidates, rejection and importance: choosing among draws."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import priors
from lc_keras.constraints import constraint
from lc_keras.samplers import importance
from lc_keras.samplers import rejection
from tests import analytic_judges as judges

_JUDGES = judges.JUDGES


def _density_critic(latents):
  """A density ratio q / p = exp(z - 1/2): q has mean 1 in dimension 0."""
  return latents[:, 0] - 0.5


def _best_of(candidates):
  return rejection.BestOfN(_JUDGES, candidates)


def _importance(candidates):
  return importance.ImportanceResampling(_JUDGES, _density_critic, candidates)


def _energy(latents, asked):
  return _JUDGES.attribute_energy(latents, asked) + _JUDGES.realism_energy(
    latents, asked
  )


class CandidatesTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(_best_of, _importance)
  def test_one_candidate_is_the_prior(self, make):
    asked = judges.ask(3, Bald=1.0)
    result = judges.run(make(1).sample, asked)
    prior = priors.sample_rows(judges.seeds(), 4)
    self.assertAllEqual(result.latents, prior)
    self.assertAllEqual(result.steps, [1] * 3)
    self.assertAllEqual(result.distance, [0.0] * 3)

  @parameterized.parameters(_best_of, _importance)
  def test_without_candidates_is_an_error(self, make):
    with self.assertRaisesRegex(ValueError, "at least 1, got 0"):
      make(0)


class BestOfNTest(tf.test.TestCase):
  def test_is_the_best_of_its_candidates(self):
    seeds = judges.seeds()
    asked = judges.ask(3, Smiling=1.0)
    drawn = [priors.sample_rows(seeds, 4)]
    drawn += [priors.sample_rows(seeds, 4, number) for number in range(1, 8)]
    energies = np.stack([_energy(latents, asked) for latents in drawn])
    expected = np.stack(drawn)[energies.argmin(axis=0), np.arange(3)]
    result = _best_of(8).sample(asked, seeds)
    self.assertAllEqual(result.latents, expected)
    self.assertNotAllEqual(result.latents, drawn[0])

  def test_who_cannot_be_has_not_converged(self):
    asked = judges.ask(3, Bald=1.0, Black_Hair=1.0, Smiling=0.0)
    result = judges.run(_best_of(16).sample, asked)
    self.assertAllEqual(result.converged, [False] * 3)
    asked = judges.ask(3, Bald=1.0)
    result = judges.run(_best_of(16).sample, asked)
    self.assertAllEqual(result.converged, [True] * 3)


class ImportanceResamplingTest(tf.test.TestCase, parameterized.TestCase):
  def _moments(self, asked):
    latents = judges.run(_importance(64).sample, asked).latents
    return np.mean(latents, axis=0), np.std(latents, axis=0)

  @parameterized.parameters(0.0, 1.0)
  def test_samples_what_the_ratio_makes_of_the_prior(self, realism_weight):
    asked = judges.ask(400)
    asked = constraint.Constraint(asked.values, asked.weights, realism_weight)
    mean, deviation = self._moments(asked)
    self.assertAllClose(mean, [realism_weight, 0.0, 0.0, 0.0], atol=0.2)
    self.assertAllClose(deviation, np.ones(4), atol=0.15)

  def test_what_is_asked_for_weighs_as_its_probability(self):
    asked = judges.ask(400, Male=1.0)
    latents = judges.run(_importance(64).sample, asked).latents
    # E[z sigmoid(4 z)] / E[sigmoid(4 z)] over the prior, by quadrature.
    grid = np.linspace(-6, 6, 2001)
    weights = np.exp(-0.5 * grid**2) / (1.0 + np.exp(-4.0 * grid))
    expected = (grid * weights).sum() / weights.sum()
    self.assertAllClose(np.mean(latents[:, 2]), expected, atol=0.12)
    self.assertAllClose(np.mean(latents[:, 1]), 0.0, atol=0.2)
