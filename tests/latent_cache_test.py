"""Tests of the latent cache: the right one, of any size."""

import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import files
from lc_keras.data import latent_batches
from lc_keras.data import latent_cache
from lc_keras.data import latents
from lc_keras.data import shards
from tests import numbered_latents

_TRAIN = "train-00000.npy"
_SOURCE = {"generator": "abc", "dataset": "toon_faces/studio"}


class CacheTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir()) / "cache"
    self.train, self.test = (
      numbered_latents.make(7),
      numbered_latents.make(3, seed=1),
    )
    latent_cache.write(
      str(self.folder), {"train": self.train, "test": self.test}, _SOURCE
    )

  def test_round_trips(self):
    for split in ("train", "test"):
      read = latent_cache.read(str(self.folder), split, _SOURCE)
      written = getattr(self, split)
      for name in ("mean", "scale", "attributes"):
        self.assertAllEqual(getattr(read, name), getattr(written, name))
        self.assertEqual(getattr(read, name).dtype, np.float32)

  def test_the_manifest_has_sigma_bar_of_the_training_split(self):
    manifest = latent_cache.read_manifest(str(self.folder), _SOURCE)
    self.assertAllClose(
      manifest["posterior_scale"], self.train.scale.mean(axis=0)
    )
    self.assertAllClose(
      manifest["attribute_frequencies"], self.train.attributes.mean(axis=0)
    )
    self.assertEqual(manifest["rows"], {"train": 7, "test": 3})
    self.assertEqual(manifest["source"], _SOURCE)

  def test_any_source_will_do_if_none_is_asked_for(self):
    self.assertLen(latent_cache.read(str(self.folder), "train"), 7)

  def test_refuses_a_stale_or_foreign_cache(self):
    for source in (
      {**_SOURCE, "generator": "another"},
      {**_SOURCE, "dataset": "celeb_a"},
      {**_SOURCE, "attributes": "Bald"},
    ):
      with self.assertRaisesRegex(ValueError, "stale or foreign.*expected"):
        latent_cache.read(str(self.folder), "train", source)

  def test_knows_the_generator_of_older_caches(self):
    path = self.folder / "manifest.json"
    path.write_text(path.read_text().replace('"generator"', '"vae"'))
    self.assertLen(latent_cache.read(str(self.folder), "train", _SOURCE), 7)
    with self.assertRaisesRegex(ValueError, "its generator is 'abc'"):
      latent_cache.read_manifest(str(self.folder), {"generator": "another"})

  def test_refuses_another_format(self):
    path = self.folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 99'))
    with self.assertRaisesRegex(
      ValueError, "format 99; this version reads 1 and 2"
    ):
      latent_cache.read(str(self.folder), "train", _SOURCE)

  def test_refuses_a_damaged_file(self):
    path = self.folder / _TRAIN
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with self.assertRaisesRegex(ValueError, "train-00000.npy is damaged"):
      latent_cache.read(str(self.folder), "train", _SOURCE)
    self.assertLen(latent_cache.read(str(self.folder), "test", _SOURCE), 3)

  def test_refuses_a_file_of_another_cache(self):
    other = self.folder.parent / "other"
    latent_cache.write(
      str(other), {"train": numbered_latents.make(7, seed=2)}, _SOURCE
    )
    (other / _TRAIN).replace(self.folder / _TRAIN)
    with self.assertRaisesRegex(ValueError, "damaged"):
      latent_cache.read(str(self.folder), "train", _SOURCE)

  def test_says_what_to_do_when_there_is_none(self):
    (self.folder / "manifest.json").unlink()
    with self.assertRaisesRegex(FileNotFoundError, "trainers.latents"):
      latent_cache.read(str(self.folder), "train", _SOURCE)
    with self.assertRaisesRegex(FileNotFoundError, "trainers.latents"):
      latent_cache.read_manifest(str(self.folder) + "2")

  def test_says_which_splits_there_are(self):
    with self.assertRaisesRegex(FileNotFoundError, "'validation'.*test, train"):
      latent_cache.read(str(self.folder), "validation", _SOURCE)

  def test_writing_again_replaces_the_whole(self):
    latent_cache.write(
      str(self.folder),
      {"train": numbered_latents.make(5)},
      {"generator": "new"},
    )
    self.assertLen(
      latent_cache.read(str(self.folder), "train", {"generator": "new"}), 5
    )
    self.assertEqual(
      sorted(path.name for path in self.folder.iterdir()),
      ["manifest.json", _TRAIN],
    )

  def test_the_manifest_is_json_that_others_can_read(self):
    manifest = json.loads((self.folder / "manifest.json").read_text())
    self.assertEqual(set(manifest["checksums"]), {_TRAIN, "test-00000.npy"})


class ShardsTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir()) / "cache"
    self.rows = numbered_latents.make(23)

  def _write(self, splits, rows_per_shard=5):
    record = sum(column.nbytes for column in vars(self.rows).values()) // 23
    with mock.patch.object(shards, "_SHARD_BYTES", rows_per_shard * record):
      latent_cache.write(str(self.folder), splits, _SOURCE)
    return latent_cache.read(str(self.folder), "train", _SOURCE)

  def _names(self):
    return sorted(path.name for path in self.folder.glob("*.npy"))

  @parameterized.parameters(1, 4, 5, 23)
  def test_pieces_of_any_size_give_the_same_files(self, size):
    read = self._write({"train": self.rows})
    manifest = (self.folder / "manifest.json").read_text()
    self.assertLen(self._names(), 5)
    cuts = range(0, 23, size)
    pieces = (self.rows.take(slice(at, at + size)) for at in cuts)
    again = self._write({"train": pieces})
    for name in vars(self.rows):
      self.assertAllEqual(getattr(read, name), getattr(self.rows, name))
      self.assertAllEqual(getattr(again, name), getattr(self.rows, name))
    self.assertEqual((self.folder / "manifest.json").read_text(), manifest)

  @parameterized.parameters(
    3,
    -1,
    slice(None, 4),
    slice(3, 17),
    slice(20, 99),
    slice(9, 2),
    slice(None, None, 2),
    [[22, 0, 7, 7, -2]],
    [[]],
  )
  def test_is_indexed_like_an_array(self, index):
    read = self._write({"train": self.rows})
    if isinstance(index, list):
      index = np.array(index, int)
    self.assertAllEqual(read.mean[index], self.rows.mean[index])
    self.assertAllEqual(read.mean[index, 2:], self.rows.mean[index, 2:])
    self.assertEqual(read.mean.shape, (23, 4))

  def test_masks_pick_rows_and_there_are_none_beyond_the_end(self):
    read, mask = self._write({"train": self.rows}), self.rows.mean[:, 1] > 0
    self.assertAllEqual(read.scale[mask], self.rows.scale[mask])
    with self.assertRaises(IndexError):
      read.mean[np.array([0, 23])]

  def test_trains_on_the_same_batches_as_arrays(self):
    read = self._write({"train": self.rows})
    for options in ({}, {"balanced_fraction": 0.5, "turns": 2}):
      for one, two in zip(
        *(
          latent_batches.at_random(rows, 4, **options).take(5)
          for rows in (self.rows, read)
        )
      ):
        for name in one:
          self.assertAllEqual(one[name], two[name])

  def test_moments_do_not_depend_on_the_pieces(self):
    whole = latents.moments(self.rows)
    with mock.patch.object(latents, "_PIECE", 4):
      pieces = latents.moments(self._write({"train": self.rows}))
    self.assertAllClose(vars(whole), vars(pieces))
    self.assertAllClose(whole.covariance, np.cov(self.rows.mean.T))

  def test_is_not_there_before_all_of_it_is(self):
    def broken():
      yield self.rows
      raise KeyboardInterrupt

    with self.assertRaises(KeyboardInterrupt):
      self._write({"train": broken()})
    self.assertEmpty(list(self.folder.parent.iterdir()))
    self._write({"train": self.rows})
    with self.assertRaises(KeyboardInterrupt):
      self._write({"train": broken()}, rows_per_shard=3)
    self.assertLen(latent_cache.read(str(self.folder), "train"), 23)

  def test_one_missing_shard_is_damage(self):
    self._write({"train": self.rows})
    (self.folder / self._names()[3]).unlink()
    with self.assertRaisesRegex(ValueError, "00003.npy is damaged.*missing"):
      latent_cache.read(str(self.folder), "train")

  def test_a_manifest_names_no_file_elsewhere(self):
    self._write({"train": self.rows})
    names = self._names()
    (self.folder / names[0]).rename(self.folder.parent / "elsewhere.npy")
    path = self.folder / "manifest.json"
    path.write_text(path.read_text().replace(names[0], "../elsewhere.npy"))
    with self.assertRaisesRegex(ValueError, "cannot be the name of a file"):
      latent_cache.read(str(self.folder), "train")

  def test_reads_caches_from_before_there_were_shards(self):
    self._write({"train": self.rows})
    manifest = json.loads((self.folder / "manifest.json").read_text())
    for name in self._names():
      (self.folder / name).unlink()
    np.savez(self.folder / "train.npz", **vars(self.rows))
    del manifest["shards"]
    manifest["format"] = 1
    manifest["checksums"] = {
      "train.npz": files.checksum(self.folder / "train.npz")
    }
    files.write_json(str(self.folder / "manifest.json"), manifest)
    read = latent_cache.read(str(self.folder), "train", _SOURCE)
    for name in vars(self.rows):
      self.assertAllEqual(getattr(read, name), getattr(self.rows, name))
    with open(self.folder / "train.npz", "ab") as file:
      file.write(b"more")
    with self.assertRaisesRegex(ValueError, "train.npz is damaged"):
      latent_cache.read(str(self.folder), "train", _SOURCE)


# Writes a cache of 192 MB and trains on it, with 96 MB more of memory of its
# own than a small one takes; then shows that this is a cap.
_CAPPED = """
import resource, sys
import keras
import numpy as np
from lc_keras import latent_batches, latent_cache, latents, shards
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

shards._SHARD_BYTES = 8 << 20
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
  held = [np.asarray(column) for column in vars(rows).values()]
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


if __name__ == "__main__":
  tf.test.main()
