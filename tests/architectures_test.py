"""Tests of architectures: shapes, sizes and the published initial weights."""

import math
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.models import architectures

# A shape that each architecture supports, with different sides if possible.
_SHAPES = {
  "celeb_a": (16, 32, 2),
  "conv_medium": (16, 32, 2),
  "conv_small": (32, 16, 1),
  "mlp": (8, 16, 1),
  "mlp_small": (8, 16, 1),
  "residual": (16, 32, 2),
  "toon_faces": (16, 32, 2),
}


def _networks(name, shape, latent_size):
  """Returns the encoder, decoder, classifier and generator, built."""
  networks = architectures.get(name, shape)
  return (
    architectures.stack(shape, networks.encoder(shape, 2 * latent_size), "e"),
    architectures.stack(
      (latent_size,), networks.decoder(latent_size, shape), "d"
    ),
    architectures.stack(shape, networks.classifier(shape), "c"),
    architectures.stack(
      (latent_size,), networks.generator(latent_size, shape), "g"
    ),
  )


def _products(network):
  """Returns the multiplications of a network for one image."""
  count = 0
  for layer in network.layers:
    inputs, outputs = layer.input.shape[1:-1], layer.output.shape[1:-1]
    transposed = "Transpose" in type(layer).__name__
    places = math.prod(inputs if transposed else outputs)
    kernels = [v for v in layer.variables if v.name == "kernel"]
    count += places * sum(math.prod(kernel.shape) for kernel in kernels)
  return count


class ShapesTest(tf.test.TestCase, parameterized.TestCase):
  def test_every_architecture_is_tested(self):
    self.assertEqual(tuple(sorted(_SHAPES)), architectures.NAMES)

  # The published celeb_a network is too large to build several times.
  @parameterized.parameters("conv_small", "mlp_small", "residual", "toon_faces")
  def test_networks_map_images_to_codes_and_back(self, name):
    shape = _SHAPES[name]
    encoder, decoder, classifier, generator = _networks(name, shape, 4)
    images = np.random.default_rng(0).random([3, *shape]).astype(np.float32)
    codes = encoder(images)
    self.assertEqual(codes.shape, [3, 8])
    self.assertEqual(decoder(codes[:, :4]).shape, [3, *shape])
    self.assertEqual(generator(codes[:, :4]).shape, [3, *shape])
    features = classifier(images)
    self.assertEqual(features.shape.rank, 2)
    self.assertEqual(features.shape[0], 3)
    # Codes and logits are not activated: they take both signs.
    for output in (codes, decoder(codes[:, :4]), generator(codes[:, :4])):
      self.assertLess(np.min(output), 0)
      self.assertGreater(np.max(output), 0)

  @parameterized.parameters("conv_small", "mlp_small", "residual", "toon_faces")
  def test_gradients_reach_every_variable(self, name):
    shape = _SHAPES[name]
    encoder, decoder, classifier, generator = _networks(name, shape, 4)
    images = np.random.default_rng(0).random([3, *shape]).astype(np.float32)
    with tf.GradientTape() as tape:
      codes = encoder(images)
      loss = tf.reduce_mean(decoder(codes[:, :4]) ** 2)
      loss += tf.reduce_mean(generator(codes[:, :4]) ** 2)
      loss += tf.reduce_mean(codes**2) + tf.reduce_mean(classifier(images) ** 2)
    variables = [
      variable
      for network in (encoder, decoder, classifier, generator)
      for variable in network.trainable_variables
    ]
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
      self.assertIsNotNone(gradient, variable.path)
      self.assertGreater(tf.norm(gradient), 0.0, variable.path)
      self.assertAllInRange(gradient, -1e6, 1e6)

  def test_the_celeb_a_networks_are_the_published_ones(self):
    shape = (64, 64, 3)
    # Parameters are counted only: initial weights need not be drawn.
    with mock.patch.object(
      architectures, "_fan_in_normal", lambda fan_in: "zeros"
    ):
      networks = architectures.get("celeb_a", shape)
      encoder = architectures.stack(shape, networks.encoder(shape, 2048), "e")
      decoder = architectures.stack((1024,), networks.decoder(1024, shape), "d")
    self.assertEqual(encoder.output_shape, (None, 2048))
    self.assertEqual(decoder.output_shape, (None, 64, 64, 3))
    self.assertAlmostEqual(encoder.count_params() / 1e6, 94.0, places=1)
    # 60.48 M, which is published as 60.4.
    self.assertEqual(int(decoder.count_params() / 1e5), 604)
    # As in docs/performance.md.
    published = _products(encoder) + _products(decoder)
    self.assertEqual(round(published / 1e6), 3026)
    networks = architectures.get("residual", shape)
    encoder = architectures.stack(shape, networks.encoder(shape, 2048), "e")
    decoder = architectures.stack((1024,), networks.decoder(1024, shape), "d")
    self.assertEqual(round(_products(encoder) + _products(decoder), -6), 304e6)
    count = encoder.count_params() + decoder.count_params()
    self.assertEqual(round(count / 1e5), 266)


