"""Tests of the modules that programs load, and when."""

import json
import os
import pathlib
import subprocess
import sys

from absl.testing import absltest

import lc_keras

_ROOT = pathlib.Path(lc_keras.__file__).resolve().parents[1]
# Modules that take a second or more to load, or are loaded by such a module.
_SLOW = (
  "IPython",
  "keras",
  "matplotlib",
  "scipy",
  "sklearn",
  "tensorflow",
  "tensorflow_datasets",
  "tensorflow_probability",
  "tensorflow_serving",
)
_READ_BY_TENSORFLOW = ("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL")

# Prints the slow modules that each program has loaded when its flags are
# defined; stops at the first, since its modules would count for the next ones.
_LOADS = """
import importlib, json, sys
from absl import flags
programs, slow = json.loads(sys.argv[1])
found = {}
for program in programs:
  values = flags.FlagValues()
  getattr(importlib.import_module(program), "define_flags", id)(values)
  found[program] = [name for name in slow if name in sys.modules]
  if found[program]:
    break
print(json.dumps(found))
"""

# Prints, for each module, the variables that TensorFlow would read after its
# import, and whether TensorFlow has been loaded already.
_SETS = """
import importlib, json, os, sys
modules, names = json.loads(sys.argv[1])
found = {}
for module in modules:
  for name in names:
    os.environ.pop(name, None)
  sys.modules.pop("lc_keras", None)
  importlib.import_module(module)
  found[module] = {name: os.environ.get(name) for name in names}
  found[module]["loaded"] = "tensorflow" in sys.modules
print(json.dumps(found))
"""

# Prints why a program refuses its flags, and whether TensorFlow is loaded.
_REFUSES = """
import importlib, json, sys
program, *sys.argv = json.loads(sys.argv[1])
try:
  importlib.import_module(program).main()
except SystemExit as refusal:
  print(json.dumps([refusal.code, "tensorflow" in sys.modules]))
"""


def _programs():
  """Returns the modules that can be run with `python -m`, and have flags."""
  return [
    ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    for room in ("bulk", "serving", "trainers")
    for path in sorted((_ROOT / room).rglob("*.py"))
    if '__name__ == "__main__"' in path.read_text()
  ]


def _run(code, *data):
  finished = subprocess.run(
    [sys.executable, "-c", code, json.dumps(data)],
    cwd=_ROOT,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
    check=True,
  )
  return json.loads(finished.stdout)


class StartUpTest(absltest.TestCase):
  def test_flags_are_known_before_anything_slow_is_loaded(self):
    programs = _programs()
    # Examples, so that an empty list does not pass.
    self.assertContainsSubset(
      [
        "bulk.score",
        "serving.server.__main__",
        "serving.studio.__main__",
        "trainers.vae",
      ],
      programs,
    )
    programs.append("tools.studio")
    self.assertEqual(
      _run(_LOADS, programs, _SLOW), {program: [] for program in programs}
    )

  def test_bad_flags_are_refused_before_anything_slow_is_loaded(self):
    local = ("serving.client", "sample", "--preset=toon_faces", "--out=a.png")
    remote = ("serving.client", "transform", "--want=Bald", "--out=a.png")
    for program, *flags, told in (
      (*local, "--want=Smilng", "did you mean Smiling?"),
      (*local, "--want=Smiling and (", "cannot be read here"),
      (*local, "--want=Bald, Blond_Hair", "rule each other out"),
      (*local, "--want=0 * realism", "must be above 0"),
      (*local, "--out=README.md/a.png", "README.md is a file and no folder"),
      (*local, "--wnat=Smiling", "did you mean want?"),
      (*remote, "--image=nowhere.png", "there is no such file"),
      (*remote, "--image=README.md", "--want=a,,", "cannot be read here"),
      ("serving.studio.__main__", "--run_dir=nope", "is neither a preset nor"),
    ):
      with self.subTest(told):
        refusal, loaded = _run(_REFUSES, program, "program", *flags)
        self.assertIn(told, refusal)
        self.assertFalse(loaded)

  def test_a_slow_module_would_be_found(self):
    self.assertEqual(
      _run(_LOADS, ["scipy", "trainers.vae"], _SLOW), {"scipy": ["scipy"]}
    )

  def test_environment_is_set_before_tensorflow_loads(self):
    modules = (
      "trainers.common_flags",
      "serving.server.options",
      "benchmarks.timing",
    )
    found = _run(_SETS, ["lc_keras", *modules], _READ_BY_TENSORFLOW)
    for module, seen in found.items():
      with self.subTest(module):
        self.assertFalse(seen["loaded"])
        self.assertEqual(seen["TF_ENABLE_ONEDNN_OPTS"], "1")
        self.assertEqual(seen, found["lc_keras"])

  def test_tests_run_with_the_same_environment(self):
    # Set by .bazelrc and conftest.py: tests import TensorFlow before our code.
    found = _run(_SETS, ["lc_keras"], _READ_BY_TENSORFLOW)["lc_keras"]
    for name in _READ_BY_TENSORFLOW:
      self.assertEqual(os.environ[name], found[name])
