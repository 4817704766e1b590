"""Tests of bulk work with Beam's own runner; `bulk_test` runs them."""

import os
import pathlib
import shutil
import tempfile
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest

import lc_keras
from bulk import encode
from bulk import records
from bulk import score
from bulk import shards
from bulk import toon_faces
from lc_keras import files
from lc_keras.constraints import face_rules
from lc_keras.data import latent_cache
from lc_keras.data import pipeline
from lc_keras.models import storage
from lc_keras.models import vae
from tests import programs
from tests import tiny_run
from trainers import latents as latents_job

_DATASET = "toon_faces/tiny"
_RULE = f"{face_rules.__name__}:blue_background"
_RUNNERS = ("local", "DirectRunner")


def _bytes(folder, ending=""):
  """Returns the contents of the files of a folder, by name."""
  return {
    path.name: path.read_bytes()
    for path in pathlib.Path(folder).iterdir()
    if path.is_file() and path.name.endswith(ending)
  }


class BulkCases(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(tempfile.mkdtemp())
    cls.addClassCleanup(shutil.rmtree, cls.folder)
    cls.data = cls.folder / "data"
    pipeline.prepare(_DATASET, str(cls.data))
    spec = pipeline.describe(_DATASET)
    keras.utils.set_random_seed(1)
    storage.save(
      vae.VAE(spec.image_shape, 4, "toon_faces"),
      str(cls.folder / "run" / "vae"),
    )
    files.write_json(
      str(cls.folder / "run" / "run.json"),
      {
        "dataset": _DATASET,
        "image_shape": spec.image_shape,
        "attributes": spec.attributes.names,
        "exclusive": spec.attributes.exclusive,
        "continuous": spec.attributes.continuous,
      },
    )

  def run_dir(self, name):
    """Copies the run of an untrained VAE of toon faces; returns its folder."""
    return pathlib.Path(
      shutil.copytree(self.folder / "run", self.folder / name)
    )

  def encode(self, run_dir, *arguments, data=None):
    programs.run(
      encode,
      f"--run_dir={run_dir}",
      f"--data_dir={data or self.data}",
      "--batch_size=16",
      "--rows_per_shard=16",
      "--runner=DirectRunner",
      *arguments,
    )

  def score(self, run_dir, out, *arguments):
    programs.run(
      score,
      f"--run_dir={run_dir}",
      f"--out={out}",
      "--rows=20",
      "--rows_per_shard=8",
      *arguments,
    )

  def test_faces_are_those_that_are_drawn_here(self):
    elsewhere = self.folder / "elsewhere"
    programs.run(
      toon_faces,
      "--faces=tiny",
      f"--data_dir={elsewhere}",
      "--rows_per_shard=24",
      "--runner=DirectRunner",
    )
    self.assertEqual(
      pipeline.checksums(_DATASET, data_dir=str(elsewhere)),
      pipeline.checksums(_DATASET, data_dir=str(self.data)),
    )

  def test_latents_are_those_that_are_encoded_here(self):
    here, there = self.run_dir("here"), self.run_dir("there")
    self.encode(there)
    # The job that encodes in one process accepts the stage as its own.
    for run_dir in (here, there):
      programs.run(
        latents_job,
        f"--run_dir={run_dir}",
        f"--data_dir={self.data}",
        "--batch_size=16",
      )
    self.assertEqual(
      _bytes(here / "latents/cache"), _bytes(there / "latents/cache")
    )
    found = latent_cache.read(str(there / "latents/cache"), "train")
    self.assertEqual(found.mean.shape, (64, 4))

  def test_scores_are_those_that_are_made_here(self):
    run = self.run_dir("scored")
    made = {}
    for runner in _RUNNERS:
      out = self.folder / f"scores_{runner}"
      again = (f"--runner={runner}", "--seed=3", f"--rules={_RULE}", "--images")
      self.score(run, out, *again)
      made[runner] = _bytes(out)
    self.assertEqual(made["local"], made["DirectRunner"])
    rows = [
      row
      for name in sorted(made["local"])
      if name.endswith(".tfrecord")
      for row in records.read(str(out / name))
    ]
    self.assertEqual([int(row["row"][0]) for row in rows], list(range(20)))
    self.assertEqual(rows[0]["latents"].shape, (4,))
    self.assertStartsWith(rows[0]["image/encoded"], b"\x89PNG")

    with self.subTest("a rerun makes what is missing or damaged, no more"):
      names = sorted(n for n in made["local"] if n.endswith(".tfrecord"))
      before = {name: (out / name).stat().st_mtime_ns for name in names}
      (out / names[0]).unlink()
      (out / names[1]).write_bytes(b"damaged")
      self.score(run, out, *again)
      self.assertEqual(_bytes(out), made["local"])
      self.assertEqual((out / names[2]).stat().st_mtime_ns, before[names[2]])

    with self.subTest("other work is not mixed with it"):
      with self.assertRaisesRegex(ValueError, "seed differ"):
        self.score(run, out, *again, "--seed=4")

  def test_what_is_asked_for_is_what_control_makes(self):
    run = self.folder / "asked"
    tiny_run.write(str(run))
    out = self.folder / "asked_samples"
    self.score(
      run, out, "--want=Smiling or Male", "--rows=5", "--rows_per_shard=3"
    )
    found = [
      row["latents"]
      for path in sorted(out.glob("*.tfrecord"))
      for row in records.read(str(path))
    ]
    made = lc_keras.load(str(run)).sample("Smiling or Male", 5)
    np.testing.assert_allclose(np.stack(found), made.latents, atol=1e-6)


class ShardsTest(absltest.TestCase):
  def _job(self, rows, rows_per_shard):
    return shards.Job(
      self.create_tempdir().full_path,
      mock.Mock(ending=".x", identity={}),
      shards.cut("train", rows, rows_per_shard),
    )

  def test_bad_rows_are_counted_and_named(self):
    def make(shard, path):
      pathlib.Path(path).write_bytes(b"good rows")
      return dict.fromkeys(range(shard.start, shard.stop, 2), "not a number")

    job = self._job(10, 4)
    self.assertLen(job.shards, 3)
    for shard in job.missing():
      job.make(make, shard)
    with self.assertRaisesRegex(ValueError, "5 rows are bad, 4 may.*train 6"):
      job.total(4)
    self.assertEqual(job.total(5), {"rows": 5, "bad": 5})

  def test_a_shard_that_failed_leaves_nothing(self):
    def make(shard, path):
      pathlib.Path(path).write_bytes(b"half")
      raise KeyboardInterrupt

    job = self._job(1, 1)
    with self.assertRaises(KeyboardInterrupt):
      job.make(make, job.shards[0])
    self.assertEmpty(os.listdir(job.folder))
    self.assertEqual(job.missing(), job.shards)


if __name__ == "__main__":
  absltest.main()
