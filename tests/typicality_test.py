"""Tests of the realism of latents."""

import numpy as np
import tensorflow as tf

import lc_keras
from lc_keras import preset
from lc_keras.data import latents
from lc_keras.samplers import sampler
from lc_keras.samplers import typicality

_LATENT = 5


def _rows(rows, seed):
  """Returns latents of a skewed space, one axis of which holds only noise."""
  random = np.random.default_rng(seed)
  mean = random.normal(size=[rows, _LATENT]) * [3.0, 1.0, 0.5, 0.1, 0.0]
  mean = (mean + [0.0, 7.0, 0.0, 0.0, 0.0]).astype(np.float32)
  scale = np.full_like(mean, 0.05)
  scale[:, -1] = 1.0
  return latents.Latents(mean, scale, mean[:, :0])


def _draws(rows, seed=9):
  noise = np.random.default_rng(seed).normal(size=rows.mean.shape)
  return (rows.mean + rows.scale * noise).astype(np.float32)


class TypicalityTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.realism = typicality.Typicality(_rows(2000, 0), _rows(2000, 1))

  def _share(self, latents, least=0.5):
    return np.mean(tf.sigmoid(self.realism(latents)) >= least)

  def test_encoded_rows_that_are_new_pass(self):
    unseen = _draws(_rows(5000, 2))
    self.assertAllClose(self._share(unseen), 0.95, atol=0.02)
    self.assertAllClose(self._share(unseen, 0.9), 0.5, atol=0.04)
    self.assertGreater(self._share(unseen, sampler.REALISM_THRESHOLD), 0.95)

  def test_what_is_far_out_is_told_on_any_axis(self):
    rows = _draws(_rows(500, 2))
    center = np.float32([0.0, 7.0, 0.0, 0.0, 0.0])
    self.assertLess(self._share(center + 4.0 * (rows - center), 0.3), 0.1)
    self.assertEqual(self._share(-rows, 0.3), 0.0)
    for axis, deviation in enumerate([3.0, 1.0, 0.5, 0.1, 1.0]):
      moved = rows + 9.0 * deviation * np.eye(_LATENT, dtype=np.float32)[axis]
      self.assertEqual(self._share(moved, 0.3), 0.0)

  def test_takes_an_encoder_without_noise_and_a_single_row(self):
    mean = _rows(50, 0).mean
    exact = latents.Latents(mean, np.zeros_like(mean), mean[:, :0])
    realism = typicality.Typicality(exact, exact.take(slice(1)))
    self.assertAllEqual(realism(mean[:1]) > -1e-3, [True])
    self.assertAllEqual(realism(mean[:1] + 99.0) < -9.0, [True])

  def test_is_the_judge_wherever_it_is_given(self):
    judges = sampler.Judges(
      lc_keras.Attributes(["Any"]),
      critic=lambda latents, values, mask: -9.0 + 0.0 * latents[:, 0],
      attribute_critic=lambda latents: latents[:, :1],
      posterior_scale=tf.ones([_LATENT]),
      realism=self.realism,
    )
    asked = lc_keras.parse("Any", judges.attributes).rows(2)
    rows = tf.constant([[1.0, 7.0, 0.0, 0.0, 0.0], [99.0, 7.0, 0.0, 0.0, 0.0]])
    for search in (
      lc_keras.GradientSearch(judges, max_steps=1, tolerance=0.5),
      lc_keras.GradientSearch(judges, max_steps=0, tolerance=0.5),
    ):
      found = search.improve(rows, asked, tf.range(2, dtype=tf.int64))
      self.assertAllEqual(found.converged, [True, False])
      self.assertAllClose(
        found.realism, tf.sigmoid(self.realism(found.latents))
      )


class PresetTest(tf.test.TestCase):
  def test_good_pictures_pass_and_bad_ones_are_told(self):
    parts = lc_keras.load(preset.presets()["toon_faces"].folder).parts
    judges = parts.own_judges()
    nothing = lc_keras.Constraint(*tf.zeros([2, 1, len(judges.attributes)]))

    def passed(latents):
      realism = judges.realism_of(tf.constant(latents, tf.float32), nothing)
      return np.mean(realism > sampler.REALISM_THRESHOLD)

    rows = parts.latents["test"]
    self.assertGreater(passed(_draws(rows)), 0.95)
    self.assertGreater(passed(rows.mean), 0.95)
    prior = np.random.default_rng(0).normal(size=[200, rows.mean.shape[1]])
    for far in (prior, 3.0 * prior, 2.0 * _draws(rows)):
      self.assertLess(passed(far), 0.02)
    hard = lc_keras.parse("Smiling, Eyeglasses", judges.attributes).rows(16)
    seeds = tf.range(16, dtype=tf.int64)
    made = parts.build_sampler().sample(hard, seeds)
    self.assertGreaterEqual(np.sum(made.converged), 15)
