"""Tests of the latent cache: complete, from the right source, of any size."""

import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.data import latent_batches
from lc_keras.data import latent_cache
from lc_keras.data import latents
from tests import numbered_latents

_SOURCE = {"generator": "abc", "dataset": "toon_faces/studio"}


class CacheTest(parameterized.TestCase, tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir()) / "cache"
    self.rows = numbered_latents.make(23)
    self._write({"train": self.rows, "test": self.rows.take(slice(3))})

  def _write(self, splits):
    latent_cache.write(str(self.folder), splits, _SOURCE)

  def _read(self, split="train", source=_SOURCE):
    return latent_cache.read(str(self.folder), split, source)

  def test_gives_back_what_was_written(self):
    for split, rows in (
      ("train", self.rows),
      ("test", self.rows.take([0, 1, 2])),
    ):
      for name in latents.COLUMNS:
        column = getattr(self._read(split, None), name)
        self.assertAllEqual(column, getattr(rows, name))
        self.assertEqual(column.dtype, np.float32)

  def test_the_manifest_has_means_of_the_training_split(self):
    manifest = latent_cache.read_manifest(str(self.folder), _SOURCE)
    for name, key in (
      ("scale", "posterior_scale"),
      ("attributes", "attribute_frequencies"),
    ):
      self.assertAllClose(manifest[key], getattr(self.rows, name).mean(axis=0))
    self.assertEqual(manifest["rows"], {"train": 23, "test": 3})
    self.assertEqual(manifest["source"], _SOURCE)

  @parameterized.parameters(1, 4, 5, 23)
  def test_pieces_of_any_size_give_the_same_file(self, size):
    before = (self.folder / "train.npy").read_bytes()
    cuts = range(0, 23, size)
    self._write({"train": (self.rows.take(slice(i, i + size)) for i in cuts)})
    self.assertEqual((self.folder / "train.npy").read_bytes(), before)
    # The whole folder is replaced.
    self.assertFalse((self.folder / "test.npy").exists())

  def test_trains_on_the_same_batches_as_arrays(self):
    for options in ({}, {"balanced_fraction": 0.5, "turns": 2}):
      for one, two in zip(
        *(
          latent_batches.at_random(rows, 4, **options).take(5)
          for rows in (self.rows, self._read())
        )
      ):
        for name in one:
          self.assertAllEqual(one[name], two[name])

  def test_moments_do_not_depend_on_the_pieces(self):
    whole = latents.moments(self.rows)
    with mock.patch.object(latents, "_PIECE", 4):
      pieces = latents.moments(self._read())
    self.assertAllClose(vars(whole), vars(pieces))
    self.assertAllClose(whole.covariance, np.cov(self.rows.mean.T))

  @parameterized.parameters(
    {"generator": "another"}, {"dataset": "celeb_a"}, {"attributes": "Bald"}
  )
  def test_refuses_another_source(self, **other):
    with self.assertRaisesRegex(ValueError, "stale or foreign.*expected"):
      self._read(source={**_SOURCE, **other})

  def test_refuses_another_format(self):
    path = self.folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 3', '"format": 99'))
    with self.assertRaisesRegex(ValueError, "format 99; this version reads 3"):
      self._read()

  def test_refuses_a_damaged_file(self):
    path = self.folder / "train.npy"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with self.assertRaisesRegex(ValueError, "train.npy is damaged"):
      self._read()
    self.assertLen(self._read("test"), 3)
    path.unlink()
    with self.assertRaisesRegex(ValueError, "train.npy is damaged.*missing"):
      self._read()

  def test_says_what_is_not_there(self):
    with self.assertRaisesRegex(FileNotFoundError, "'validation'.*test, train"):
      self._read("validation")
    (self.folder / "manifest.json").unlink()
    with self.assertRaisesRegex(FileNotFoundError, "trainers.latents"):
      self._read()

  def test_a_manifest_names_no_file_elsewhere(self):
    (self.folder / "train.npy").rename(self.folder.parent / "train.npy")
    path = self.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    checksums = manifest["checksums"]
    checksums["../train"] = checksums.pop("train")
    path.write_text(json.dumps(manifest))
    with self.assertRaisesRegex(ValueError, "cannot be the name of a split"):
      self._read("../train")

  def test_a_cache_that_fails_changes_nothing(self):
    def broken():
      yield self.rows
      raise KeyboardInterrupt

    with self.assertRaises(KeyboardInterrupt):
      self._write({"train": broken()})
    with self.assertRaisesRegex(ValueError, "No rows"):
      self._write({"train": iter(())})
    self.assertLen(self._read(), 23)
    self.assertLen(list(self.folder.parent.iterdir()), 1)


# Writes a cache of 192 MB and trains on it, with a limit of 96 MB more private
# memory than a small cache needs; then shows that the limit works.
_CAPPED = """
import resource, sys
import keras
import numpy as np
from lc_keras.data import latent_batches, latent_cache, latents
from lc_keras.models import attribute_model

def pieces(count):
  random = np.random.default_rng(0)
  for _ in range(count):
    mean = random.random([1000, 64], np.float32)
    yield latents.Latents(mean, mean, np.float32(mean[:, :5] > 0.5))

def train(folder, count):
  latent_cache.write(folder, {"train": pieces(count)}, {})
  rows = latent_cache.read(folder, "train")
  batches = latent_batches.at_random(rows, 64, balanced_fraction=0.5)
  model.fit(batches, steps_per_epoch=20, shuffle=False, verbose=0)
  return rows

def own():
  status = dict(line.split(":") for line in open("/proc/self/status"))
  return 1024 * int(status["VmData"].split()[0])

model = attribute_model.AttributeModel(64, 5, width=8, depth=1)
model.compile(keras.optimizers.Adam(), jit_compile=False)
small = train(sys.argv[1] + "/small", 2)
latents.moments(small)
cap = own() + (96 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))
rows = train(sys.argv[1] + "/large", 360)
latents.moments(rows)
assert len(rows) == 360_000
try:
  held = [np.array(column) for column in vars(rows).values()]
except MemoryError:
  print("the cap holds")
"""


class MemoryTest(tf.test.TestCase):
  def test_trains_on_a_cache_that_is_larger_than_memory(self):
    done = subprocess.run(
      [sys.executable, "-c", _CAPPED, self.create_tempdir().full_path],
      env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
      capture_output=True,
      text=True,
    )
    self.assertIn("the cap holds", done.stdout, done.stderr[-2000:])