class RefusalsTest(tf.test.TestCase, parameterized.TestCase):
  def test_an_unknown_name_is_answered_with_the_known(self):
    with self.assertRaisesRegex(
      ValueError, "'resnet'.*celeb_a, .*mlp, mlp_small, residual, toon"
    ):
      architectures.get("resnet", (64, 64, 3))

  @parameterized.product(
    name=["celeb_a", "toon_faces"], shape=[(28, 28, 1), (64, 40, 3)]
  )
  def test_images_must_fit(self, name, shape):
    with self.assertRaisesRegex(ValueError, "multiples of 16.*'mlp' takes any"):
      architectures.get(name, shape)

  def test_mlp_takes_any_size(self):
    encoder, decoder, *_ = _networks("mlp_small", (7, 5, 3), 4)
    self.assertEqual(encoder.output_shape, (None, 8))
    self.assertEqual(decoder.output_shape, (None, 7, 5, 3))


class InitialWeightsTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters("conv_small", "mlp_small", "toon_faces")
  def test_have_the_published_deviation(self, name):
    shape = (32, 48, 2)
    *published, _ = _networks(name, shape, 64)
    for network in published:
      for layer in network.layers:
        if not layer.weights:
          continue
        kernel, bias = layer.get_weights()
        self.assertAllEqual(bias, np.zeros_like(bias))
        # Dense [in, out], convolution [k, k, in, out], transposed convolution
        # [k, k, OUT, in].
        fan_in = {
          "Dense": lambda s: s[0],
          "Conv2D": lambda s: math.prod(s[:3]),
          "Conv2DTranspose": lambda s: math.prod(s[:2]) * s[3],
        }[type(layer).__name__](kernel.shape)
        # A normal truncated at two deviations has 0.88 of its deviation.
        kept = kernel.std() * math.sqrt(fan_in)
        self.assertBetween(kept, 0.8, 0.96, f"{layer.name} {kernel.shape}")
        self.assertAllInRange(kernel * math.sqrt(fan_in), -2.001, 2.001)

  def test_a_generator_begins_with_images_that_differ(self):
    *_, generator = _networks("toon_faces", (32, 48, 2), 64)
    latents = np.random.default_rng(0).normal(size=[64, 64])
    deviation = generator(latents.astype(np.float32)).numpy().std(axis=0)
    self.assertBetween(deviation.mean(), 0.1, 1.0)

  def test_a_trunk_is_hidden_layers_and_a_linear_one(self):
    trunk = architectures.stack((5,), architectures.trunk(5, 7, 3, 2), "t")
    self.assertEqual(
      [layer.kernel.shape for layer in trunk.layers],
      [(5, 7), (7, 7), (7, 7), (7, 2)],
    )
    self.assertEqual(
      [layer.activation.__name__ for layer in trunk.layers],
      ["relu"] * 3 + ["linear"],
    )
