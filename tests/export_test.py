"""Tests of the export: loading by another program, and errors."""

import json
import os
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import files
from lc_keras import parts
from lc_keras.generators import generator
from lc_keras.learning import learned_constraints
from lc_keras.models import storage
from lc_keras.models import value_model
from serving import endpoints
from serving import export
from serving import validation
from tests import exported_run
from tests import tiny_run

# Runs signatures in a TF1 session, as TensorFlow Serving does, in a process
# that does not import lc_keras.
_FOREIGN_PROGRAM = """
import json, sys

class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in ("lc_keras", "serving"):
      raise ImportError(f"{name} is not to be had here")
sys.meta_path.insert(0, Refuse())

import numpy as np
import tensorflow as tf
try:
  import lc_keras
except ImportError:
  pass
else:
  raise SystemExit("lc_keras could be imported: this shows nothing")

folder, inputs_path, outputs_path, keys = sys.argv[1:]
inputs = np.load(inputs_path)
outputs = {}
with tf.compat.v1.Session(graph=tf.Graph()) as session:
  model = tf.compat.v1.saved_model.load(session, ["serve"], folder)
  feeds, fetches = {}, {}
  for key in keys.split(","):
    signature = model.signature_def[key]
    for name, info in signature.inputs.items():
      feeds[info.name] = inputs[name]
    for name, info in signature.outputs.items():
      fetches[f"{key}/{name}"] = info.name
  # All at once: for each set of fetches, TensorFlow takes a second to prepare.
  for name, value in session.run(fetches, feeds).items():
    if value.dtype != object:
      outputs[name] = value
  # The checks of values must be part of what was exported.
  signature = model.signature_def["decode"]
  bad = np.full_like(inputs["latents"], np.nan)
  feeds = {signature.inputs["latents"].name: bad}
  try:
    session.run(signature.outputs["image_bytes"].name, feeds)
  except tf.errors.InvalidArgumentError as error:
    assert "latents must be finite" in str(error), error
  else:
    raise SystemExit("NaN was accepted")
np.savez(outputs_path, **outputs)
"""

# The export compares the answers of all signatures: these are examples, and the
# first is the signature of requests without a signature name.
_ASKED = ("serving_default", "transform_search", "score")
_build = endpoints.build


def _decode_only(models):
  """Builds one signature only, for tests of other things."""
  return {"decode": _build(models)["decode"]}


def _manifest(folder):
  with open(os.path.join(folder, export.MANIFEST)) as file:
    return json.load(file)


class ExportTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.run_dir = exported_run.run_dir()
    cls.exported = exported_run.exported()

  def test_a_session_without_our_code_answers_like_python(self):
    inputs = exported_run.inputs(3)
    folder = self.create_tempdir().full_path
    inputs_path = os.path.join(folder, "inputs.npz")
    outputs_path = os.path.join(folder, "outputs.npz")
    np.savez(inputs_path, **inputs)
    program = os.path.join(folder, "foreign.py")
    with open(program, "w") as file:
      file.write(_FOREIGN_PROGRAM)
    finished = subprocess.run(
      [
        *(sys.executable, program, self.exported, inputs_path, outputs_path),
        ",".join(_ASKED),
      ],
      capture_output=True,
      text=True,
    )
    self.assertEqual(finished.returncode, 0, finished.stderr)
    outputs = dict(np.load(outputs_path))

    signatures = exported_run.signatures()
    signatures = signatures | {"serving_default": signatures["sample"]}
    for name in _ASKED:
      python, specs = signatures[name]
      expected = python(
        **{spec.name: tf.constant(inputs[spec.name]) for spec in specs}
      )
      for key, value in expected.items():
        if value.dtype != tf.string:
          np.testing.assert_allclose(
            outputs.pop(f"{name}/{key}"), value, rtol=1e-4, atol=1e-5
          )
    self.assertEmpty(outputs)

  def test_no_sampler_calls_python(self):
    built = endpoints.build(export.choose_models(parts.read(self.run_dir)))
    traced = {n: call for n, (call, _) in exported_run.signatures().items()}
    for name in built.keys() - traced.keys():
      if name.startswith("sample_"):  # Transformations have the same parts.
        function = tf.function(*built[name], autograph=False)
        traced[name] = function.get_concrete_function()
    self.assertGreater(len(traced), len(exported_run.signatures()))
    for name, call in traced.items():
      graph = call.graph.as_graph_def()
      for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
        for node in nodes:
          self.assertNotIn("PyFunc", node.op, name)

  def test_manifest(self):
    manifest = _manifest(self.exported)
    self.assertSequenceEqual(manifest["attributes"], tiny_run.ATTRIBUTES.names)
    self.assertEqual(manifest["image_shape"], list(tiny_run.IMAGE_SHAPE))
    self.assertEqual(manifest["crop"], tiny_run.CROP)
    self.assertIsNone(manifest["encoder_steps"])
    self.assertEqual(manifest["libraries"]["tensorflow"], tf.__version__)
    weights = os.path.join(self.run_dir, "actor_0.1", storage.WEIGHTS)
    self.assertEqual(
      manifest["weights_sha256"]["actor_0.1"], files.checksum(weights)
    )
    self.assertIn("seed: int64 [b]", manifest["signatures"]["sample"])
    self.assertIn("realism", manifest["weights_sha256"])

  def test_exports_the_samplers_of_the_models_that_there_are(self):
    run_dir = self._run_without()

    def others():
      return set(export.choose_models(parts.read(run_dir)).others)

    always = {"search", "energy", "best_of_n"}
    models = {"realism": "importance", "flow": "flow", "linear": "linear"}
    self.assertEqual(others(), always.union(models.values()))
    for model, name in models.items():
      shutil.rmtree(os.path.join(run_dir, model))
      self.assertNotIn(name, others())
    self.assertEqual(others(), always)

  def test_versions(self):
    export_dir = self.create_tempdir().full_path
    # A killed process has left this: it is not a version, and is ignored.
    os.makedirs(os.path.join(export_dir, ".tmp-7", "variables"))
    shutil.copytree(self.exported, os.path.join(export_dir, "9"))
    with mock.patch.object(export, "write"):
      again = export.export(self.run_dir, export_dir)
    self.assertEqual(os.path.basename(again), "10")
    with self.assertRaisesRegex(ValueError, "Version 9 exists .* write 10"):
      export.export(self.run_dir, export_dir, version=9)

  def test_parts_in_memory_are_exported(self):
    read = parts.read(self.run_dir)
    held = parts.Parts(
      read.generator,
      read.labels,
      models=dict(read.models),
      latents=dict(read.latents),
    )
    folder = os.path.join(self.create_tempdir().full_path, "export", "1")
    with mock.patch.object(endpoints, "build", _decode_only):
      export.write(held, folder)
    self.assertIsNone(_manifest(folder)["run"])
    with self.assertRaisesRegex(ValueError, "exists already"):
      export.write(held, folder)

  def test_an_export_that_fails_its_check_does_not_appear(self):
    export_dir = self.create_tempdir().full_path
    with (
      mock.patch.object(endpoints, "build", _decode_only),
      mock.patch.object(validation, "check", side_effect=ValueError("bad")),
      self.assertRaisesRegex(ValueError, "bad"),
    ):
      export.export(self.run_dir, export_dir)
    self.assertEmpty(os.listdir(export_dir))

  def _run_without(self, *names):
    run_dir = os.path.join(self.create_tempdir().full_path, "run")
    shutil.copytree(self.run_dir, run_dir)
    for name in names:
      path = os.path.join(run_dir, name)
      shutil.move(path, path + ".gone")
    return run_dir

  @parameterized.parameters(
    ("run.json", "run.json"),
    ("vae", "trainers.vae"),
    ("attributes", "attributes"),
    ("latents", "latents"),
    ("actor_0", "'actor_0' has not been trained"),
  )
  def test_a_missing_part_is_named(self, part, message):
    run_dir = self._run_without(part)
    with self.assertRaisesRegex((FileNotFoundError, ValueError), message):
      export.choose_models(parts.read(run_dir), "actor_0")

  def _learn(self, run_dir, of):
    model = value_model.ValueModel(tiny_run.LATENT_SIZE, 8, 1, 2)
    learned_constraints.write(
      run_dir,
      learned_constraints.LearnedConstraint(
        "Heavy", model, {"generator": of, "continuous": False}
      ),
    )

  def test_a_learned_constraint_is_served_beside_the_attributes(self):
    run_dir = self._run_without()

    def build():
      models = export.choose_models(
        parts.read(run_dir), exported_run.SAMPLE_ACTOR
      )
      return endpoints.build(models)

    names = build().keys()
    self._learn(run_dir, generator.fingerprint(run_dir))
    after = build()
    self.assertCountEqual(after, names)
    count = len(tiny_run.ATTRIBUTES)
    seed = tf.constant([5, 6], tf.int64)
    asked = tf.one_hot([3, 3], count)
    named = after["describe"][0](seed)["attribute_names"][0].numpy().tolist()
    self.assertEqual(named[count:], [b"Heavy"])
    # Requests that leave it open have the same answers as before.
    wide = tf.pad(asked, [[0, 0], [0, 1]])
    first, _ = exported_run.signatures()["sample"]
    then = tf.function(*after["sample"], autograph=False)
    np.testing.assert_array_equal(
      then(wide, wide, seed)["images"],
      first(attributes=asked, mask=asked, seed=seed)["images"],
    )
    heavy = tf.one_hot([count, 3], count + 1)
    made = then(heavy, heavy, seed)
    self.assertGreater(made["steps"][0], made["steps"][1])

  def test_a_constraint_of_another_generator_is_refused(self):
    run_dir = self._run_without()
    self._learn(run_dir, "f" * 64)
    with self.assertRaisesRegex(ValueError, "'Heavy' .* ffffffffffff"):
      export.choose_models(parts.read(run_dir))
