"""Tests that foreign files are only read or refused, and run no code."""

import ast
import hashlib
import json
import pathlib
import pickle
import sys

import h5py
import keras
import numpy as np
from absl.testing import parameterized

import lc_keras
from lc_keras import parts
from lc_keras.data import latent_cache
from lc_keras.generators import kinds
from lc_keras.learning import learned_constraints
from lc_keras.models import storage
from lc_keras.models import value_model
from serving import versions_folder
from tests import programs
from trainers import classifier
from trainers import runs

_ROOT = pathlib.Path(lc_keras.__file__).resolve().parents[1]
_OUTSIDE = ("../x", "/x", "..", "a/../../x", "")
# Modules that can run code while they read bytes.
_RUN_BYTES = {
  "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve",
}  # fmt: skip
# Files that import a module by name: a name by the user (see docs/security.md),
# or one in the code.
_IMPORT_BY_NAME = {
  "lc_keras/__init__.py",
  "lc_keras/data/pipeline.py",
  "lc_keras/imports.py",
  "lc_keras/models/storage.py",
  "serving/__init__.py",
  "serving/server/__init__.py",
  "trainers/run_fn.py",
  "trainers/study.py",
}


def _calls(tree):
  """Yields the calls in a file: as written, and constants by keyword."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Call):
      options = {
        one.arg: getattr(one.value, "value", None) for one in node.keywords
      }
      yield ast.unparse(node.func), options


def _imports(tree):
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module.split(".")[0]


class _Attack:
  """Writes a file when it is unpickled."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return pathlib.Path.touch, (self._path,)


class CodeTest(parameterized.TestCase):
  def test_no_code_runs_what_a_file_says(self):
    checked = imported_by_name = 0
    for folder in ("lc_keras", "serving", "trainers"):
      for path in (_ROOT / folder).rglob("*.py"):
        name = path.relative_to(_ROOT).as_posix()
        tree = ast.parse(path.read_text())
        self.assertEmpty(_RUN_BYTES.intersection(_imports(tree)), name)
        for call, options in _calls(tree):
          checked += 1
          self.assertNotIn(call, ("eval", "exec", "os.system"), name)
          self.assertIsNot(options.get("shell"), True, name)
          if call == "np.load":
            self.assertIs(options.get("allow_pickle"), False, name)
          elif call.endswith(".load_model"):
            self.assertIs(options.get("safe_mode"), True, name)
          elif call.endswith(".extractall"):
            self.assertEqual(options.get("filter"), "data", name)
          elif call in ("importlib.import_module", "__import__"):
            self.assertIn(name, _IMPORT_BY_NAME)
            imported_by_name += 1
    self.assertGreater(checked, 1000)
    self.assertGreaterEqual(imported_by_name, len(_IMPORT_BY_NAME))


class AttackTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.marker = self.folder / "it_ran"

  def tearDown(self):
    super().tearDown()
    self.assertFalse(self.marker.exists(), "a file of others has run code")

  def test_the_attack_works_where_nobody_defends(self):
    pickle.loads(pickle.dumps(_Attack(self.marker)))
    self.assertTrue(self.marker.exists())
    self.marker.unlink()

  def test_a_cache_with_a_pickle_in_it(self):
    folder = self.folder / "cache"
    folder.mkdir()
    path = folder / "train.npy"
    np.save(path, np.array([_Attack(self.marker)], object), allow_pickle=True)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {"format": 3, "source": {}, "checksums": {"train": checksum}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with self.assertRaisesRegex(ValueError, "Python objects"):
      latent_cache.read(str(folder), "train")

  def test_a_keras_file_with_a_lambda(self):
    marker = str(self.marker)
    path = str(self.folder / "theirs.keras")
    run = keras.layers.Lambda(
      lambda rows: (__import__("pathlib").Path(marker).touch(), rows)[1],
      output_shape=(4,),
    )
    keras.Sequential([keras.Input([4]), run]).save(path)
    self.marker.unlink(missing_ok=True)  # Saving has run the code.
    with self.assertRaisesRegex(ValueError, "without running code of its own"):
      kinds.load(kinds.place_of(path))

  def test_weights_that_are_another_file(self):
    folder = self.folder / "critic"
    model = value_model.ValueModel(4, 8, 1, 2)
    storage.save(model, str(folder))
    weights = folder / storage.WEIGHTS
    secret = self.folder / "secret.h5"
    weights.rename(secret)
    with h5py.File(secret) as theirs, h5py.File(weights, "w") as file:
      for name in theirs:
        file[name] = h5py.ExternalLink(str(secret), f"/{name}")
    path = folder / storage.DESCRIPTION
    description = json.loads(path.read_text())
    description["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    path.write_text(json.dumps(description))
    with self.assertRaisesRegex(ValueError, "(?i)external"):
      storage.load(str(folder))

  def test_a_constraint_does_not_import_the_rule_it_came_from(self):
    (self.folder / "their_rule.py").write_text(
      f"import pathlib\npathlib.Path({str(self.marker)!r}).touch()\n"
    )
    model = value_model.ValueModel(4, 8, 1, 2)
    manifest = {"generator": "g", "continuous": False}
    manifest["source"] = {"rule": "their_rule:blue"}
    run_dir = str(self.folder)
    learned_constraints.write(
      run_dir, learned_constraints.LearnedConstraint("Blue", model, manifest)
    )
    sys.path.insert(0, run_dir)
    self.addCleanup(sys.path.remove, run_dir)
    learned_constraints.read(run_dir, "Blue", "g")
    self.assertNotIn("their_rule", sys.modules)

  @parameterized.parameters(*_OUTSIDE)
  def test_a_constraint_outside_of_its_run(self, name):
    model = value_model.ValueModel(4, 8, 1, 2)
    manifest = {"generator": "g", "continuous": False}
    run_dir = str(self.folder / "run")
    with self.assertRaisesRegex(ValueError, "cannot be a constraint's name"):
      learned_constraints.write(
        run_dir, learned_constraints.LearnedConstraint(name, model, manifest)
      )
    with self.assertRaisesRegex(ValueError, "cannot be a constraint's name"):
      learned_constraints.read(run_dir, name, "g")
    self.assertEmpty(list(self.folder.iterdir()))

  @parameterized.parameters(*_OUTSIDE)
  def test_a_stage_outside_of_its_run(self, name):
    run_dir = self.folder / "run"
    run_dir.mkdir()
    known = {"dataset": None, "image_shape": [4, 4, 1], "attributes": []}
    known["exclusive"] = known["continuous"] = []
    (run_dir / "run.json").write_text(json.dumps(known))
    with self.assertRaisesRegex(ValueError, "cannot be the name of a model"):
      _ = parts.read(str(run_dir)).models[name]
    run = runs.Run(str(run_dir), "")
    folders = f"--run_dir={run_dir}", f"--stage={name}"
    settings = programs.parsed(classifier, *folders)
    with self.assertRaisesRegex(ValueError, "cannot be the name of a stage"):
      run.stage(settings.stage, settings)
    self.assertEqual(
      list(self.folder.rglob("*")), [run_dir, run_dir / "run.json"]
    )

  @parameterized.parameters("file", "folder")
  def test_a_model_with_a_link_that_leads_out_is_not_published(self, kind):
    secret = self.folder / "secret"
    source = self.folder / "theirs"
    source.mkdir()
    (source / "saved_model.pb").touch()
    # Links within the folder are allowed.
    (source / "same.pb").symlink_to("saved_model.pb")
    there = versions_folder.VersionsFolder(str(self.folder / "served"))
    there.add(str(source), {})
    if kind == "folder":
      secret.mkdir()
      (secret / "key").write_text("secret")
    else:
      secret.write_text("secret")
    (source / "assets").symlink_to("../secret")
    with self.assertRaisesRegex(ValueError, "is a link to"):
      there.add(str(source), {})
    self.assertLen(there.versions(), 1)
    self.assertEmpty(list(pathlib.Path(there.base_path).rglob("*key*")))
