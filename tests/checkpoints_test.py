"""Tests of checkpoints: whole or not used, and the best model with them."""

import contextlib
import io
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
from absl.testing import parameterized

from lc_keras.models import attribute_model
from lc_keras.models import storage
from trainers import checkpoints


class CheckpointsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.kept = checkpoints.Checkpoints(str(self.folder), keep=2)
    self.model = attribute_model.AttributeModel(4, 3, 8, 1)
    self.model.compile(keras.optimizers.Adam())
    self.model.optimizer.build(self.model.trainable_variables)
    for step in (2, 4, 6):
      self._fill(step)
      self.kept.save(self.model, step, {"at": step}, is_best=step == 4)
    self.newest = self.folder / "checkpoint-6"

  def _fill(self, value):
    for variable in (*self.model.variables, *self.model.optimizer.variables):
      variable.assign(keras.ops.full_like(variable, value))

  def _names(self):
    return sorted(
      path.name for path in self.folder.iterdir() if "checkpoint" in path.name
    )

  def _restore(self):
    """Restores; returns the result and the messages."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
      found = self.kept.restore(self.model)
    return found, said.getvalue()

  def _refused(self):
    with self.assertRaises(ValueError) as refused:
      self._restore()
    return str(refused.exception)

  def test_restores_the_newest_of_those_that_it_keeps(self):
    self.assertEqual(self._names(), ["checkpoint-4", "checkpoint-6"])
    # A process that died left this.
    half = self.folder / ".tmp-1-checkpoint-9"
    half.mkdir()
    (half / "model.weights.h5").write_bytes(b"half")
    self._fill(0)
    found, _ = self._restore()
    self.assertEqual(found, {"step": 6, "state": {"at": 6}, "metrics": None})
    for variable in (*self.model.variables, *self.model.optimizer.variables):
      np.testing.assert_array_equal(variable, np.full(variable.shape, 6))

  @parameterized.parameters(
    ("model.weights.h5", "bytes instead of"),
    ("state.json", "another checksum"),
    ("manifest.json", "cannot be read"),
  )
  def test_a_damaged_one_is_named_and_the_one_before_is_used(self, name, what):
    damaged = self.newest / name
    whole = damaged.read_bytes()
    damaged.write_bytes(
      whole[:-1] + b"?" if what == "another checksum" else whole[:-9]
    )
    found, said = self._restore()
    self.assertEqual(found["step"], 4)
    self.assertIn(f"{self.newest} is damaged: {name}", said)
    self.assertIn(what, said)
    self.assertIn("going on from checkpoint-4", said)
    self.assertEqual(self._names(), ["checkpoint-4", "damaged-checkpoint-6"])

  def test_refuses_to_begin_again_when_all_are_damaged(self):
    for path in self.folder.glob("checkpoint-*/state.json"):
      path.unlink()
    refused = self._refused()
    for number in (4, 6):
      self.assertIn(f"checkpoint-{number}: state.json is missing", refused)
    self.assertIn("checkpoint-6", self._names())

  def test_refuses_other_formats_and_keeps_them(self):
    manifest = self.newest / "manifest.json"
    known = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**known, "format": 2}))
    self.assertRegex(self._refused(), "has format 2, .*the version that wrote")
    self.assertIn("checkpoint-6", self._names())

  def test_moments_that_cannot_be_restored_are_an_error(self):
    # Keras only warns, and would continue with zeroed moments.
    self.model.optimizer = keras.optimizers.Adam()
    self.assertIn("Skipping variable loading", self._refused())

  @parameterized.parameters("", "best-4")
  def test_the_best_is_put_back_from_its_other_copy(self, folder):
    best = self.folder / folder / storage.WEIGHTS
    whole = best.read_bytes()
    best.write_bytes(b"half")
    self._restore()
    self.assertEqual(best.read_bytes(), whole)
    for weight in storage.load(str(self.folder)).get_weights():
      np.testing.assert_array_equal(weight, np.full(weight.shape, 4))

  def test_without_its_best_a_checkpoint_is_damaged(self):
    self._fill(8)
    self.kept.save(self.model, 8, {"at": 8}, is_best=True)
    for path in self.folder.glob("best-8/*.h5"):
      path.unlink()
    (self.folder / storage.WEIGHTS).write_bytes(b"half")
    found, said = self._restore()
    self.assertEqual(found["step"], 6)
    self.assertIn("damaged: best-8/best.weights.h5 is missing", said)
    for weight in storage.load(str(self.folder)).get_weights():
      np.testing.assert_array_equal(weight, np.full(weight.shape, 4))

  def test_holds_no_weights_twice(self):
    self.assertEqual(
      sorted(path.name for path in self.newest.iterdir()),
      ["manifest.json", "model.weights.h5", "state.json"],
    )
    for step, is_best, bests in (
      (8, True, ["best-4", "best-8"]),
      (10, False, ["best-8"]),
    ):
      self.kept.save(self.model, step, {}, is_best=is_best)
      found = sorted(path.name for path in self.folder.glob("best-*"))
      self.assertEqual(found, bests)

  def test_killed_before_any_change_of_a_file(self):
    done = subprocess.run(
      [sys.executable, "-m", "tests.checkpoint_kills"],
      capture_output=True,
      text=True,
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertIn("every end is that of a whole run", done.stdout)
