"""Tests of importing users' functions, and of error messages."""

import pathlib

from absl.testing import parameterized

from lc_keras import imports
from lc_keras.constraints import face_rules
from tests import rules_folder

_FACES = face_rules.__name__


class ImportsTest(rules_folder.RulesFolderCase):
  def test_finds_a_shipped_rule(self):
    self.assertIs(
      imports.function(f"{_FACES}:blue_background"), face_rules.blue_background
    )

  def test_finds_a_file_in_the_current_directory(self):
    self._write("def tall(images):\n  return images[:, 0, 0, 0]\n")
    self.assertEqual(imports.function("written_rules:tall").__name__, "tall")

  @parameterized.parameters(
    ("blue", "does not say where a function is. Write module:function"),
    (f"{_FACES}.dark_share", f"Did you mean {_FACES}:dark_share?"),
    ("./some/rules.py:tall", "Did you mean some.rules:tall?"),
    ("some.py:tall", "Did you mean some:tall?"),
    ("../rules.py:tall", "in the current directory$"),
    ("rules.py", "for the function tall of my_rules.py in the current direct"),
    ("rules:", "'rules:' does not say where a function is"),
    ("a:b:c", "'a:b:c' does not say where a function is"),
    (
      "lc_keras.constraints.face_rule:dark_share",
      "no module 'lc_keras.constraints.face_rule', neither installed nor in .*"
      "Did you mean face_rules",
    ),
    ("lc_kears.rules.faces:x", "no module 'lc_kears'.*Did you mean lc_keras?"),
    (
      f"{_FACES}:blue_backgroud",
      f"no 'blue_backgroud' in {_FACES}: did you mean blue_background",
    ),
    (f"{_FACES}:qqqqqq", "choose one of beige_background, blue_background, d"),
    (
      "lc_keras.constraints:x",
      "no 'x' in lc_keras.constraints: it holds no fun",
    ),
  )
  def test_refuses_an_address(self, address, message):
    with self.assertRaisesRegex(ValueError, message):
      imports.function(address)

  @parameterized.parameters(
    ("x = 1 +\n", "SyntaxError: invalid syntax .written_rules.py, line 1"),
    (
      "x = 1\ny = x / 0\n",
      "ZeroDivisionError: .*\n.*line 2, in <mod.*\n.*x / 0",
    ),
    (
      "import no_such_thing\n",
      "ModuleNotFoundError: .*no_such_thing.\n.*\n.*\nInstall what .*: pip i",
    ),
    ("import sys\nsys.exit(3)\n", "SystemExit: 3\n.*line 2"),
  )
  def test_says_why_importing_fails(self, text, message):
    self._write(text)
    with self.assertRaisesRegex(
      ValueError, f"module written_rules, which runs its code, fails: {message}"
    ):
      imports.function("written_rules:tall")

  def test_a_part_that_is_loaded_when_needed_may_fail(self):
    self._write(
      "def __getattr__(name):\n"
      "  if name == 'tall': import no_such_thing\n"
      "  raise AttributeError(name)\n"
    )
    with self.assertRaisesRegex(ValueError, "fails: .*\n.*\n.*\nInstall what"):
      imports.function("written_rules:tall")
    with self.assertRaisesRegex(ValueError, "no 'small' in written_rules"):
      imports.function("written_rules:small")

  def test_a_file_that_another_module_hides_is_named(self):
    pathlib.Path("colorsys.py").write_text("def tall(images): return 1\n")
    with self.assertRaisesRegex(ValueError, "another module .*Rename .*color"):
      imports.function("colorsys:tall")
