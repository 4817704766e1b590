"""Runs docs/constraints.md, on a small generator and a small classifier."""

import contextlib
import dataclasses
import functools
import pathlib
import re
import shlex
import sys
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest
from PIL import Image

import lc_keras
from lc_keras.learning import acquire
from tests import programs
from trainers import constraint

_PAGE = pathlib.Path(__file__).parents[1] / "docs" / "constraints.md"
_QUICK = {"width": 8, "depth": 1, "folds": 2, "steps": 5, "rounds": 1}
_CLIP = """
import numpy as np

class Clip:
  def encode_image(self, images):
    bright = images.mean(axis=(1, 2, 3))
    return np.stack([bright, 1.0 - bright], axis=1)
  def encode_text(self, sentences):
    return np.array([[1.0 * ("gl" in text), 0.5] for text in sentences])
"""


def _decode(latents):
  pixels = np.tile(latents, [1, 48]).reshape(-1, 8, 8, 3)
  return 1.0 / (1.0 + np.exp(-pixels))


class ConstraintsPageTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(contextlib.chdir(self.create_tempdir().full_path))
    self.addCleanup(sys.path.__setitem__, slice(None), list(sys.path))
    self.addCleanup(sys.modules.pop, "my_clip", None)
    pathlib.Path("my_clip.py").write_text(_CLIP)
    pathlib.Path("classes.txt").write_text("hat\nold\nsad\nglad\n")
    labels = [f"{row},{row % 2}" for row in range(40)]
    pathlib.Path("mine.csv").write_text("\n".join(["id,value", *labels]))
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential(
      [keras.Input([8, 8, 3]), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    for weight in classifier.weights:
      weight.assign(20.0 * weight)
    classifier.save("classifier.keras")
    for name, bright in (("these", 200), ("those", 20)):
      pathlib.Path(name).mkdir()
      for row in range(5):
        image = np.full([12, 9, 3], bright + row, np.uint8)
        Image.fromarray(image).save(f"{name}/{row}.png")

  def test_the_page_runs(self):
    encode = lambda images: images.mean(axis=(1, 2))  # noqa: E731
    control = lc_keras.LatentConstraints(
      lc_keras.Generator(_decode, encode, latent_size=4)
    )
    rows = np.random.default_rng(0).normal(size=[60, 4])
    control.fit(np.float32(_decode(rows)), verbose=0)
    learn = functools.partial(control.learn, count=2048, **_QUICK)
    names = {"lc_keras": lc_keras, "keras": keras}
    blocks = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.S)
    self.assertGreaterEqual(len(blocks), 5)
    self.enter_context(
      mock.patch.object(lc_keras, "load", lambda path: control, create=True)
    )
    self.enter_context(mock.patch.object(control, "learn", learn))
    images = np.float32(_decode(rows))

    def looked_at(parts, rules, recipe, progress):
      """Evaluates rules, and learns nothing."""
      for name, rule in rules.items():
        rule.check(images, rare=True)
        dark = parts.learned["Dark"]
        manifest = {**dark.manifest, "source": rule.identity}
        yield dataclasses.replace(dark, name=name, manifest=manifest)

    for block in blocks:
      with self.subTest(block):
        exec(compile(block, str(_PAGE), "exec"), names)
      # Learning is the same for every kind of rule.
      self.enter_context(mock.patch.object(acquire, "from_rules", looked_at))
    self.assertContainsSubset(
      ["Dark", "Mine", "Glad", "Old", "Hat", "Glasses"],
      control.attributes.names,
    )

  def test_its_commands_have_such_flags(self):
    text = _PAGE.read_text().replace("\\\n", " ")
    commands = re.findall(r"python -m trainers.constraint (.*)", text)
    self.assertGreaterEqual(len(commands), 4)
    for command in commands:
      programs.parsed(constraint, *shlex.split(command))
