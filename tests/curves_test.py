"""Tests of generators whose outputs are curves instead of images."""

import os
import pathlib
import sys
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import lc_keras
from bulk import score
from lc_keras import plotting
from lc_keras.data import preprocessing
from lc_keras.generators import specs
from serving import endpoints
from serving import export
from serving import pictures
from tests import programs
from trainers import import_generator

_QUICK = {"width": 32, "depth": 1, "folds": 2, "steps": 200, "rounds": 1}
_TIME = np.linspace(0.0, 6.28, 50, dtype=np.float32)
_WAVES = 40.0 * np.stack([np.sin(_TIME), np.cos(_TIME), np.ones_like(_TIME)])


def _decode(latents):
  """z [n, 3] to two waves each, [n, 2, 50]."""
  waves = tf.matmul(latents, _WAVES)
  return tf.stack([waves, -waves], axis=1)


def _encode(curves):
  return tf.matmul(curves[:, 0], np.linalg.pinv(_WAVES))


def _high(curves):
  return curves[:, 0].mean(axis=1) > 0.0


def _generator(decoder=_decode, **said):
  return lc_keras.Generator(
    decoder, latent_size=3, **{"plot": plotting.LINES, **said}
  )


def draw(axes, curves):
  axes.plot(curves[1], color="red")
  axes.set_axis_off()


