"""Tests of energy: descent by an ODE, or Langevin sampling."""

import dataclasses

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.constraints import constraint
from lc_keras.samplers import energy
from tests import analytic_judges as judges

_JUDGES = judges.JUDGES
_METHODS = ("ode", "langevin")


def _without_realism(asked):
  return dataclasses.replace(asked, realism_weight=0.0)


def _energy(latents, asked):
  return _JUDGES.attribute_energy(latents, asked) + _JUDGES.realism_energy(
    latents, asked
  )


class EnergySamplerTest(tf.test.TestCase, parameterized.TestCase):
  def test_an_unknown_method_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "'sde'.*ode, langevin"):
      energy.EnergySampler(_JUDGES, "sde")

  @parameterized.parameters(*_METHODS)
  def test_samples_get_what_is_asked_for(self, method):
    asked = judges.ask(32, Bald=1.0, Male=0.0)
    sampler = energy.EnergySampler(_JUDGES, method, step_size=0.1)
    result = judges.run(sampler.sample, asked)
    right = asked.satisfied(result.attribute_probabilities)
    self.assertGreater(np.mean(right), 0.7)
    start = _energy(sampler._prior(judges.seeds(32)), asked)
    self.assertLess(
      np.mean(_energy(result.latents, asked)), 0.5 * np.mean(start)
    )

  def test_the_ode_has_nothing_to_do_where_nothing_is_asked(self):
    asked = judges.ask(3)
    asked = constraint.Constraint(asked.values, asked.weights, 0.0)
    sampler = energy.EnergySampler(_JUDGES)
    prior = sampler._prior(judges.seeds())
    result = judges.run(sampler.sample, asked)
    self.assertAllEqual(result.latents, prior)

  def test_the_ode_is_solved(self):
    # All targets are 1/2, which is reached at 0 in the first three dimensions.
    asked = constraint.Constraint(
      tf.fill([3, 5], 0.5), tf.ones([3, 5]), realism_weight=0.0
    )
    coarse, fine = (
      judges.run(
        energy.EnergySampler(_JUDGES, num_steps=steps).sample, asked
      ).latents
      for steps in (200, 400)
    )
    self.assertAllClose(coarse, fine, atol=1e-3)
    self.assertAllClose(coarse[:, :3], np.zeros([3, 3]), atol=1e-3)
    start = energy.EnergySampler(_JUDGES)._prior(judges.seeds())
    self.assertAllClose(coarse[:, 3], start[:, 3])

  def test_the_ode_lasts_as_long_as_the_diffusion(self):
    # The only term is the distance to the start: 0.1 * |z' - z|^2.
    class Moved(energy.EnergySampler):
      """Starts one unit away."""

      def _run(self, function, start, seeds, constraint):
        return super()._run(function, start + 1.0, seeds, constraint)

    sampler = Moved(_JUDGES, distance_weight=0.1, keep_weight=0.0)
    asked = _without_realism(judges.ask(1))
    start = np.zeros([1, 4], np.float32)
    result = judges.run(sampler.transform, asked, start)
    expected = np.full([1, 4], np.exp(-0.2 * 5.025))
    self.assertAllClose(result.latents, expected, rtol=1e-4)

  def test_langevin_stays_in_the_prior_where_nothing_is_asked(self):
    asked = _without_realism(judges.ask(500))
    sampler = energy.EnergySampler(
      _JUDGES, "langevin", num_steps=20, step_size=0.2
    )
    latents = judges.run(sampler.sample, asked).latents
    start = sampler._prior(judges.seeds(500))
    self.assertAllClose(np.mean(latents, axis=0), np.zeros(4), atol=0.2)
    self.assertAllClose(np.std(latents, axis=0), np.ones(4), atol=0.15)
    # The latents have moved.
    self.assertLess(np.mean(latents * start), 0.5)

  def test_cold_langevin_descends(self):
    asked = _without_realism(judges.ask(3))
    sampler = energy.EnergySampler(
      _JUDGES, "langevin", num_steps=50, step_size=0.2, temperature=0.0
    )
    latents = judges.run(sampler.sample, asked).latents
    self.assertAllClose(latents, np.zeros([3, 4]), atol=0.05)

  @parameterized.parameters(*_METHODS)
  def test_a_transformation_is_held_back(self, method):
    start = judges.latents(16)
    asked = judges.ask(16, Male=1.0)
    settings = {"temperature": 0.005, "step_size": 0.05}
    moved, kept = (
      judges.run(
        energy.EnergySampler(
          _JUDGES,
          method,
          keep_weight=weight,
          distance_weight=weight,
          **settings,
        ).transform,
        asked,
        start,
      )
      for weight in (0.0, 1.0)
    )
    self.assertGreater(
      np.mean(asked.satisfied(moved.attribute_probabilities)), 0.75
    )
    self.assertGreater(
      np.mean(asked.satisfied(kept.attribute_probabilities)), 0.75
    )
    self.assertLess(np.mean(kept.distance), 0.7 * np.mean(moved.distance))
    before = tf.sigmoid(_JUDGES.attribute_critic(start))
    changes = [
      np.mean(np.abs(result.attribute_probabilities - before)[:, :2])
      for result in (moved, kept)
    ]
    self.assertLess(changes[1], changes[0])

  @parameterized.parameters(("ode", 8), ("langevin", 4))
  def test_counts_evaluations(self, method, steps):
    sampler = energy.EnergySampler(_JUDGES, method, num_steps=4)
    result = judges.run(sampler.sample, judges.ask(2, Male=1.0))
    self.assertAllEqual(result.steps, [steps] * 2)
