"""Tests of encoders that are learned for generators without one."""

import os

import numpy as np
import tensorflow as tf

import lc_keras
from lc_keras import files
from lc_keras import parts as run_parts
from lc_keras.generators import specs
from lc_keras.models import encoder
from tests import painted_mapping
from tests import programs
from trainers import encoder as encoder_job
from trainers import import_generator

_SMALL = {"count": 200, "steps": 60}


class EncoderTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    generator = painted_mapping.generator()
    cls.control = lc_keras.LatentConstraints(generator)
    cls.figures = cls.control.learn_encoder(verbose=0, **_SMALL)
    cls.latents = generator.draw(np.arange(500, 503)).numpy()
    cls.images = generator.map(cls.latents)

  def test_draws_are_found(self):
    found = self.control.encode(self.images)
    self.assertAllClose(self.control.decode(found), self.images, atol=0.03)
    decibels = self.figures["decibels"]
    self.assertGreater(decibels["encoded"], decibels["guessed"] + 5.0)
    self.assertLess(self.figures["distance"], 0.5)

  def test_no_image_depends_on_the_others(self):
    alone = self.control.encode(self.images[1:2])
    both = self.control.encode(self.images)
    self.assertAllClose(alone, both[1:2], atol=1e-4)

  def test_without_gradients_it_is_the_guess(self):
    def decode(latents):
      return np.tile(0.5 + 0.1 * latents, [1, 16]).reshape(-1, 8, 8, 1)

    generator = lc_keras.Generator(decode, latent_size=4)
    control = lc_keras.LatentConstraints(generator)
    figures = control.learn_encoder(verbose=0, **_SMALL)
    self.assertEqual(control.parts.models[encoder.MODEL].steps, 0)
    self.assertLess(figures["distance"], 0.3)

  def test_one_of_its_own_is_enough(self):
    generator = painted_mapping.generator(encoder=painted_mapping.encode)
    with self.assertRaisesRegex(ValueError, "its own encoder"):
      lc_keras.LatentConstraints(generator).learn_encoder()

  def test_a_run_gets_one(self):
    run = f"--run_dir={self.create_tempdir().full_path}/run"
    place = f"{painted_mapping.__name__}:"
    model = [f"--decoder={place}decode", f"--mapping={place}mapping"]
    programs.run(import_generator, run, *model)
    programs.run(encoder_job, run, "--count=200", "--steps=60")
    parts = run_parts.read(run.partition("=")[2])
    found = parts.encode(tf.constant(self.images)).mean()
    made = parts.generator.map(found)
    self.assertAllClose(made, self.images, atol=0.03)
    with self.subTest("of its generator, and of no other"):
      spec = os.path.join(parts.folder, "generator", specs.SPEC)
      files.write_json(spec, files.read_json(spec) | {"posterior_scale": 0.3})
      with self.assertRaisesRegex(ValueError, "for another generator"):
        _ = run_parts.read(parts.folder).encode
