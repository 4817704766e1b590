"""Tests of distilled_actor."""

import keras
import numpy as np
import tensorflow as tf

from lc_keras.data import latents as latent_rows
from lc_keras.models import distilled_actor
from lc_keras.models import flow_matching
from lc_keras.models import whitening
from lc_keras.samplers import flow as flow_sampler
from tests import testing

_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH = 4, 5, 8, 2


def _inputs(rows=3):
  return testing.requests(rows, _LATENT, _ATTRIBUTES)


def _flow():
  """Returns an adapted flow with a velocity that is not zero."""
  keras.utils.set_random_seed(0)
  flow = flow_matching.FlowMatching(_LATENT, _ATTRIBUTES, _WIDTH, _DEPTH)
  random = np.random.default_rng(1)
  flow.velocity.set_weights(
    [
      weight + 0.3 * random.normal(size=weight.shape)
      for weight in flow.velocity.get_weights()
    ]
  )
  mean = random.normal(size=[500, _LATENT]) * [3.0, 1.0, 1.0, 0.1] + 2.0
  flow.whitening.adapt(
    latent_rows.Latents(
      mean.astype(np.float32),
      np.full([500, _LATENT], 0.5, np.float32),
      np.zeros([500, _ATTRIBUTES], np.float32),
    )
  )
  return flow


def _actor(flow=None, strides=1):
  layer = distilled_actor.DistilledActor(
    _LATENT,
    _ATTRIBUTES,
    _WIDTH,
    _DEPTH,
    flow.whitening if flow else whitening.Whitening(_LATENT),
    strides,
  )
  if flow:
    layer.start_as(flow)
  return layer


def _set_gate(layer, raw):
  kernel, bias = layer.gate.layers[-1].get_weights()
  layer.gate.layers[-1].set_weights([0 * kernel, 0 * bias + raw])


class DistilledActorTest(tf.test.TestCase):
  def test_a_closed_gate_is_the_identity(self):
    layer, (latents, values, mask) = _actor(_flow()), _inputs()
    _set_gate(layer, -100.0)
    self.assertAllClose(layer(latents, values, mask), latents, atol=1e-5)

  def test_begins_as_its_teacher(self):
    flow, (_, values, mask) = _flow(), _inputs()
    noise = np.random.default_rng(2).normal(size=[3, _LATENT])
    noise = noise.astype(np.float32)
    layer, signal = _actor(flow), flow.whitening.signal
    _set_gate(layer, 100.0)
    # At the noise end, the velocity is the expected latent.
    heading = flow(noise, tf.zeros([3]), values, mask)
    moved = layer(flow.whitening.undo(noise), values, mask)
    self.assertAllClose(
      flow.whitening(moved), (1 - signal) * noise + signal * heading, atol=1e-4
    )
    _set_gate(layer, 0.0)  # A fresh gate is half open.
    self.assertAllClose(
      flow.whitening(layer(flow.whitening.undo(noise), values, mask)),
      (1 - signal / 2) * noise + signal / 2 * heading,
      atol=1e-4,
    )

  def test_in_many_strides_it_follows_the_flow(self):
    flow, (latents, values, mask) = _flow(), _inputs()
    layer, signal = _actor(flow, strides=200), flow.whitening.signal
    _set_gate(layer, 100.0)
    noise = flow.whitening(latents)
    end = flow_sampler.integrate(
      flow_sampler.conditioned(flow, values, mask),
      noise,
      0.0,
      flow_matching.LATENT_ANGLE,
      50,
    )
    self.assertAllClose(
      flow.whitening(layer(latents, values, mask)),
      (1 - signal) * noise + signal * end,
      atol=0.03,
    )

  def test_keeps_what_is_only_the_posteriors_noise(self):
    flow, (latents, values, mask) = _flow(), _inputs()
    flow.whitening.signal.assign([0.0, 1.0, 1.0, 1.0])
    moved = flow.whitening(_actor(flow)(latents, values, mask))
    before = flow.whitening(latents)
    self.assertAllClose(moved[:, 0], before[:, 0], atol=1e-5)
    self.assertNotAllClose(moved[:, 1], before[:, 1])
