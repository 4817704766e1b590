"""Tests of the signatures, as Python functions."""

import dataclasses
import io
import tempfile

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from lc_keras import losses
from lc_keras import priors
from lc_keras.models import vae
from serving import endpoints
from serving import export
from tests import tiny_run

_K = len(tiny_run.ATTRIBUTES)
_SEEDS = np.array([7, -1, 2**40, 7, 0], np.int64)


def _inputs(count, seed=0):
  """Returns values for every input there is."""
  random = np.random.default_rng(seed)
  return {
    "images": random.uniform(size=[count, *tiny_run.IMAGE_SHAPE]),
    "attributes": random.uniform(size=[count, _K]),
    "mask": random.integers(0, 2, [count, _K]),
    "latents": random.normal(size=[count, tiny_run.LATENT_SIZE]),
    "seed": random.integers(-(2**62), 2**62, count),
    "row": random.integers(-(2**62), 2**62, count),
  }


class EndpointsTest(tf.test.TestCase, parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    with tempfile.TemporaryDirectory() as folder:
      tiny_run.write(folder)
      cls.models = export.load_models(folder, "actor_0", "actor_0.1")
    cls.signatures = {}
    cls.functions = {}
    for name, (function, specs) in endpoints.build(cls.models).items():
      cls.signatures[name] = specs
      cls.functions[name] = tf.function(function, specs, autograph=False)

  def _call(self, name, **changes):
    """Calls a signature on 5 rows, with what is given in place of defaults."""
    values = {**_inputs(5), **changes}
    arguments = [
      tf.constant(values[spec.name], spec.dtype)
      for spec in self.signatures[name]
    ]
    outputs = self.functions[name](*arguments)
    return {key: value.numpy() for key, value in outputs.items()}

  def test_shapes_and_ranges(self):
    picture = (5, *tiny_run.IMAGE_SHAPE)
    latent = (5, tiny_run.LATENT_SIZE)
    pictures = {"images": picture, "image_bytes": (5,)}
    scores = {"realism": (5,), "attribute_probabilities": (5, _K)}
    drawn = {**pictures, **scores, "seed": (5,)}
    for name, shapes in {
      "sample": drawn,
      "transform": {**drawn, "distance": (5,)},
      "encode": {"mean": latent, "scale": latent},
      "decode": pictures,
      "score": scores,
      "describe": {
        "attribute_names": (5, _K),
        "attribute_excludes": (5, _K, _K),
        "example_attributes": (5, _K),
      },
    }.items():
      outputs = self._call(name)
      self.assertEqual({k: v.shape for k, v in outputs.items()}, shapes)
      for key in {"images", "realism", "attribute_probabilities"} & set(shapes):
        self.assertBetween(outputs[key].min(), 0.0, 1.0)
        self.assertBetween(outputs[key].max(), 0.0, 1.0)

  @parameterized.parameters(
    "sample", "transform", "encode", "decode", "score", "describe"
  )
  def test_a_row_does_not_depend_on_its_neighbours(self, name):
    together = self._call(name)
    random = np.random.default_rng(3)
    inputs = _inputs(5)
    for count in (0, 1, 2, 3, 9):
      rows = random.integers(0, 5, count)
      apart = self._call(name, **{k: v[rows] for k, v in inputs.items()})
      for key, value in together.items():
        self.assertEqual(apart[key].shape, (count, *value.shape[1:]))
        if value.dtype == np.float32:
          np.testing.assert_allclose(apart[key], value[rows], atol=1e-5)
        elif key != "image_bytes":  # A pixel may round the other way.
          np.testing.assert_array_equal(apart[key], value[rows])

  def test_no_rows_through_convolutions(self):
    # The tiny run has none; TensorFlow fails on empty ones.
    models = dataclasses.replace(
      self.models, vae=vae.VAE((16, 32, 3), tiny_run.LATENT_SIZE, "toon_faces")
    )
    signatures = endpoints.build(models)
    for name, key, shape in (
      ("encode", "mean", (0, tiny_run.LATENT_SIZE)),
      ("decode", "images", (0, 16, 32, 3)),
    ):
      function = tf.function(*signatures[name], autograph=False)
      spec = signatures[name][1][0]
      outputs = function(tf.zeros([0, *spec.shape[1:]]))
      self.assertEqual(outputs[key].shape, shape)

  def test_draws_are_the_priors_exactly(self):
    outputs = self._call("sample", seed=_SEEDS)
    np.testing.assert_array_equal(outputs["seed"], _SEEDS)
    start = priors.sample_rows(tf.constant(_SEEDS), tiny_run.LATENT_SIZE)
    attributes = tf.constant(_inputs(5)["attributes"], tf.float32)
    latents = self.models.sampler.actor(start, attributes)
    images = self.models.vae.decode(latents).mean()
    self.assertAllClose(outputs["images"], images, atol=1e-5)
    realism = tf.sigmoid(self.models.sampler.critic(latents, attributes))
    self.assertAllClose(outputs["realism"], realism, atol=1e-5)

  def test_the_seed_and_nothing_else_is_random(self):
    same = np.repeat(_inputs(1)["attributes"], 5, axis=0)
    first = self._call("sample", seed=_SEEDS, attributes=same)["images"]
    again = self._call("sample", seed=_SEEDS, attributes=same)["images"]
    np.testing.assert_array_equal(first, again)
    self.assertAllClose(first[0], first[3], atol=1e-5)  # Both have seed 7.
    self.assertNotAllClose(first[0], first[1], atol=1e-4)

  def test_pngs_are_the_images(self):
    outputs = self._call("decode")
    for png, image in zip(outputs["image_bytes"], outputs["images"]):
      pixels = np.asarray(Image.open(io.BytesIO(png))) / 255.0
      np.testing.assert_allclose(pixels, image[..., 0], atol=0.51 / 255)

  def test_transform_keeps_what_is_not_asked_for(self):
    inputs = _inputs(5)
    images = tf.constant(inputs["images"], tf.float32)
    posterior = self.models.vae.encode(images)
    own = self.models.attribute_model(posterior.mean()).numpy() > 0
    for column in range(_K):
      mask = np.eye(_K)[[column] * 5]
      wanted = np.where(mask, 1.0, own)
      wanted[:, self.models.attributes.excludes[column] > 0] = 0.0
      asked = self._call("transform", attributes=mask, mask=mask)
      # The same as to spell out all of it.
      spelt = self._call("transform", attributes=wanted, mask=np.ones([5, _K]))
      for key in ("images", "realism", "distance"):
        self.assertAllClose(asked[key], spelt[key], atol=1e-5)

  def test_transform_starts_from_a_draw_of_the_posterior(self):
    inputs = _inputs(5)
    mask = np.ones([5, _K])
    outputs = self._call("transform", mask=mask)
    encoded = self._call("encode")
    noise = priors.sample_rows(
      tf.constant(inputs["seed"]), tiny_run.LATENT_SIZE
    )
    start = encoded["mean"] + encoded["scale"] * noise
    moved = self.models.transformer.actor(
      start, tf.constant(inputs["attributes"], tf.float32)
    )
    distance = losses.latent_distance(
      moved, start, tf.constant(self.models.posterior_scale)
    )
    self.assertAllClose(outputs["distance"], distance, rtol=1e-4)
    self.assertAllClose(
      outputs["images"], self._call("decode", latents=moved)["images"], 1e-4
    )

  def test_describe(self):
    outputs = self._call("describe", row=np.array([0, 1, 2, 3, -1]))
    names = [name.decode() for name in outputs["attribute_names"][4]]
    self.assertSequenceEqual(names, tiny_run.ATTRIBUTES.names)
    np.testing.assert_array_equal(
      outputs["attribute_excludes"][4], tiny_run.ATTRIBUTES.excludes
    )
    # The rows of the run repeat three labels.
    np.testing.assert_array_equal(
      outputs["example_attributes"], tiny_run.LABELS[[0, 1, 2, 0, 2]]
    )

  @parameterized.parameters(
    ("sample", "attributes", np.nan),
    ("sample", "attributes", 1.001),
    ("transform", "images", -0.001),
    ("transform", "images", np.nan),
    ("transform", "attributes", np.inf),
    ("transform", "mask", 0.5),
    ("encode", "images", 255.0),
    ("decode", "latents", np.nan),
    ("decode", "latents", -np.inf),
    ("score", "latents", np.inf),
    ("score", "attributes", -1.0),
  )
  def test_refuses_values(self, name, key, value):
    array = _inputs(5)[key].astype(np.float32)
    array[-1].flat[-1] = value
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, f"{key}.*must"):
      self._call(name, **{key: array})

  @parameterized.parameters("sample", "transform", "score")
  def test_refuses_different_numbers_of_rows(self, name):
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "same number"):
      self._call(name, attributes=_inputs(1)["attributes"])


if __name__ == "__main__":
  tf.test.main()
