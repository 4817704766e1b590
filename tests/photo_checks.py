"""Tests of photo_faces with its packages: `make test-photo`.

Needs the packages of `tools/install.sh photo`, which the suite does not have.
"""

import os

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from lc_keras.photo_faces import alignment
from lc_keras.photo_faces import early_exit
from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import independent
from lc_keras.photo_faces import inversion
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import openvino_ir
from lc_keras.photo_faces import packages
from lc_keras.photo_faces import synthesis
from lc_keras.photo_faces import tables
from tests import openvino_interpreter

_SEEDS = range(32)


class PhotoTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.z = tables.draws(_SEEDS)
    cls.w = networks.mapping()(cls.z)
    cls.images = _decoded(256, cls.w)

  @parameterized.parameters("MappingNetwork", "SynthesisNetwork")
  def test_networks_are_those_of_the_package(self, name):
    folder = packages.folder(packages.GENERATOR)
    nodes = openvino_ir.read(os.path.join(folder, f"{name}.xml"))
    if name == "MappingNetwork":
      expected = openvino_interpreter.run(nodes, self.z[:1])
      np.testing.assert_allclose(self.w[:1], expected, rtol=1e-3, atol=1e-4)
      return
    expected = openvino_interpreter.run(nodes, self.w[:1].numpy())
    found = synthesis.run(synthesis.read_steps(), self.w[:1]).numpy()
    np.testing.assert_allclose(
      found, expected.transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-3
    )

  def test_one_w_for_each_style_may_be_the_same(self):
    styles = synthesis.count_styles(synthesis.read_steps())
    several = tf.repeat(self.w[:1, tf.newaxis], styles, axis=1)
    np.testing.assert_allclose(
      _decoded(256, several), self.images[:1], atol=1e-5
    )

  @parameterized.parameters((256, 28.0), (128, 23.5))
  def test_early_exits_show_the_full_size_image(self, size, decibels):
    full = _decoded(synthesis.IMAGE_SIZE, self.w[:4])
    expected = early_exit.smaller(full, synthesis.IMAGE_SIZE // size)
    error = np.square(_decoded(size, self.w[:4]) - expected)
    error = error.mean(axis=(1, 2, 3))
    self.assertGreater((-10.0 * np.log10(error)).mean(), decibels)

  def test_a_served_full_size_picture_is_the_same(self):
    one = networks.generator(128)
    latents = one.mapping.to_latents(self.w[:2]).numpy()
    folder = os.path.join(self.create_tempdir().full_path, "1")
    networks.save_full_size(one, folder)
    served = tf.saved_model.load(folder).signatures["decode"]
    files = served(latents=latents)["image_bytes"]
    pixels = np.stack([tf.io.decode_png(file) for file in files.numpy()])
    full = networks.full_size(one, latents)
    np.testing.assert_allclose(pixels / 255.0, full, atol=0.01)

  @parameterized.parameters("smile", "male", "age")
  def test_judges_of_two_packages_agree(self, name):
    labels = np.asarray(getattr(face_api, name)()(self.images))
    others = getattr(independent, name)()(self.images)
    self.assertGreater(np.corrcoef(labels, others)[0, 1], 0.6)

  def test_judges_read_what_the_table_says(self):
    table = tables.labels().loc[list(_SEEDS)]
    for name, judge in (("Smiling", "smile"), ("Male", "male")):
      read = np.asarray(getattr(face_api, judge)()(self.images))
      self.assertGreater(np.corrcoef(read, table[name])[0, 1], 0.95)

  def test_identity_tells_people_apart(self):
    who = face_api.identity()
    people = np.asarray(who(self.images))
    # The same face, darker and shifted.
    again = np.asarray(who(0.9 * np.roll(self.images, 2, axis=2)))
    apart = np.linalg.norm(people[:, np.newaxis] - again, axis=-1)
    np.testing.assert_array_less(np.diag(apart), face_api.SAME_PERSON)
    others = apart[~np.eye(len(apart), dtype=bool)]
    self.assertGreater((others > face_api.SAME_PERSON).mean(), 0.8)

  def test_somebody_is_found_in_the_generator(self):
    generator = networks.generator(inversion.SIZE)
    wide = generator.latent_size
    invert = inversion.Inverter(
      generator, lambda images: tf.zeros([1, wide]), steps=(20, 10)
    )
    made = _decoded(256, invert.own(invert(self.images[:1])))
    who = face_api.identity()
    apart = np.linalg.norm(who(made) - who(self.images[:1]))
    self.assertLess(apart, face_api.SAME_PERSON)

  def test_a_face_is_found_and_cut_as_the_generator_cuts_it(self):
    align = alignment.Aligner()
    for image in self.images[10:14]:
      # Rotated, and at any position in a larger picture.
      face = Image.fromarray(np.uint8(255.0 * image)).resize((300, 300))
      picture = Image.new("RGB", (800, 600), "gray")
      picture.paste(face.rotate(8, Image.Resampling.BICUBIC), (350, 200))
      error = align(picture)[64:192, 64:192] - image[64:192, 64:192]
      self.assertLess(np.square(error).mean(), 0.01)


def _decoded(size, w):
  decode = tf.function(networks.decoder(size), autograph=False)
  return np.concatenate([decode(w[s : s + 4]) for s in range(0, len(w), 4)])


if __name__ == "__main__":
  absltest.main()
