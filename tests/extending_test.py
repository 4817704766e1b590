"""Follows docs/extending.md to the letter, in a copy of the package."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

from absl.testing import absltest

_ROOT = pathlib.Path(__file__).parents[1]

_USE = """
import numpy as np
import tensorflow as tf

import lc_keras
from lc_keras import parts as parts_module
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.constraints import attributes
from lc_keras.constraints import expressions
from lc_keras.constraints import requests
from lc_keras.data import latents
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import vae

# The signs of the first two dimensions are the attributes.
random = np.random.default_rng(0)
mean = random.normal(size=[300, 4]).astype(np.float32)
mean = 2.0 * np.sign(mean) + 0.3 * mean
rows = latents.Latents(
  mean, np.full_like(mean, 0.1), (mean[:, :2] > 0).astype(np.float32)
)
faces = attributes.Attributes(["Smiling", "Male"])
parts = parts_module.Parts(
  vae.VAE((8, 16, 1), 4, "mlp_small"),
  faces,
  latents={"train": rows, "validation": rows.take(np.arange(20))},
)
recipe = recipes.Attributes(
  steps=60, steps_per_epoch=60, learning_rate=1e-2, width=16, depth=1
)
training = attribute_model.training(recipe, parts)
trainings.fit(training, recipe, verbose=0)
parts.models["attributes"] = training.model

# The sampler.
assert "mean_difference" in parts.available()
sampler = parts.build_sampler("mean_difference")
asked = requests.Request(expressions.Has("Smiling"), faces).rows(20)
seeds = tf.range(20, dtype=tf.int64)
made = sampler.sample(asked, seeds)
assert np.mean(made.attribute_probabilities[:, 0] > 0.5) == 1.0
start = tf.constant(mean[:20])
made = sampler.transform(start, asked, seeds)
assert np.mean(made.attribute_probabilities[:, 0] > 0.5) == 1.0
smiles = sampler.judges.attribute_critic(start)[:, 0] > 0.0
stays = np.all(made.latents == start, axis=1)
assert np.array_equal(stays, smiles) and stays.any() and not stays.all()

# The kind of generator.
arrays = {
  "weights": random.normal(size=[4, 8, 16, 1]),
  "bias": np.zeros([8, 16, 1]),
}
np.savez("decoder.npz", **arrays)
generator = lc_keras.Generator("decoder.npz")
assert generator.image_shape == (8, 16, 1) and generator.latent_size == 4
np.testing.assert_allclose(
  generator.decode(mean[:3]).mean(),
  1.0 / (1.0 + np.exp(-np.tensordot(mean[:3], arrays["weights"], 1))),
  rtol=1e-4,
)

# The term.
assert "typicality_weight: Weight of the difference" in recipes.Actor.__doc__
losses = []
for weight in (0.0, 3.0):
  recipe = recipes.Actor(
    steps=1, batch_size=20, width=8, depth=1, critic_steps=1,
    typicality_weight=weight,
  )
  training = actor_critic.training(recipe, parts)
  logs = training.model.evaluate(
    training.validation, return_dict=True, verbose=0
  )
  losses.append(logs["actor_loss"])
assert logs["typicality"] > 0.1
np.testing.assert_allclose(
  losses[1] - losses[0], 3.0 * logs["typicality"], rtol=1e-3
)
"""


def _blocks(section):
  """Returns the Python code of a section of the page."""
  page = (_ROOT / "docs" / "extending.md").read_text()
  text = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
  return re.findall(r"```python\n(.*?)```", text, re.S)


def _indented(code):
  return textwrap.indent(code, "  ")


class ExtendingTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir())
    shutil.copytree(
      _ROOT / "lc_keras",
      self.root / "lc_keras",
      ignore=shutil.ignore_patterns("__pycache__"),
    )

  def _insert(self, file, after, code):
    """Inserts code behind a line of a file of the copy."""
    path = self.root / "lc_keras" / file
    before, found, rest = path.read_text().partition(after)
    self.assertTrue(found, f"{after!r} in {file}")
    path.write_text(before + found + code + rest)

  def _run(self, *command):
    # The copy of the package first; programs are those of the repository.
    paths = os.pathsep.join([str(self.root), str(_ROOT)])
    done = subprocess.run(
      [sys.executable, *command],
      cwd=self.root,
      env={**os.environ, "PYTHONPATH": paths},
      capture_output=True,
      text=True,
    )
    return done.returncode, done.stdout + done.stderr

  def test_each_recipe_of_the_page_works(self):
    file, entry = _blocks("A new sampler")
    name = re.match(r"# lc_keras/samplers/(\w+)\.py\n", file)[1]
    (self.root / "lc_keras" / "samplers" / f"{name}.py").write_text(file)
    self._insert("samplers/table.py", "\nSAMPLERS = {\n", _indented(entry))
    imports = "from lc_keras.samplers import linear\n"
    self._insert(
      "samplers/table.py", imports, f"from lc_keras.samplers import {name}\n"
    )
    file, entry = _blocks("A new kind of generator")
    name = re.match(r"# lc_keras/generators/(\w+)\.py\n", file)[1]
    (self.root / "lc_keras" / "generators" / f"{name}.py").write_text(file)
    kinds = "\nKINDS: dict[str, types.ModuleType] = {\n"
    self._insert("generators/kinds.py", kinds, _indented(entry))
    imports = "from lc_keras.generators import keras_model\n"
    self._insert(
      "generators/kinds.py",
      imports,
      f"from lc_keras.generators import {name}\n",
    )
    term, field = _blocks("A new term in the actor's loss")
    terms = "\nTERMS: dict[str, Callable[[Move], tf.Tensor]] = {\n"
    self._insert("models/actor_critic.py", terms, _indented(term))
    actor = '`actor_critic.TERMS`.\n  """\n\n'
    self._insert("recipes.py", actor, _indented(field))
    code, output = self._run("-c", _USE)
    self.assertEqual(code, 0, output)
    _, output = self._run("-m", "trainers.actor", "--help")
    self.assertRegex(output, r"--typicality_weight: +Weight of the difference")
