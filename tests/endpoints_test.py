"""Tests of the signatures, as Python functions."""

import dataclasses
import io
import os

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from lc_keras import losses
from lc_keras import priors
from lc_keras.constraints import constraint
from lc_keras.models import gan
from lc_keras.models import storage
from lc_keras.models import vae
from serving import endpoints
from tests import exported_run
from tests import tiny_run

_K = len(tiny_run.ATTRIBUTES)
_SEEDS = np.array([7, -1, 2**40, 7, 0], np.int64)
_SAMPLES = ("sample", *(f"sample_{name}" for name in exported_run.OTHERS))
_TRANSFORMATIONS = ("transform", "transform_encoded", "transform_search")
_SIGNATURES = (
  *_SAMPLES,
  *_TRANSFORMATIONS,
  "encode",
  "decode",
  "score",
  "describe",
)


class EndpointsTest(tf.test.TestCase, parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.models = exported_run.models()
    cls.pairs = {
      name: storage.load(os.path.join(exported_run.run_dir(), name))
      for name in (exported_run.SAMPLE_ACTOR, exported_run.TRANSFORM_ACTOR)
    }
    traced = exported_run.signatures()
    cls.functions = {name: function for name, (function, _) in traced.items()}
    cls.signatures = {name: specs for name, (_, specs) in traced.items()}

  def _call(self, name, **changes):
    """Calls a signature on 5 rows; given inputs replace the defaults."""
    values = {**exported_run.inputs(5), **changes}
    arguments = {
      spec.name: tf.constant(values[spec.name], spec.dtype)
      for spec in self.signatures[name]
    }
    outputs = self.functions[name](**arguments)
    return {key: value.numpy() for key, value in outputs.items()}

  def test_shapes_and_ranges(self):
    picture = (5, *tiny_run.IMAGE_SHAPE)
    latent = (5, tiny_run.LATENT_SIZE)
    pictures = {"images": picture, "image_bytes": (5,)}
    scores = {"realism": (5,), "attribute_probabilities": (5, _K)}
    drawn = dict.fromkeys(("distance", "converged", "steps", "seed"), (5,))
    drawn.update(**pictures, **scores, latents=latent)
    expected = {
      **dict.fromkeys(_SAMPLES + _TRANSFORMATIONS, drawn),
      "transform_encoded": {**drawn, "start": picture},
      "encode": {"mean": latent, "scale": latent},
      "decode": pictures,
      "score": scores,
      "describe": {
        "attribute_names": (5, _K),
        "attribute_excludes": (5, _K, _K),
        "attribute_continuous": (5, _K),
        "image_shape": (5, 3),
        "image_crop": (5,),
        "are_images": (5,),
      },
    }
    self.assertCountEqual(self.signatures, expected)
    self.assertEqual(next(iter(self.signatures)), "sample")
    for name, shapes in expected.items():
      outputs = self._call(name)
      self.assertEqual({k: v.shape for k, v in outputs.items()}, shapes)
      for key in {"images", "realism", "attribute_probabilities"} & set(shapes):
        self.assertBetween(outputs[key].min(), 0.0, 1.0)
        self.assertBetween(outputs[key].max(), 0.0, 1.0)

  @parameterized.parameters(*_SIGNATURES)
  def test_a_row_does_not_depend_on_its_neighbours(self, name):
    together = self._call(name)
    random = np.random.default_rng(3)
    inputs = exported_run.inputs(5)
    for count in (0, 1, 9):
      rows = random.integers(0, 5, count)
      apart = self._call(name, **{k: v[rows] for k, v in inputs.items()})
      for key, value in together.items():
        self.assertEqual(apart[key].shape, (count, *value.shape[1:]))
        if value.dtype == np.float32:
          np.testing.assert_allclose(
            apart[key], value[rows], rtol=1e-4, atol=1e-4
          )
        elif key != "image_bytes":  # A pixel may round the other way.
          np.testing.assert_array_equal(apart[key], value[rows])

  def test_rows_go_through_in_chunks(self):
    random = np.random.default_rng(4)
    latents = random.normal(size=[130, tiny_run.LATENT_SIZE])
    together = self._call("decode", latents=latents)["images"]
    for rows in (slice(0, 64), slice(60, 70), slice(128, 130)):
      apart = self._call("decode", latents=latents[rows])["images"]
      np.testing.assert_allclose(together[rows], apart, atol=1e-5)

  def test_a_call_has_a_limit_of_rows(self):
    self.assertLen(
      self._call("describe", row=np.zeros(1024))["attribute_names"], 1024
    )
    with self.assertRaisesRegex(
      tf.errors.InvalidArgumentError, "A call may have 1024 rows"
    ):
      self._call("describe", row=np.zeros(1025))

  def test_no_rows_through_convolutions(self):
    # The tiny run has no convolutions; TensorFlow's fail on empty batches.
    model = vae.VAE((16, 32, 3), tiny_run.LATENT_SIZE, "toon_faces")
    models = dataclasses.replace(
      self.models, generator=model, encode=model.encode
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

  def test_a_model_that_cannot_encode_takes_no_images(self):
    model = gan.GAN((28, 28, 1), tiny_run.LATENT_SIZE, "mlp_small")
    models = dataclasses.replace(self.models, generator=model, encode=None)
    signatures = endpoints.build(models)
    self.assertContainsSubset(
      ["sample", "sample_search", "decode", "score"], signatures
    )
    for name, (_, inputs) in signatures.items():
      self.assertNotIn("transform", name)
      self.assertNotIn("images", [spec.name for spec in inputs])

  def test_draws_are_the_priors_exactly(self):
    inputs = exported_run.inputs(5)
    outputs = self._call("sample", seed=_SEEDS)
    np.testing.assert_array_equal(outputs["seed"], _SEEDS)
    start = priors.sample_rows(tf.constant(_SEEDS), tiny_run.LATENT_SIZE)
    values = tf.constant(inputs["attributes"], tf.float32)
    mask = tf.constant(inputs["mask"] > 0, tf.float32)
    latents = self.pairs["actor_0"].actor(start, values, mask)
    images = self.models.generator.decode(latents).mean()
    self.assertAllClose(outputs["images"], images, atol=1e-5)
    judges = self.models.sampler.judges
    realism = judges.realism_of(latents, constraint.Constraint(values, mask))
    self.assertAllClose(outputs["realism"], realism, atol=1e-5)

  @parameterized.parameters(*_SAMPLES, *_TRANSFORMATIONS, "score")
  def test_values_of_what_is_open_do_not_count(self, name):
    inputs = exported_run.inputs(5)
    others = np.where(inputs["mask"] > 0, inputs["attributes"], 0.9)
    outputs = self._call(name)
    for key, value in self._call(name, attributes=others).items():
      np.testing.assert_array_equal(value, outputs[key])

  @parameterized.parameters(*_SAMPLES, *_TRANSFORMATIONS, "score")
  def test_refuses_what_rules_each_other_out(self, name):
    attributes, mask = np.zeros([2, 5, _K])
    attributes[1, [0, 2]] = 1.0  # Bald and Blond_Hair.
    mask[1, 0] = 1.0
    self._call(name, attributes=attributes, mask=mask)
    mask[1, 2] = 0.1
    with self.assertRaisesRegex(
      tf.errors.InvalidArgumentError,
      "at most one of Bald, Black_Hair, Blond_Hair in a row",
    ):
      self._call(name, attributes=attributes, mask=mask)

  @parameterized.parameters("sample_search", "transform_search")
  def test_realism_weighs(self, name):
    # Far from any target, so that no row stops before its first step.
    some = {"attributes": np.zeros([5, _K]), "mask": np.ones([5, _K])}
    none, much = (
      self._call(name, realism_weight=np.full([5], weight), **some)
      for weight in (0.0, 1e3)
    )
    self.assertAllGreater(none["steps"], 0)
    self.assertNotAllClose(none["distance"], much["distance"])

  def test_strength(self):
    outputs = {
      strength: self._call("transform", strength=np.full([5], strength))
      for strength in (0.0, 0.5, 1.0)
    }
    self.assertAllEqual(outputs[0.0]["distance"], np.zeros([5]))
    self.assertAllGreater(outputs[0.5]["distance"], 0.0)
    self.assertAllGreater(
      outputs[1.0]["distance"] - outputs[0.5]["distance"], 0.0
    )
    mixed = self._call("transform", strength=[0.0, 0.5, 1.0, 0.5, 0.0])
    for row, strength in enumerate((0.0, 0.5, 1.0, 0.5, 0.0)):
      self.assertAllClose(
        mixed["images"][row], outputs[strength]["images"][row], atol=1e-5
      )

  @parameterized.parameters(*_SAMPLES)
  def test_the_seed_and_nothing_else_is_random(self, name):
    same = {
      key: np.repeat(exported_run.inputs(1)[key], 5, axis=0)
      for key in ("attributes", "mask", "realism_weight")
    }
    first = self._call(name, seed=_SEEDS, **same)["images"]
    again = self._call(name, seed=_SEEDS, **same)["images"]
    np.testing.assert_array_equal(first, again)
    self.assertAllClose(first[0], first[3], atol=1e-5)  # Both have seed 7.
    self.assertNotAllClose(first[0], first[1], atol=1e-4)

  def test_pngs_are_the_images(self):
    outputs = self._call("decode")
    for png, image in zip(outputs["image_bytes"], outputs["images"]):
      pixels = np.asarray(Image.open(io.BytesIO(png))) / 255.0
      np.testing.assert_allclose(pixels, image[..., 0], atol=0.51 / 255)

  def test_transform_starts_from_a_draw_of_the_posterior(self):
    inputs, mask = exported_run.inputs(5), np.ones([5, _K])
    outputs = self._call("transform", mask=mask)
    moved = self._moved(inputs["attributes"], mask, inputs["strength"])
    distance = losses.latent_distance(
      moved, self._start(), self.models.sampler.judges.posterior_scale
    )
    self.assertAllClose(outputs["distance"], distance, rtol=1e-4)
    self.assertAllClose(
      outputs["images"], self._call("decode", latents=moved)["images"], 1e-4
    )
    self.assertAllClose(outputs["latents"], moved, rtol=1e-4)

  @parameterized.parameters("sample", "sample_search", "transform_search")
  def test_latents_are_those_of_the_images(self, name):
    outputs = self._call(name)
    latents = outputs["latents"]
    self.assertAllClose(
      outputs["images"], self._call("decode", latents=latents)["images"], 1e-4
    )
    self.assertAllClose(
      outputs["attribute_probabilities"],
      self._call("score", latents=latents)["attribute_probabilities"],
      rtol=1e-4,
    )

  def _start(self):
    """Returns the latent vectors that transformations start from."""
    encoded = self._call("encode")
    noise = priors.sample_rows(
      tf.constant(exported_run.inputs(5)["seed"]), tiny_run.LATENT_SIZE
    )
    return encoded["mean"] + encoded["scale"] * noise

  def _moved(self, values, mask, strength):
    """Returns the latents that the actor of `transform` moves to."""
    start = self._start()
    moved = self.pairs["actor_0.1"].actor(
      start, tf.constant(values, tf.float32), tf.constant(mask, tf.float32)
    )
    strength = strength[:, np.newaxis].astype(np.float32)
    return start + strength * (moved - start)

  def test_describe(self):
    outputs = self._call("describe")
    self.assertAllEqual(outputs["image_shape"][4], tiny_run.IMAGE_SHAPE)
    self.assertEqual(outputs["image_crop"][4].decode(), tiny_run.CROP)
    self.assertTrue(outputs["are_images"][4])
    names = [name.decode() for name in outputs["attribute_names"][4]]
    self.assertSequenceEqual(names, tiny_run.ATTRIBUTES.names)
    np.testing.assert_array_equal(
      outputs["attribute_excludes"][4], tiny_run.ATTRIBUTES.excludes
    )
    np.testing.assert_array_equal(
      outputs["attribute_continuous"][4], [0, 0, 0, 0, 1]
    )

  @parameterized.parameters(
    ("sample", "attributes", np.nan),
    ("sample", "attributes", 1.001),
    ("transform", "images", -0.001),
    ("transform", "mask", np.inf),
    ("transform", "strength", -1.0),
    ("transform", "strength", 10.5),
    ("transform_search", "realism_weight", np.nan),
    ("sample_best_of_n", "realism_weight", -1.0),
    ("sample_search", "mask", np.nan),
    ("encode", "images", np.nan),
    ("decode", "latents", -np.inf),
    ("score", "latents", np.inf),
    ("score", "attributes", -1.0),
  )
  def test_refuses_values(self, name, key, value):
    array = exported_run.inputs(5)[key].astype(np.float32)
    array.flat[-1] = value
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, f"{key}.*must"):
      self._call(name, **{key: array})

  def test_says_how_to_scale_pixels(self):
    pixels = np.full_like(exported_run.inputs(5)["images"], 255)
    with self.assertRaisesRegex(
      tf.errors.InvalidArgumentError, "divide pixels of 0 to 255 by 255"
    ):
      self._call("transform", images=pixels)

  @parameterized.parameters(*_SAMPLES, *_TRANSFORMATIONS, "score")
  def test_refuses_different_numbers_of_rows(self, name):
    for key in {spec.name for spec in self.signatures[name]}:
      with self.assertRaisesRegex(
        tf.errors.InvalidArgumentError, "same number"
      ):
        self._call(name, **{key: exported_run.inputs(1)[key]})
