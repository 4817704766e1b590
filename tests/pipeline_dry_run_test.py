"""Runs every trainer once, with its tiny flagfile.

All write to one run folder, except the GAN: a run has one generative model,
here a VAE. Both runs begin with the same data and classifier.
"""

import contextlib
import importlib
import json
import pathlib
import shutil

import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image

from lc_keras.models import storage
from trainers import jobs

_ROOT = pathlib.Path(__file__).parents[1]
_CONFIGS = _ROOT / "configs" / "tiny"

# Jobs with their flagfiles, by stage.
_JOBS = {
  **{name: name for name in jobs.JOBS if name not in ("data", "gan", "actor")},
  "actor_0.1": "actor",
  "report": "evaluate",
}
# The same with a model that cannot encode: labels come from the classifier.
_GAN_JOBS = {
  "gan": "gan",
  "classifier": "classifier",
  "latents": "latents",
  "attributes": "attributes",
  "actor_0.1": "actor",
  "report": "evaluate",
}
# `models_test` has all.
_ON_TWO_REPLICAS = ("attributes",)
_UNTRAINED = ("latents", "linear", "report")
_REFERENCES = ("majority", "real", "reconstruction")
# Some of each kind; `systems_test` has all.
_SYSTEMS = (
  "prior",
  "actor_0.1",
  "search",
  "conditional_vae",
  "conditional_gan",
)
_ONLY_SAMPLES = ("prior", "conditional_gan")
_MORE = {"evaluate": [f"--systems={','.join(_SYSTEMS)}"]}
_ROWS = [f"--rows_{split}=20" for split in ("train", "validation", "test")]
_GAN_MORE = {
  "latents": _ROWS,
  "actor": ["--imitation_weight=0"],
  "evaluate": ["--systems=prior,actor_0.1"],
}


def _run(run_dir, job, *more):
  """Runs `python -m trainers.<job> --flagfile=...` in this process."""
  module = importlib.import_module(f"trainers.{job}")
  values = flags.FlagValues()
  module.define_flags(values)
  if job in _ON_TWO_REPLICAS:
    more += ("--replicas=2",)
  # Flagfiles include each other by paths from the root folder.
  with contextlib.chdir(_ROOT):
    values(
      [
        job,
        f"--flagfile={_CONFIGS / job}.cfg",
        f"--run_dir={run_dir}",
        f"--data_dir={run_dir.parent / 'data'}",
        *more,
      ]
    )
  module.run_job(values)


class PipelineDryRunTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(cls.get_temp_dir(cls()))
    for job in ("data", "classifier"):
      _run(cls.folder / "begun", job)

  def _begin(self, name):
    """Continues in a copy of the run."""
    self.run_dir = self.folder / name
    shutil.copytree(self.folder / "begun", self.run_dir)

  def _run_all(self, jobs, more):
    for job in ("data", *jobs.values()):
      _run(self.run_dir, job, *more.get(job, ()))

  def _written(self):
    """Returns the time of modification of each file of the run."""
    return {
      str(path.relative_to(self.run_dir)): path.stat().st_mtime_ns
      for path in self.run_dir.rglob("*")
      if path.is_file()
    }

  def test_from_data_to_report(self):
    self._begin("vae")
    self._run_all(_JOBS, _MORE)

    with self.subTest("every stage says that it is done"):
      for stage in _JOBS:
        done = json.loads((self.run_dir / stage / "done.json").read_text())
        self.assertGreater(done["seconds"], 0)
        self.assertTrue((self.run_dir / stage / "flags.cfg").exists(), stage)

    with self.subTest("every trained model can be loaded and watched"):
      for stage in _JOBS.keys() - _UNTRAINED:
        self._assert_trained(self.run_dir / stage)

    with self.subTest("trainers draw what they train"):
      for picture in (
        "vae/pictures/reconstructions.png",
        "vae/pictures/prior_samples.png",
        "classifier/pictures/worst.png",
        "actor_0.1/pictures/samples.png",
        "actor_0.1/pictures/edits.png",
        "conditional_vae/pictures/samples.png",
        "conditional_vae/pictures/edits.png",
        "conditional_gan/pictures/samples.png",
      ):
        self._assert_a_picture(self.run_dir / picture)

    with self.subTest("the report has every system, and its pictures"):
      report = self.run_dir / "report"
      results = json.loads((report / "results.json").read_text())
      measured = results["systems"]
      self.assertEqual(list(measured), [*_REFERENCES, *_SYSTEMS])
      for name, one in measured.items():
        for score in ("accuracy", "weighted_f1", "macro_f1"):
          self.assertBetween(one["natural"][score], 0.0, 1.0)
        self.assertLen(one["natural"]["attributes"], 10)
        transforms = name in _SYSTEMS and name not in _ONLY_SAMPLES
        self.assertEqual("transformations" in one, transforms, name)
        self.assertEqual("sequence" in one, transforms, name)
      for name in _SYSTEMS:
        self.assertIn("cost", measured[name])
        self.assertContainsSubset({"natural", "balanced"}, measured[name])
        # configs/tiny/evaluate.cfg has the limit.
        self.assertLessEqual(measured[name]["unseen"]["count"], 12)
        for figure in measured[name]["figures"]:
          self._assert_a_picture(report / f"{figure}.png")
      self.assertEqual(
        [name for name, one in measured.items() if "curve" in one],
        ["actor_0.1"],
      )
      self.assertContainsSubset(_JOBS.keys() - {"report"}, results["seconds"])
      self.assertContainsSubset(
        {"reconstructions", "samples", "edits", "dials", "sequences"},
        results["figures"],
      )
      for figure in results["figures"]:
        self._assert_a_picture(report / f"{figure}.png")
      self.assertIn("Actor, lambda 0.1", (report / "index.html").read_text())

    with self.subTest("nothing is left half written"):
      self.assertEmpty([name for name in self._written() if ".tmp" in name])

    with self.subTest("running all again does nothing"):
      before = self._written()
      self._run_all(_JOBS, _MORE)
      self.assertEqual(self._written(), before)

  def test_a_model_that_cannot_encode(self):
    self._begin("gan")
    self._run_all(_GAN_JOBS, _GAN_MORE)
    self._assert_a_picture(self.run_dir / "gan" / "pictures" / "samples.png")
    for stage in _GAN_JOBS:
      self.assertTrue((self.run_dir / stage / "done.json").exists(), stage)
      if stage not in _UNTRAINED:
        self._assert_trained(self.run_dir / stage)

    report = self.run_dir / "report"
    results = json.loads((report / "results.json").read_text())
    measured = results["systems"]
    with self.subTest("there is nothing to rebuild or to edit"):
      self.assertNotIn("reconstruction", measured)
      self.assertNotIn("reconstructions", results["figures"])
      for name, one in measured.items():
        self.assertNoCommonElements(
          ["transformations", "sequence", "curve"], list(one), name
        )
    with self.subTest("everything samples"):
      self.assertEqual(
        list(measured), ["majority", "real", "prior", "actor_0.1"]
      )
      for name in ("prior", "actor_0.1"):
        self.assertIn("natural", measured[name])
        self.assertIn("gan", measured[name]["weights"])
        for figure in measured[name]["figures"]:
          self._assert_a_picture(report / f"{figure}.png")
      self.assertIn("Actor, lambda 0.1", (report / "index.html").read_text())

    with self.subTest("running all again does nothing"):
      before = self._written()
      self._run_all(_GAN_JOBS, _GAN_MORE)
      self.assertEqual(self._written(), before)

  def _assert_trained(self, folder):
    """Asserts that a stage has a loadable model, a log and pictures."""
    for weight in storage.load(str(folder)).get_weights():
      self.assertTrue(np.all(np.isfinite(weight)), folder)
    log = (folder / "log.csv").read_text().splitlines()
    self.assertLen(log, 3, folder)
    self.assertNotEmpty(list(folder.glob("tensorboard/*")))
    self.assertLen(list(folder.glob("checkpoint-2")), 1)
    for picture in (folder / "pictures").glob("*.png"):
      self._assert_a_picture(picture)

  def _assert_a_picture(self, path):
    with Image.open(path) as picture:
      self.assertGreater(min(picture.size), 50, path)
      self.assertGreater(np.ptp(np.asarray(picture)), 0, path)
