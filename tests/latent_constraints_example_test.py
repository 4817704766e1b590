"""Tests that the paper in one file runs, and draws its picture."""

import pathlib

from absl.testing import absltest
from PIL import Image

from examples import latent_constraints


class LatentConstraintsExampleTest(absltest.TestCase):
  def test_draws_samples_and_edits(self):
    out = pathlib.Path(self.create_tempdir().full_path, "faces.png")
    latent_constraints.main(str(out), count=128, vae_epochs=1, epochs=1)
    rows = 3 + len(latent_constraints.NAMES)
    with Image.open(out) as picture:
      width, height = picture.size
      self.assertGreater(width, 8 * 96)
      self.assertBetween(height, rows * 96, (rows + 1) * 96)
      self.assertGreater(len(set(picture.getdata())), 100)

  def test_is_read_in_one_sitting(self):
    path = pathlib.Path(latent_constraints.__file__)
    self.assertLessEqual(len(path.read_text().splitlines()), 150)
