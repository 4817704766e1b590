"""Runs all examples of docstrings; every public name must have one."""

import doctest
import importlib
import pathlib
import subprocess
import sys

from absl.testing import parameterized

import lc_keras

_ROOT = pathlib.Path(lc_keras.__file__).parent
_MODULES = sorted(
  ".".join(path.relative_to(_ROOT.parent).with_suffix("").parts)
  for path in _ROOT.rglob("*.py")
  if ">>>" in path.read_text(encoding="utf-8")
)
# Interfaces, aliases, and results that users do not construct.
_WITHOUT_EXAMPLE = {
  "ControlledImages", "Expression", "SAMPLERS", "plotting", "recipes", "load",
}  # fmt: skip


class DocstringExamplesTest(parameterized.TestCase):
  @parameterized.parameters(*_MODULES)
  def test_examples_run(self, name):
    failed, tried = doctest.testmod(
      importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    self.assertGreater(tried, 0)
    self.assertEqual(failed, 0)

  @parameterized.parameters(*lc_keras._PUBLIC)
  def test_a_public_name_is_documented(self, name):
    described = getattr(lc_keras, name).__doc__
    self.assertTrue(described)
    if name not in _WITHOUT_EXAMPLE:
      module = sys.modules[f"lc_keras.{lc_keras._PUBLIC[name].split(':')[0]}"]
      self.assertIn(">>>", described + module.__doc__)

  def test_tensorflow_loads_with_the_first_name(self):
    # TensorFlow is blocked, which is faster than to load it.
    program = (
      "import sys\n"
      "sys.modules['tensorflow'] = None\n"
      "import lc_keras\n"
      "print(dir(lc_keras))\n"
      "lc_keras.Generator\n"
    )
    done = subprocess.run(
      [sys.executable, "-c", program],
      cwd=_ROOT.parent,
      capture_output=True,
      text=True,
    )
    self.assertIn("'Generator'", done.stdout)
    self.assertRegex(done.stderr, "ModuleNotFoundError: .*tensorflow")

  def test_an_unknown_name_is_refused(self):
    with self.assertRaisesRegex(AttributeError, "no attribute 'Generatr'"):
      _ = lc_keras.Generatr
