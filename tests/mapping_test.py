"""Tests of generators with a mapping, and of priors given by samples."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.generators import coordinates
from lc_keras.generators import generator
from lc_keras.generators import specs
from lc_keras.generators import writing
from lc_keras.models import attribute_critic
from tests import painted_mapping

_SEEDS = np.arange(400, dtype=np.int64)


class CoordinatesTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(1.0, 0.01, 0.2)
  def test_a_leaky_relu_is_undone(self, slope):
    random = np.random.default_rng(0)
    before = random.normal(size=[4000, 16]) @ random.normal(size=[16, 16])
    rows = np.where(before < 0.0, slope * before, before).astype(np.float32)

    found = coordinates.Coordinates.fit(rows, most_axes=5)

    self.assertEqual((found.slope, found.axes, found.size), (slope, 5, 16))
    latents = found.to_latents(rows)
    self.assertAllClose(np.cov(latents, rowvar=False), np.eye(16), atol=0.02)
    self.assertAllClose(found.to_own(latents), rows, atol=1e-3)

  def test_rows_in_few_dimensions_have_few_axes(self):
    random = np.random.default_rng(0)
    # Fewer rows than numbers, as the layers of W+ are.
    rows = random.normal(size=[60, 3]) @ random.normal(size=[3, 90])
    found = coordinates.Coordinates.fit(np.float32(rows) + 7.0)
    self.assertEqual((found.axes, found.size), (3, 3))
    self.assertAllClose(found.to_own(found.to_latents(rows + 7.0)), rows + 7.0)


class MappingTest(tf.test.TestCase, parameterized.TestCase):
  def test_draws_are_the_models_own(self):
    made = painted_mapping.generator()
    noise = painted_mapping.noise(_SEEDS[:5])
    images = painted_mapping.decode(painted_mapping.mapping(noise))
    self.assertAllClose(made.sample(_SEEDS[:5]), images, atol=1e-5)

  def test_latents_are_white_and_mapped_ones_are_not_normal(self):
    drawn = painted_mapping.generator().draw(_SEEDS).numpy()
    self.assertAllClose(drawn.mean(axis=0), np.zeros(6), atol=0.25)
    self.assertAllClose(np.cov(drawn, rowvar=False), np.eye(6), atol=0.35)

  def test_critics_see_controlled_axes_by_how_much_they_show(self):
    made = painted_mapping.generator()
    shape = made.mapping.coordinates
    self.assertLen(made.mapping.scales, shape.axes)
    self.assertAllClose(
      np.square(made.mapping.scales) / made.mapping.scales[0] ** 2,
      shape.deviations[: shape.axes] / shape.deviations[0],
    )
    critic = attribute_critic.AttributeCritic(6, 1, 8, 1, scales=[2.0, 0.5])
    latents = np.float32(np.random.default_rng(0).normal(size=[5, 6]))
    logits = critic(latents).numpy()
    self.assertGreater(logits.std(), 0.0)
    latents[:, 2:] = 0.0  # The critic does not read these.
    self.assertAllClose(critic(latents), logits)

  def test_truncation_moves_draws_towards_the_mean(self):
    made = painted_mapping.generator(truncation=0.5)
    own = made.mapping.coordinates.to_own(made.draw(_SEEDS)).numpy()
    made.mapping.truncation = 1.0
    whole = made.mapping.coordinates.to_own(made.draw(_SEEDS)).numpy()
    mean = made.mapping.coordinates.mean
    self.assertAllClose(own - mean, 0.5 * (whole - mean), atol=1e-4)

  def test_a_prior_may_be_samples(self):
    rows = painted_mapping.mapping(painted_mapping.noise(_SEEDS)).numpy()
    made = generator.Generator(painted_mapping.decode, prior=rows)
    own = made.mapping.coordinates.to_own(made.draw(_SEEDS[:9])).numpy()
    apart = np.abs(own[:, np.newaxis] - rows).max(axis=-1).min(axis=1)
    self.assertAllClose(apart, np.zeros(9), atol=1e-4)

  @parameterized.parameters("one for all layers", "one for each layer")
  def test_w_of_layers(self, layers):
    def mapping(noise):
      own = painted_mapping.mapping(noise)
      return own if layers.startswith("one for all") else tf.stack([own] * 3, 1)

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 6])])
    def decode(own):
      return painted_mapping.decode(tf.reduce_mean(own, axis=1))

    made = generator.Generator(decode, mapping=mapping, latent_size=4)
    self.assertEqual(made.latent_size, 6)
    plain = painted_mapping.generator().sample(_SEEDS[:2])
    self.assertAllClose(made.sample(_SEEDS[:2]), plain, atol=1e-4)

  def test_an_encoder_gives_w(self):
    made = painted_mapping.generator(encoder=painted_mapping.encode)
    drawn = made.draw(_SEEDS[:4])
    posterior = made.encode(made.decode(drawn).mean())
    self.assertAllClose(posterior.mean(), drawn, atol=0.02)

  def test_saved_and_opened_it_is_the_same(self):
    made = painted_mapping.generator(truncation=0.7)
    folder = self.create_tempdir().full_path
    writing.write(made, folder)
    opened = generator.load(folder)
    self.assertAllClose(opened.draw(_SEEDS[:3]), made.draw(_SEEDS[:3]))
    self.assertAllClose(opened.sample(_SEEDS[:3]), made.sample(_SEEDS[:3]))
    self.assertEqual(opened.mapping.truncation, 0.7)

    other = coordinates.Coordinates.fit(np.float32(np.eye(6)))
    other.write(f"{folder}/generator/coordinates.npz")
    with self.assertRaisesRegex(ValueError, "is not the file that was written"):
      specs.read_coordinates(
        specs.read(f"{folder}/generator"), f"{folder}/generator"
      )

  @parameterized.parameters(
    ({"mapping": lambda noise: noise[:2]}, "expected a latent vector of each"),
    ({"mapping": lambda z: 0.0 * tf.tile(z, [1, 2])[:, :6]}, "the same latent"),
    ({"mapping": np.zeros([4])}, "can only be a prior"),
    ({"mapping": lambda z: z, "prior": np.ones([3, 6])}, "`mapping`, not both"),
  )
  def test_what_is_no_mapping_is_refused(self, given, message):
    with self.assertRaisesRegex(ValueError, message):
      generator.Generator(painted_mapping.decode, latent_size=4, **given)

  def test_a_mapping_has_to_fit_the_decoder(self):
    @tf.function(input_signature=[tf.TensorSpec([None, 5])])
    def decode(own):
      return own

    with self.assertRaisesRegex(ValueError, "belong together"):
      generator.Generator(decode, mapping=painted_mapping.mapping)
