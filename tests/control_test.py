"""Tests of control: wishes in, pictures out, and constraints learnt between."""

import io
import os

import numpy as np
import tensorflow as tf
from PIL import Image

import lc_keras
from lc_keras import control
from lc_keras.learning import labels
from tests import tiny_run

_QUICK = {"width": 16, "depth": 1, "folds": 2, "steps": 60, "rounds": 2}


def _brightness(images):
  return images.mean(axis=(1, 2, 3))


class ControlTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls._folder = os.path.join(cls.get_temp_dir(cls()), "run")
    tiny_run.write(cls._folder)
    cls._generator = lc_keras.load(cls._folder)

  def _images(self, count=5):
    random = np.random.default_rng(0)
    shape = [count, *tiny_run.IMAGE_SHAPE]
    return random.uniform(size=shape).astype(np.float32)

  def test_wishes_are_joined_and_sampled(self):
    generator = self._generator
    self.assertIsInstance(generator, control.ControlledGenerator)
    wish = generator.constraint("smiling") & ~generator.constraint("Male")
    made = generator.sample(wish, n=5, seed=3)
    self.assertEqual(made.images.shape, (5, *tiny_run.IMAGE_SHAPE))
    self.assertAllInRange(made.images, 0.0, 1.0)
    self.assertEqual(set(made.probabilities), set(tiny_run.ATTRIBUTES.names))
    for other in (
      generator.sample("Smiling, not Male", n=5, seed=3),
      generator.sample(wish, n=5, seed=3),
    ):
      self.assertAllEqual(other.images, made.images)
    # The first of many are those of few; another seed has none in common.
    few = generator.sample(wish, n=2, seed=3)
    self.assertAllClose(few.images, made.images[:2], atol=1e-6)
    others = generator.sample(wish, n=5, seed=4)
    self.assertNotAllClose(others.images, made.images, atol=1e-4)

  def test_the_actor_answers_what_it_knows(self):
    wish = self._generator.constraint("Male")
    made = self._generator.sample(wish, n=3)
    self.assertAllEqual(made.steps, [1, 1, 1])

  def test_images_are_transformed_by_every_sampler(self):
    for sampler in ("best", "flow", "search"):
      made = self._generator.transform(
        self._images(), "not Male", sampler=sampler
      )
      self.assertEqual(made.images.shape, self._images().shape)
      self.assertAllGreaterEqual(made.distance, 0.0)

  def test_a_change_can_be_made_by_half(self):
    none, half, whole = [
      self._generator.transform(self._images(), "not Male", strength=strength)
      for strength in (0.0, 0.5, 1.0)
    ]
    self.assertAllEqual(none.distance, np.zeros(5))
    self.assertAllClose(
      half.latents, 0.5 * (none.latents + whole.latents), atol=1e-5
    )
    self.assertAllGreater(whole.distance, 0.0)

  def test_shows_a_picture_in_a_notebook(self):
    made = self._generator.sample("Male", n=10)
    with Image.open(io.BytesIO(made._repr_png_())) as picture:
      self.assertEqual(picture.format, "PNG")
      height, width, _ = tiny_run.IMAGE_SHAPE
      self.assertGreater(picture.width, 8 * width)
      self.assertGreater(picture.height, 2 * height)

  def test_a_rule_becomes_a_constraint_that_is_kept(self):
    folder = os.path.join(self.create_tempdir().full_path, "run")
    tiny_run.write(folder)
    generator = lc_keras.load(folder)
    middle = float(np.median(_brightness(generator.sample("Male", 64).images)))
    before = generator.sample("Male", 4, seed=1)
    bright = generator.learn_rule(
      "Bright",
      _brightness,
      threshold=middle,
      count=2048,
      # This model was never trained, and knows no difference within its noise.
      noise_scale=0.1,
      **{**_QUICK, "steps": 200},
    )
    self.assertEqual(str(bright), "Bright")
    self.assertGreater(
      generator.about("Bright")["figures"]["balanced_accuracy"]["value"], 0.8
    )
    made = generator.sample(bright & generator.constraint("Male"), 16)
    dark = generator.sample(~bright & generator.constraint("Male"), 16)
    self.assertGreater(
      _brightness(made.images).mean(), _brightness(dark.images).mean()
    )
    # Who does not ask for it does not notice it.
    self.assertAllEqual(
      generator.sample("Male", 4, seed=1).images, before.images
    )
    again = lc_keras.load(folder)
    self.assertAllClose(
      again.sample("Bright, Male", 16).latents, made.latents, atol=1e-5
    )

  def test_labels_become_a_constraint_or_are_refused(self):
    folder = os.path.join(self.create_tempdir().full_path, "run")
    tiny_run.write(folder)
    generator = lc_keras.load(folder)
    random = np.random.default_rng(0)
    latents = random.normal(size=[200, tiny_run.LATENT_SIZE])
    value = (latents[:, 1] > 0.0).astype(np.float32)
    known = labels.Labels(
      value, np.ones_like(value), latents=np.float32(latents)
    )
    generator.learn_labels("Second", known, **_QUICK)
    self.assertEqual(generator.about("Second")["source"]["labels"], 200)
    made = generator.sample("Second", 8)
    self.assertGreater(made.latents[:, 1].min(), -0.5)
    few = labels.Labels(np.ones(3), np.ones(3), latents=np.zeros([3, 4]))
    with self.assertRaisesRegex(ValueError, "3 rows that are on and 0 .* off"):
      generator.learn_labels("Third", few, **_QUICK)
    self.assertNotIn("Third", generator.attributes.names)

  def test_what_cannot_be_is_refused(self):
    generator = self._generator
    with self.assertRaisesRegex(
      ValueError, "Unknown attribute 'smilling': did"
    ):
      generator.constraint("smilling")
    with self.assertRaisesRegex(ValueError, "Unknown sampler 'magic'"):
      generator.sample("Male", sampler="magic")
    with self.assertRaisesRegex(ValueError, "n must be at least 1"):
      generator.sample("Male", n=0)
    with self.assertRaisesRegex(ValueError, r"shape \[n, 8, 16, 1\], got \[8"):
      generator.transform(self._images()[0], "Male")
    with self.assertRaisesRegex(ValueError, r"numbers in \[0, 1\]"):
      generator.transform(255 * self._images(), "Male")
    with self.assertRaisesRegex(ValueError, "strength must be a number from 0"):
      generator.transform(self._images(), "Male", strength=-1.0)
    with self.assertRaisesRegex(ValueError, "must differ"):
      generator.learn_rule("male", _brightness, threshold=0.5)
    with self.assertRaisesRegex(FileNotFoundError, "is no run folder"):
      lc_keras.load(self.create_tempdir().full_path)

  def test_a_constraint_of_another_generator_is_refused_with_the_reason(self):
    folder = os.path.join(self.create_tempdir().full_path, "run")
    tiny_run.write(folder)
    generator = lc_keras.load(folder)
    random = np.random.default_rng(0)
    latents = random.normal(size=[100, 4]).astype(np.float32)
    known = labels.Labels(
      np.float32(latents[:, 0] > 0), np.ones(100), latents=latents
    )
    generator.learn_labels("First", known, **_QUICK)
    manifest = os.path.join(folder, "constraints", "First", "manifest.json")
    with open(manifest, encoding="utf-8") as file:
      text = file.read()
    own = generator.about("First")["generator"]
    with open(manifest, "w", encoding="utf-8") as file:
      file.write(text.replace(own, "f" * 64))
    again = lc_keras.load(folder)
    self.assertNotIn("First", again.attributes.names)
    with self.assertRaisesRegex(ValueError, "for the generator ffffffffffff"):
      again.constraint("First")


if __name__ == "__main__":
  tf.test.main()
