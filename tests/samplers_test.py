"""Tests of properties of every sampler; each sampler has its own tests, too."""

import functools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import linear_directions
from lc_keras.samplers import actor
from lc_keras.samplers import energy
from lc_keras.samplers import extended
from lc_keras.samplers import flow
from lc_keras.samplers import gradient_search
from lc_keras.samplers import importance
from lc_keras.samplers import linear
from lc_keras.samplers import objective
from lc_keras.samplers import open_requests
from lc_keras.samplers import rejection
from lc_keras.samplers import sampler
from lc_keras.samplers import scaled
from lc_keras.samplers import table
from lc_keras.samplers import unconditional
from tests import analytic_judges as judges

_JUDGES = judges.JUDGES


def _linear():
  directions = linear_directions.LinearDirections(judges.LATENT_SIZE, 5)
  normals = judges.NORMALS.T
  directions.set_weights([normals, np.zeros(5), normals])
  return linear.LinearDirection(_JUDGES, directions)


def _actor():
  return actor.ActorSampler(
    _JUDGES, lambda z, values, mask: z - (values * mask)[:, :4]
  )


def _search():
  # Its objective draws noise.
  loss = objective.Objective(_JUDGES, keep_weight=1.0, attribute_noise=0.1)
  return gradient_search.GradientSearch(
    _JUDGES, loss, learning_rate=0.05, max_steps=4
  )


_SAMPLERS = {
  "actor": _actor,
  "best_of_n": lambda: rejection.BestOfN(_JUDGES, 9),
  "energy": lambda: energy.EnergySampler(_JUDGES, num_steps=4),
  "energy_langevin": lambda: energy.EnergySampler(
    _JUDGES, "langevin", num_steps=4
  ),
  "flow": lambda: flow.FlowSampler(_JUDGES, judges.Flow(), steps=4),
  "importance": lambda: importance.ImportanceResampling(
    _JUDGES, lambda latents: latents[:, 0] - 0.5, 9
  ),
  "linear": _linear,
  "open": lambda: open_requests.OpenRequests(
    _actor(), unconditional.Unconditional(_JUDGES)
  ),
  "extended": lambda: extended.Extended(_actor(), _search()),
  "scaled": lambda: scaled.Scaled(_actor(), 0.5),
  "search": _search,
  "search_actor": lambda: actor.SearchActorSampler(
    _JUDGES,
    lambda z, values, mask: z + (values * mask)[:, :4],
    rejection.BestOfN(_JUDGES, 3),
  ),
  "search_published": lambda: gradient_search.GradientSearch(
    _JUDGES, max_steps=4
  ),
  "unconditional": lambda: unconditional.Unconditional(_JUDGES),
}
# These choose among draws of the prior, and cannot start from an image.
_ONLY_SAMPLE = ("best_of_n", "importance")
_METHODS = [
  (name, how)
  for name in _SAMPLERS
  for how in ("sample", "transform")
  if how == "sample" or name not in _ONLY_SAMPLE
]


@functools.cache
def _sampler(name):
  return _SAMPLERS[name]()


def _inputs(how, rows, **targets):
  """Returns the arguments of a signature: (latents,) values, weights, seeds."""
  asked = judges.ask(rows, **targets)
  inputs = [asked.values, asked.weights, judges.seeds(rows)]
  return [judges.latents(rows), *inputs] if how == "transform" else inputs


class SamplersTest(tf.test.TestCase, parameterized.TestCase):
  def test_every_sampler_of_the_table_is_tested(self):
    self.assertContainsSubset({*table.SAMPLERS}, {*_SAMPLERS})
    for name in _SAMPLERS:
      transforms = isinstance(_sampler(name), sampler.Transformer)
      self.assertEqual(transforms, name not in _ONLY_SAMPLE)

  @parameterized.parameters(*_METHODS)
  def test_a_row_depends_on_its_request_and_seed_alone(self, name, how):
    function = judges.graph(getattr(_sampler(name), how))
    inputs = _inputs(how, 3, Smiling=1.0)
    together = function(*inputs)
    for row in range(3):
      alone = function(*(value[row : row + 1] for value in inputs))
      for one, whole in zip(alone, together):
        self.assertAllClose(one[0], whole[row], atol=1e-4, rtol=1e-4)
    if how == "sample":
      self.assertNotAllClose(together.latents[0], together.latents[1])

  @parameterized.parameters(*_METHODS)
  def test_is_the_same_outside_of_a_graph_and_takes_no_rows(self, name, how):
    method = getattr(_sampler(name), how)
    function = judges.graph(method)
    *latents, _, _, seeds = inputs = _inputs(how, 2, Male=1.0)
    made = function(*inputs)
    eager = method(*latents, judges.ask(2, Male=1.0), seeds)
    for field, value in made._asdict().items():
      self.assertAllClose(value, getattr(eager, field), atol=1e-4, rtol=1e-4)
    nothing = function(*_inputs(how, 0, Male=1.0))
    self.assertEqual(nothing.latents.shape, [0, judges.LATENT_SIZE])
    self.assertEqual(nothing.steps.dtype, tf.int32)

  @parameterized.parameters(*_METHODS)
  def test_the_judges_have_read_the_latents_that_are_returned(self, name, how):
    inputs = _inputs(how, 3, Male=1.0)
    made = judges.graph(getattr(_sampler(name), how))(*inputs)
    logits = judges.attribute_critic(made.latents)
    self.assertAllClose(made.attribute_probabilities, tf.sigmoid(logits))
    logits = judges.critic(made.latents, None, None)
    self.assertAllClose(made.realism, tf.sigmoid(logits))