class CurvesTest(tf.test.TestCase, parameterized.TestCase):
  def test_values_stay_as_the_model_gives_them(self):
    made = _generator(encoder=_encode)
    self.assertEqual(made.image_shape, (2, 50))
    latents = np.float32(np.random.default_rng(0).normal(size=[5, 3]))
    self.assertAllClose(made.map(latents), _decode(latents), rtol=1e-4)
    self.assertLess(made.map(latents).min(), -30.0)
    self.assertIn("it made values from -", " ".join(made.notes))
    self.assertEqual(made.encode(made.map(latents)).mean().shape, [5, 3])

  def test_flat_ones_may_have_a_shape(self):
    flat = _generator(
      lambda z: tf.reshape(_decode(z), [-1, 100]), image_shape=(2, 50)
    )
    self.assertAllClose(flat.sample(range(2)), _generator().sample(range(2)))

  @parameterized.parameters(
    ({"plot": None}, "fit no usual range of pixels"),
    ({"plot": "waves"}, "does not say where a function is"),
    ({"plot": 3}, 'A plot is "lines", or a function'),
    ({"pixels": "logits"}, "leave pixels and pixel_range out"),
  )
  def test_refuses(self, said, sentence):
    with self.assertRaisesRegex(ValueError, sentence):
      _generator(**said)

  def test_flat_ones_are_told_how_to_be_no_images(self):
    with self.assertRaisesRegex(ValueError, "--plot=lines draws curves"):
      lc_keras.Generator(lambda z: 9.0 * z, latent_size=3)

  def test_rules_samples_edits_files_and_an_export(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    control = lc_keras.LatentConstraints(_generator(encoder=_encode))
    control.fit(control.generator.sample(range(300)), verbose=0)
    control.learn("High", rule=_high, count=2048, **_QUICK)
    made = control.sample("High", n=32)
    self.assertGreater(_high(made.images).mean(), 0.8)
    edited = control.transform(made.images, "not High")
    self.assertLess(_high(edited.images).mean(), 0.2)
    with self.assertRaisesRegex(ValueError, "must be finite floats"):
      control.transform(np.full([1, 2, 50], np.nan), "High")
    with self.subTest("a picture is of plots"):
      picture = made.picture()
      self.assertGreater(picture.width, 900)
      self.assertGreater(np.std(picture), 5.0)
    with self.subTest("in a folder"):
      control.save(folder / "mine")
      loaded = lc_keras.load(folder / "mine")
      again = loaded.sample("High", n=3)
      self.assertAllClose(
        again.images, control.sample("High", n=3).images, atol=0.1
      )
      self.assertEqual(again.picture().size, (984, 208))
    with self.subTest("as endpoints"):
      served = endpoints.build(export.choose_models(control.parts))
      decoded = served["decode"][0](tf.constant(made.latents[:2]))
      self.assertAllClose(decoded["images"], made.images[:2], atol=0.1)
      self.assertNotIn("image_bytes", decoded)
      self.assertFalse(
        any(served["describe"][0](tf.zeros([2], tf.int64))["are_images"])
      )
      self.assertIn("transform", served)
      self.assertNotIn("transform_encoded", served)
      codes = served["encode"][0](tf.constant(made.images[:2]))
      self.assertAllClose(codes["mean"], made.latents[:2], atol=0.1)

  def test_three_axes_make_no_image(self):
    folder = os.path.join(self.create_tempdir().full_path, "mine")
    made = _generator(lambda z: tf.stack([_decode(z)] * 3, axis=-1))
    self.assertEqual(made.image_shape, (2, 50, 3))
    control = lc_keras.LatentConstraints(made)
    control.fit(verbose=0)
    control.save(folder)
    with self.subTest("that a picture could become"):
      with self.assertRaisesRegex(ValueError, "arrays of 2 x 50 x 3"):
        lc_keras.load(folder).parts.preprocessing.load("face.png")
    with self.subTest("that a PNG file could hold"):
      scoring = score.Scoring(folder, None, "best", (), True, 0, {})
      with self.assertRaisesRegex(ValueError, "--images keeps PNG files"):
        scoring.open()
    with self.subTest("that the client could show"):
      outputs = {
        "images": made.sample(range(2)),
        "attribute_probabilities": np.zeros([2, 1]),
        "converged": np.ones([2], bool),
      }
      client = mock.Mock(
        attributes=lc_keras.Attributes(["High"]),
        preprocessing=preprocessing.Preprocessing((2, 50, 3), are_images=False),
        **{"sample.return_value": outputs},
      )
      picture = pictures.draw_samples(client, "High", 2, seed=0)
      shown = plotting.pictures(outputs["images"], plotting.LINES)
      self.assertEqual(picture, plotting.grid(shown[np.newaxis]))

  def test_a_function_draws(self):
    control = lc_keras.LatentConstraints(_generator(plot=draw))
    control.fit()
    outputs = control.generator.sample(range(2))
    shown = plotting.pictures(outputs, control.generator.plot)
    colours = shown[(shown != 255).any(axis=-1)]
    self.assertAllGreater(colours[:, 0], 200)
    with self.subTest("a folder knows it if it can be imported"):
      for plot, found in ((draw, f"{__name__}:draw"), (lambda *_: 0, "lines")):
        folder = os.path.join(self.create_tempdir().full_path, "mine")
        control.generator.plot = plot
        control.save(folder)
        self.assertEqual(lc_keras.load(folder).generator.plot, found)

  def test_an_encoder_is_learned_of_images_only(self):
    with self.assertRaisesRegex(ValueError, "transform latents"):
      lc_keras.LatentConstraints(_generator()).learn_encoder()

  def test_small_curves_that_begin_with_silence_are_told_apart(self):
    def given(factor):
      return _generator(
        decoder=lambda z: np.pad(
          factor * _decode(z).numpy(), [(0, 0), (4, 0), (0, 0)]
        )
      )

    spec = specs.without_model(given(1e-4), encodes=False)
    self.assertTrue(specs.is_the_same(spec, given(1e-4)))
    self.assertFalse(specs.is_the_same(spec, given(-1e-4)))

  def test_a_program_imports_them(self):
    folder = self.create_tempdir().full_path
    sys.modules["waves"] = sys.modules[__name__]
    self.addCleanup(sys.modules.pop, "waves")
    said = programs.run(
      import_generator,
      f"--run_dir={folder}/run",
      "--decoder=waves:_decode",
      "--latent_size=3",
      "--plot=waves:draw",
    )
    self.assertIn("arrays of 2 x 50", said)
    self.assertIn("prior_samples.png", said)
