"""Tests of the job that learns a constraint: its files and its errors."""

import json
import pathlib
import sys
from unittest import mock

import tensorflow as tf
from absl import flags
from absl.testing import parameterized
from PIL import Image

from lc_keras import files
from lc_keras.models import storage
from tests import faces_run
from tests import programs
from trainers import constraint

_QUICK = ("--width=8", "--depth=1", "--folds=2", "--steps=5", "--rounds=1")
_RULES = """
def bright(images):
  return images.mean(axis=(1, 2, 3))

def nothing(images):
  return images[:, 0, 0, 0] > 2

def shades(images):
  bright = 9 * images.mean(axis=(1, 2, 3)) - 4.5
  return {"dark": -bright, "bright": bright}
"""
_BRIGHT = ("--name=A", "--rule=toon_rules:bright")


class ConstraintJobTest(tf.test.TestCase, parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    """Writes a run with an untrained generative model and no critics."""
    super().setUpClass()
    cls.folder = pathlib.Path(cls.get_temp_dir(cls()))
    cls.run_dir = cls.folder / "run"
    faces_run.write(
      str(cls.run_dir), str(cls.folder / "data"), attributes=False
    )
    (cls.folder / "toon_rules.py").write_text(_RULES)
    sys.path.append(str(cls.folder))

  @classmethod
  def tearDownClass(cls):
    sys.path.remove(str(cls.folder))
    super().tearDownClass()

  def _run(self, *arguments):
    """Runs the program; returns its output on both streams."""
    return programs.run(
      constraint,
      f"--run_dir={self.run_dir}",
      f"--data_dir={self.folder / 'data'}",
      *arguments,
    )

  def _manifest(self, name):
    path = self.run_dir / "constraints" / name / "manifest.json"
    return json.loads(path.read_text())

  def test_from_a_rule_and_from_labels_to_pictures(self):
    weights = self.run_dir / "vae" / storage.WEIGHTS
    before = files.checksum(str(weights))
    self.assertIn("has no constraints yet", self._run("--list"))
    told = self._run(
      "--name=Bright",
      "--rule=toon_rules:bright",
      "--threshold=0.5",
      "--count=2048",
      "--actor_steps=5",
      *_QUICK,
    )
    self.assertIn("Bright: its actor's single step, read ", told)
    self.assertIn("Bright: from toon_rules:bright, 2048 rows, balanced", told)
    bright = self._manifest("Bright")
    self.assertEqual(bright["generator"], before)
    self.assertEqual(bright["source"]["threshold"], 0.5)
    self.assertBetween(bright["actor"]["true"]["value"], 0.0, 1.0)
    bright_folder = self.run_dir / "constraints" / "Bright"
    kept = files.checksum(str(bright_folder / storage.WEIGHTS))

    with Image.open(bright_folder / "picture.png") as picture:
      self.assertGreater(min(picture.size), 200)
    self.enter_context(mock.patch.object(constraint, "_draw"))

    # Six labels: enough to learn from, but not to be trustworthy.
    told = self._run(
      "--name=Pale", "--labels=dataset:Pale_Skin", "--label_limit=60", *_QUICK
    )
    self.assertIn("WARNING: Pale is not to be relied on", told)
    pale = self._manifest("Pale")
    self.assertEqual(pale["source"]["dataset"], "toon_faces/tiny")
    self.assertEqual(pale["test"]["rows"], 32)

    listed = self._run("--list")
    self.assertRegex(listed, r"Bright: .*\n(?s:.*)Pale: ")
    self.assertRegex(listed, "Pale: .* UNRELIABLE")
    # Only the new constraint has changed.
    self.assertEqual(files.checksum(str(weights)), before)
    self.assertEqual(files.checksum(str(bright_folder / storage.WEIGHTS)), kept)
    with self.assertRaisesRegex(ValueError, "'Pale' already. Give --repl"):
      self._run("--name=Pale", "--labels=dataset:Pale_Skin", *_QUICK)

  def test_several_rules_look_at_the_same_images(self):
    with mock.patch.object(constraint, "_draw"):
      told = self._run(
        "--name=Light",
        "--name=Shady",
        "--rule=toon_rules:shades",
        "--rule_class=bright",
        "--rule_class=dark",
        "--rule_pixels=0,1",
        "--count=2048",
        *_QUICK,
      )
    self.assertIn("Light: from toon_rules:shades:bright, 2048 rows", told)
    self.assertIn("Shady: from toon_rules:shades:dark, 2048 rows", told)
    self.assertEqual(told.count("images are scored"), 1)
    self.assertEqual(self._manifest("Shady")["source"]["class"], "dark")

  @parameterized.parameters(
    ((), "--name is missing"),
    (("--name=A", "--rule=a:b", "--labels=c"), "either --labels or a rule"),
    (("--name=A", "--name=B", "--labels=c"), "one constraint is learned at a"),
    ((*_BRIGHT, "--name=B", "--name=C", "--rule=a:b"), "--rule is given 2 tim"),
    ((*_BRIGHT, "--target_range=a,2"), "two numbers"),
    (
      ("--name=A", "--rule=toon_rules:nothing", "--limit=2048"),
      "gives 0 to each of",
    ),
    (("--name=A", "--labels=dataset:Pale"), "did you mean .*Pale_Skin"),
    (("--name=A", "--labels=x.csv"), "x.csv"),
    (("--name=A", "--labels=x.csv", "--label_limit=9"), "--label_limit goes"),
  )
  def test_what_is_wrong_is_named(self, arguments, message):
    with self.assertRaisesRegex((ValueError, OSError, flags.Error), message):
      self._run(*arguments, *_QUICK)
    self.assertFalse((self.run_dir / "constraints" / "A").exists())
