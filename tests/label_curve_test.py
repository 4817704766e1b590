"""Tests of the job that measures constraints by number of labels."""

import json
import pathlib
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from lc_keras.data import pipeline
from lc_keras.evaluation import transformations
from lc_keras.learning import constraint_names
from lc_keras.models import pixel_classifier
from lc_keras.models import storage
from tests import faces_run
from tests import programs
from trainers import few_labels
from trainers import label_curve

_NEW = ("Straight_Hair",)
_LABELS, _LOAD = pipeline.labels, pipeline.load
_QUICK = ("--width=8", "--depth=1", "--folds=2", "--steps=5", "--rounds=1")


def _load(*arguments, **options):
  """Returns images as `pipeline.load` does; one attribute is unknown."""

  def forget(batch):
    labels = batch["attributes"]
    nan = tf.fill([tf.shape(labels)[0], 1], float("nan"))
    return {**batch, "attributes": tf.concat([nan, labels[:, 1:]], axis=1)}

  return _LOAD(*arguments, **options).map(forget)


def _labels(dataset, split, *arguments, **options):
  """Returns labels as `pipeline.labels` does; the last of a test is NaN."""
  labels = np.array(_LABELS(dataset, split, *arguments, **options))
  if split == "test":
    labels[-1] = np.nan
  return labels


class LabelCurveTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    """Writes a run with untrained classifiers."""
    super().setUpClass()
    cls.folder = pathlib.Path(cls.get_temp_dir(cls()))
    cls.run_dir = cls.folder / "run"
    faces_run.write(str(cls.run_dir), str(cls.folder / "data"))
    spec = pipeline.describe(faces_run.DATASET)
    for stage, count in (
      ("classifier", len(spec.attributes)),
      ("judge", len(_NEW)),
    ):
      storage.save(
        pixel_classifier.PixelClassifier(spec.image_shape, count, "conv_small"),
        str(cls.run_dir / stage),
      )
    (cls.run_dir / "classifier" / "flags.cfg").write_text("--steps=1\n")
    (cls.run_dir / "judge" / "flags.cfg").write_text(
      f"--attributes={','.join(_NEW)}\n--steps=1\n"
    )

  def _run(self, *arguments):
    """Runs the program; returns its output."""
    return programs.run(
      label_curve,
      f"--run_dir={self.run_dir}",
      f"--data_dir={self.folder / 'data'}",
      f"--out={self.folder / 'labels.json'}",
      *arguments,
    )

  def test_a_constraint_is_measured_once(self):
    arguments = "--counts=60", "--rows=4", "--actor_steps=5", *_QUICK
    for name, forgetful in ("load", _load), ("labels", _labels):
      self.enter_context(
        mock.patch.object(few_labels.pipeline, name, forgetful)
      )
    table = self.enter_context(
      mock.patch.object(
        few_labels.transformations, "table", wraps=transformations.table
      )
    )
    told = self._run(*arguments)
    # The classifier fills in unknown labels; images whose label of the
    # attribute itself is unknown are not edited.
    images, labels, *_ = table.call_args.args
    self.assertAllInSet(labels, [0.0, 1.0])
    self.assertLen(images, len(labels))
    rows = _LABELS(
      faces_run.DATASET, "test", _NEW[0], data_dir=str(self.folder / "data")
    )
    self.assertLen(labels, len(rows) - 1)
    self.assertIn("Straight_Hair_60: learning", told)
    written = (self.folder / "labels.json").read_text()
    (point,) = json.loads(written)["points"]
    self.assertEqual(point["critic"]["rows"], len(labels))
    self.assertEqual(point["samples"]["count"], 8)
    self.assertEqual(point["samples"]["attributes"].popitem()[1]["support"], 4)
    directions = point["edits"]["directions"]
    self.assertEqual([d["on"] for d in directions], [True, False])
    self.assertLessEqual(max(d["n"] for d in directions), 4)
    self.assertGreater(point["seconds"], 0.0)
    self.assertBetween(point["actor"]["read"]["value"], 0.0, 1.0)
    for name in ("labels.png", "labels_samples.jpg"):
      with Image.open(self.folder / name) as picture:
        self.assertGreater(min(picture.size), 128)
    self.assertEqual(
      constraint_names.names(str(self.run_dir)), ["Straight_Hair_60"]
    )
    # Figures are not measured again, and are the same.
    self.assertEqual(self._run(*arguments).count("learning"), 0)
    self.assertEqual((self.folder / "labels.json").read_text(), written)

  def test_a_judge_that_cannot_judge_is_refused(self):
    with self.assertRaisesRegex(ValueError, "no stage 'juge': train it"):
      self._run("--judge=juge")
    with self.assertRaisesRegex(ValueError, "nothing of that is new"):
      self._run("--judge=classifier")
