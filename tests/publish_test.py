"""Tests of publishing: worse or unservable models are refused."""

import json
import os
import pathlib
import shutil
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.data import pipeline
from lc_keras.models import pixel_classifier
from lc_keras.models import storage
from serving import endpoints
from serving import export
from serving import publish
from serving import server
from serving import validation
from serving import versions_folder
from tests import faces_run
from tests import programs

_FIGURES = {
  "weighted_f1": 0.9,
  "macro_f1": 0.8,
  "fid": 100.0,
  "read": 0.95,
  "others_changed": 0.05,
}
_build = endpoints.build


def _few(models):
  """Builds only the signatures that are measured."""
  built = _build(models)
  return {name: built[name] for name in ("sample", "transform", "describe")}


class ObjectionsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("weighted_f1", 0.895, 0.88),
    ("macro_f1", 0.795, 0.78),
    ("fid", 109.0, 111.0),
    ("read", 0.94, 0.92),
    ("others_changed", 0.06, 0.08),
  )
  def test_each_figure_has_its_margin(self, name, within, beyond):
    margins = publish.Margins()
    for good in (within, _FIGURES[name]):
      self.assertEmpty(
        publish.objections(_FIGURES | {name: good}, _FIGURES, margins)
      )
    for bad in (beyond, float("nan")):
      (objection,) = publish.objections(
        _FIGURES | {name: bad}, _FIGURES, margins
      )
      self.assertStartsWith(objection, f"{name} is ")

  def test_what_cannot_edit_any_more_is_worse(self):
    unable = {key: _FIGURES[key] for key in ("weighted_f1", "macro_f1", "fid")}
    found = publish.objections(unable, _FIGURES, publish.Margins())
    self.assertLen(found, 2)
    self.assertIn("read is missing", found[0])
    self.assertEmpty(publish.objections(_FIGURES, unable, publish.Margins()))


class PublishTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.folder = pathlib.Path(folder)
    cls.run_dir = str(cls.folder / "run")
    faces_run.write(cls.run_dir, str(cls.folder / "data"))
    spec = pipeline.describe(faces_run.DATASET)
    storage.save(
      pixel_classifier.PixelClassifier(
        spec.image_shape, len(spec.attributes), "conv_small"
      ),
      os.path.join(cls.run_dir, "classifier"),
    )
    with mock.patch.object(endpoints, "build", _few):
      cls.exported = export.export(
        cls.run_dir, os.path.join(cls.run_dir, "export")
      )

  def setUp(self):
    super().setUp()
    self.base = os.path.join(self.create_tempdir().full_path, "base")
    self.versions = versions_folder.VersionsFolder(self.base)

  def _run(self, *arguments):
    """Runs the program; returns its output."""
    return programs.run(publish, f"--model_base_path={self.base}", *arguments)

  def _known(self, name):
    path = os.path.join(self.base, ".published", str(name), "results.json")
    with open(path, encoding="utf-8") as file:
      return json.load(file)

  def test_the_newest_export_is_judged_and_published_and_rolled_back(self):
    self.versions.add(self.exported, {"blessed": True, "infra_blessed": True})
    (first,) = self.versions.versions()
    verdict = f"{self.base}-verdict"
    told = self._run(
      f"--run_dir={self.run_dir}",
      f"--data_dir={self.folder / 'data'}",
      "--rows=16",
      "--edits=2",
      "--keep=1",
      f"--evaluation_dir={verdict}",
    )
    self.assertIn(f"Removed version {first}", told)
    (second,) = self.versions.versions()
    self.assertEqual(os.listdir(f"{verdict}/model_blessing"), ["BLESSED"])
    self.assertEqual(os.listdir(f"{verdict}/infra_blessing"), ["INFRA_BLESSED"])
    known = self._known(second)
    self.assertTrue(known["blessed"] and known["infra_blessed"])
    self.assertEqual(known["figures"].keys(), _FIGURES.keys())
    # The same model again is good enough.
    self.assertEqual(known["in_service"]["version"], first)
    self.assertEqual(known["in_service"]["figures"], known["figures"])
    self.versions.add(self.exported, known)
    self.assertIn(f"{second} is the newest now", self._run("--roll_back"))
    self.assertIn(str(second), self._run("--list"))

  def test_what_is_worse_is_refused_and_why(self):
    self.versions.add(self.exported, {"blessed": True, "infra_blessed": True})
    (first,) = self.versions.versions()
    measure = mock.Mock(side_effect=[_FIGURES | {"fid": 500.0}, _FIGURES])
    with (
      mock.patch.object(validation, "check_apart"),
      self.assertRaisesRegex(publish.Refused, "fid is 500; .* 100, and 110 is"),
    ):
      publish.publish(
        self.exported,
        self.versions,
        measure,
        evaluation_dir=f"{self.base}-verdict",
      )
    self.assertEqual(
      os.listdir(f"{self.base}-verdict/model_blessing"), ["NOT_BLESSED"]
    )
    self.assertEqual(self.versions.versions(), [first])
    (note,) = [
      name
      for name in os.listdir(os.path.join(self.base, ".published"))
      if name.startswith("refused")
    ]
    self.assertIn("fid is 500", self._known(note)["reason"])
    self.assertEqual(
      os.listdir(os.path.join(self.base, ".published", note, "model_blessing")),
      ["NOT_BLESSED"],
    )

  def test_an_export_that_cannot_be_served_is_refused(self):
    with (
      mock.patch.object(
        validation, "check_apart", side_effect=validation.ValidationError("bad")
      ),
      self.assertRaisesRegex(publish.Refused, "bad Nothing was published"),
    ):
      self._run(f"--saved_model={self.exported}", "--noevaluate")
    self.assertEqual(self.versions.versions(), [])

  def test_validation_compares_everything_that_was_recorded(self):
    folder = os.path.join(self.create_tempdir().full_path, "model")
    latents = tf.TensorSpec([None, 3], name="latents")
    function = tf.function(
      lambda latents: {"images": 2.0 * latents, "realism": latents[:, 0]},
      [latents],
    ).get_concrete_function()
    tf.saved_model.save(tf.Module(), folder, {"decode": function})
    validation.record(folder, {"decode": (function, [latents])})
    self.assertEqual(validation.check(folder), 2)

    def refuse(sentence):
      with self.assertRaisesRegex(validation.ValidationError, sentence):
        validation.check(folder)

    path = os.path.join(folder, validation.ANSWERS)
    answers = dict(np.load(path))
    answers["decode/images"] = 1.0 - answers["decode/images"]
    np.savez(path, **answers)
    refuse("decode/images is not the answer of Python")
    # A foreign model has no recorded answers.
    os.remove(path)
    self.assertEqual(validation.check(folder), 0)
    path = os.path.join(folder, server.WARMUP_REQUESTS)
    with tf.io.TFRecordWriter(path) as writer:
      writer.write(b"no request")
    refuse("warm-up request 1")
    shutil.rmtree(os.path.join(folder, "variables"))
    refuse("cannot be loaded")

  @parameterized.parameters(
    ((), "what to publish"),
    (("--run_dir={run}/none",), "has no versions: write one first"),
    (("--saved_model=x",), "--run_dir says which"),
    (("--roll_back",), "none to go back to"),
  )
  def test_what_is_missing_is_named(self, arguments, message):
    arguments = [part.format(run=self.run_dir) for part in arguments]
    with self.assertRaisesRegex(ValueError, message):
      self._run(*arguments)
