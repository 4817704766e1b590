"""Tests of latents: the cache is the right one, and batches can be repeated."""

import itertools
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from absl.testing import parameterized

from lc_keras import files
from lc_keras import latents
from lc_keras import shards

tfd = tfp.distributions

_TRAIN = "train-00000.npy"
_SOURCE = {"generator": "abc", "dataset": "toon_faces/studio"}


def _latents(rows=7, size=4, attributes=5, frequency=0.3, seed=0):
  """Returns latents whose mean tells the row: mean[i, 0] is i."""
  random = np.random.default_rng(seed)
  mean = random.normal(size=[rows, size]).astype(np.float32)
  mean[:, 0] = np.arange(rows)
  return latents.Latents(
    mean,
    random.uniform(0.1, 1, [rows, size]).astype(np.float32),
    (random.random([rows, attributes]) < frequency).astype(np.float32),
  )


class EncodeTest(tf.test.TestCase):
  def test_encodes_every_image_in_order(self):
    class Encoder:
      def encode(self, images):
        flat = tf.reshape(images, [tf.shape(images)[0], 4])
        return tfd.MultivariateNormalDiag(2 * flat, flat + 1)

    images = np.random.default_rng(0).random([7, 2, 2, 1]).astype(np.float32)
    labels = np.eye(7, 5, dtype=np.float32)
    dataset = tf.data.Dataset.from_tensor_slices(
      {"image": images, "attributes": labels}
    )
    encoded = latents.join(latents.encode(Encoder(), dataset.batch(3)))
    flat = images.reshape(7, 4)
    self.assertAllClose(encoded.mean, 2 * flat)
    self.assertAllClose(encoded.scale, flat + 1)
    self.assertAllEqual(encoded.attributes, labels)
    self.assertLen(encoded, 7)
    self.assertEqual(encoded.mean.dtype, np.float32)


class DrawTest(tf.test.TestCase):
  class Decoder:
    """Shows the first two numbers of its latent vector; knows no encoder."""

    latent_size = 4

    def decode(self, latents):
      return tfd.Deterministic(latents[:, :2])

  def _draw(self, rows=7, seed=(0, 0), **options):
    return latents.draw(self.Decoder(), rows, 0.25, seed, **options)

  def test_draws_the_prior_with_a_constant_scale(self):
    drawn = self._draw(5000)
    self.assertAllClose(drawn.mean.mean(axis=0), np.zeros(4), atol=0.1)
    self.assertAllClose(drawn.mean.std(axis=0), np.ones(4), atol=0.1)
    self.assertAllEqual(drawn.scale, np.full([5000, 4], 0.25, np.float32))
    self.assertEqual(drawn.mean.dtype, np.float32)
    self.assertEqual(drawn.scale.dtype, np.float32)

  def test_the_seed_says_which(self):
    self.assertAllEqual(self._draw().mean, self._draw().mean)
    self.assertNotAllClose(self._draw().mean, self._draw(seed=(0, 1)).mean)

  def test_labels_are_read_from_what_is_decoded_in_batches(self):
    shapes = []

    def read(images):
      shapes.append(images.shape)
      return tf.cast(images > 0.0, tf.float32)

    drawn = self._draw(7, read=read, batch_size=3)
    self.assertAllEqual(drawn.attributes, drawn.mean[:, :2] > 0.0)
    self.assertEqual(drawn.attributes.dtype, np.float32)
    self.assertAllLessEqual([shape[0] for shape in shapes], 3)

  def test_labels_do_not_depend_on_the_batches(self):
    one, other = (
      self._draw(7, read=lambda images: images, batch_size=size).attributes
      for size in (2, 7)
    )
    self.assertAllEqual(one, other)

  def test_without_a_reader_there_are_no_attributes(self):
    drawn = self._draw()
    self.assertEqual(drawn.attributes.shape, (7, 0))
    folder = str(pathlib.Path(self.create_tempdir()) / "cache")
    latents.write(folder, {"train": drawn}, {})
    self.assertEqual(latents.read(folder, "train").attributes.shape, (7, 0))
    with self.assertRaisesRegex(ValueError, "no labels to train on"):
      latents.training_batches(drawn, 3)


class CacheTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir()) / "cache"
    self.train, self.test = _latents(7), _latents(3, seed=1)
    latents.write(
      str(self.folder), {"train": self.train, "test": self.test}, _SOURCE
    )

  def test_round_trips(self):
    for split in ("train", "test"):
      read = latents.read(str(self.folder), split, _SOURCE)
      written = getattr(self, split)
      for name in ("mean", "scale", "attributes"):
        self.assertAllEqual(getattr(read, name), getattr(written, name))
        self.assertEqual(getattr(read, name).dtype, np.float32)

  def test_the_manifest_has_sigma_bar_of_the_training_split(self):
    manifest = latents.read_manifest(str(self.folder), _SOURCE)
    self.assertAllClose(
      manifest["posterior_scale"], self.train.scale.mean(axis=0)
    )
    self.assertAllClose(
      manifest["attribute_frequencies"], self.train.attributes.mean(axis=0)
    )
    self.assertEqual(manifest["rows"], {"train": 7, "test": 3})
    self.assertEqual(manifest["source"], _SOURCE)

  def test_any_source_will_do_if_none_is_asked_for(self):
    self.assertLen(latents.read(str(self.folder), "train"), 7)

  def test_refuses_a_stale_or_foreign_cache(self):
    for source in (
      {**_SOURCE, "generator": "another"},
      {**_SOURCE, "dataset": "celeb_a"},
      {**_SOURCE, "attributes": "Bald"},
    ):
      with self.assertRaisesRegex(ValueError, "stale or foreign.*expected"):
        latents.read(str(self.folder), "train", source)

  def test_knows_the_generator_of_older_caches(self):
    path = self.folder / "manifest.json"
    path.write_text(path.read_text().replace('"generator"', '"vae"'))
    self.assertLen(latents.read(str(self.folder), "train", _SOURCE), 7)
    with self.assertRaisesRegex(ValueError, "its generator is 'abc'"):
      latents.read_manifest(str(self.folder), {"generator": "another"})

  def test_refuses_another_format(self):
    path = self.folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 99'))
    with self.assertRaisesRegex(
      ValueError, "format 99; this version reads 1 and 2"
    ):
      latents.read(str(self.folder), "train", _SOURCE)

  def test_refuses_a_damaged_file(self):
    path = self.folder / _TRAIN
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with self.assertRaisesRegex(ValueError, "train-00000.npy is damaged"):
      latents.read(str(self.folder), "train", _SOURCE)
    self.assertLen(latents.read(str(self.folder), "test", _SOURCE), 3)

  def test_refuses_a_file_of_another_cache(self):
    other = self.folder.parent / "other"
    latents.write(str(other), {"train": _latents(7, seed=2)}, _SOURCE)
    (other / _TRAIN).replace(self.folder / _TRAIN)
    with self.assertRaisesRegex(ValueError, "damaged"):
      latents.read(str(self.folder), "train", _SOURCE)

  def test_says_what_to_do_when_there_is_none(self):
    (self.folder / "manifest.json").unlink()
    with self.assertRaisesRegex(FileNotFoundError, "trainers.latents"):
      latents.read(str(self.folder), "train", _SOURCE)
    with self.assertRaisesRegex(FileNotFoundError, "trainers.latents"):
      latents.read_manifest(str(self.folder) + "2")

  def test_says_which_splits_there_are(self):
    with self.assertRaisesRegex(FileNotFoundError, "'validation'.*test, train"):
      latents.read(str(self.folder), "validation", _SOURCE)

  def test_writing_again_replaces_the_whole(self):
    latents.write(
      str(self.folder), {"train": _latents(5)}, {"generator": "new"}
    )
    self.assertLen(
      latents.read(str(self.folder), "train", {"generator": "new"}), 5
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
    self.rows = _latents(23)

  def _write(self, splits, rows_per_shard=5):
    record = sum(column.nbytes for column in vars(self.rows).values()) // 23
    with mock.patch.object(shards, "_SHARD_BYTES", rows_per_shard * record):
      latents.write(str(self.folder), splits, _SOURCE)
    return latents.read(str(self.folder), "train", _SOURCE)

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

  def test_who_ends_a_pass_does_not_wait_for_its_tuning(self):
    for make in (latents.batches, latents.training_batches):
      self.assertFalse(make(self.rows, 4).options().autotune.enabled)

  def test_trains_on_the_same_batches_as_arrays(self):
    read = self._write({"train": self.rows})
    for options in ({}, {"balanced_fraction": 0.5, "turns": 2}):
      for one, two in zip(
        *(
          latents.training_batches(rows, 4, **options).take(5)
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
    self.assertLen(latents.read(str(self.folder), "train"), 23)

  def test_one_missing_shard_is_damage(self):
    self._write({"train": self.rows})
    (self.folder / self._names()[3]).unlink()
    with self.assertRaisesRegex(ValueError, "00003.npy is damaged.*missing"):
      latents.read(str(self.folder), "train")

  def test_a_manifest_names_no_file_elsewhere(self):
    self._write({"train": self.rows})
    names = self._names()
    (self.folder / names[0]).rename(self.folder.parent / "elsewhere.npy")
    path = self.folder / "manifest.json"
    path.write_text(path.read_text().replace(names[0], "../elsewhere.npy"))
    with self.assertRaisesRegex(ValueError, "cannot be the name of a file"):
      latents.read(str(self.folder), "train")

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
    read = latents.read(str(self.folder), "train", _SOURCE)
    for name in vars(self.rows):
      self.assertAllEqual(getattr(read, name), getattr(self.rows, name))
    with open(self.folder / "train.npz", "ab") as file:
      file.write(b"more")
    with self.assertRaisesRegex(ValueError, "train.npz is damaged"):
      latents.read(str(self.folder), "train", _SOURCE)


# Writes a cache of 192 MB and trains on it, with 96 MB more of memory of its
# own than a small one takes; then shows that this is a cap.
_CAPPED = """
import resource, sys
import keras
import numpy as np
from lc_keras import latents, shards
from lc_keras.models import attribute_model

def pieces(count):
  random = np.random.default_rng(0)
  for _ in range(count):
    mean = random.random([1000, 64], np.float32)
    yield latents.Latents(mean, mean, np.float32(mean[:, :5] > 0.5))

def train(folder, count):
  latents.write(folder, {"train": pieces(count)}, {})
  rows = latents.read(folder, "train")
  batches = latents.training_batches(rows, 64, balanced_fraction=0.5)
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


class CovarianceTest(tf.test.TestCase):
  def test_says_how_the_means_vary_together(self):
    rows = _latents(9)
    rows.mean[:, 1] = 2.0 * rows.mean[:, 0]
    rows.mean[:, 2] = 3.0
    covariance = latents.covariance(rows)
    self.assertEqual((covariance.shape, covariance.dtype), ((4, 4), np.float32))
    # 0 to 8 have a variance of 7.5.
    self.assertAllClose(covariance[:2, :2], [[7.5, 15.0], [15.0, 30.0]])
    self.assertAllClose(covariance[2], np.zeros(4))


class PrincipalAxesTest(tf.test.TestCase):
  def test_draws_are_uncorrelated_along_them(self):
    random = np.random.default_rng(0)
    mean = random.normal(size=[20_000, 3]) @ random.normal(size=[3, 4])
    scale = random.uniform(0.1, 2.0, size=mean.shape)
    rows = latents.Latents(mean, scale, np.zeros([20_000, 1]))
    variances, axes = latents.moments(rows).principal_axes()
    self.assertAllClose(axes.T @ axes, np.eye(4))
    self.assertAllEqual(variances, np.sort(variances))
    draws = mean + scale * random.normal(size=mean.shape)
    white = draws @ axes / np.sqrt(variances)
    self.assertAllClose(np.cov(white, rowvar=False), np.eye(4), atol=0.05)


class BatchesTest(tf.test.TestCase):
  def test_is_one_pass_in_order_with_the_remainder(self):
    rows = _latents(7)
    batches = list(latents.batches(rows, 3))
    self.assertEqual([len(batch["mean"]) for batch in batches], [3, 3, 1])
    for name in ("mean", "scale", "attributes"):
      joined = np.concatenate([batch[name] for batch in batches])
      self.assertAllEqual(joined, getattr(rows, name))
    focus = np.concatenate([batch["focus"] for batch in batches])
    self.assertAllEqual(focus, [0, 1, 2, 3, 4, 0, 1])


class TrainingBatchesTest(tf.test.TestCase, parameterized.TestCase):
  def _take(self, count, rows=None, batch_size=3, **options):
    rows = _latents(50) if rows is None else rows
    batches = latents.training_batches(rows, batch_size, **options)
    return list(batches.take(count).as_numpy_iterator())

  def test_a_batch_is_rows_of_the_split(self):
    rows = _latents(50)
    for batch in self._take(4, rows):
      index = batch["mean"][:, 0].astype(int)
      for name in ("mean", "scale", "attributes"):
        self.assertAllEqual(batch[name], getattr(rows, name)[index])
      self.assertAllInRange(batch["focus"], 0, 4)

  def test_turns_are_the_second_dimension(self):
    rows = _latents(50)
    (batch,) = self._take(1, rows, turns=6)
    self.assertEqual(
      {name: value.shape for name, value in batch.items()},
      {
        "mean": (3, 6, 4),
        "scale": (3, 6, 4),
        "attributes": (3, 6, 5),
        "focus": (3, 6),
      },
    )
    index = batch["mean"][..., 0].astype(int)
    self.assertAllEqual(batch["attributes"], rows.attributes[index])
    self.assertGreater(len(np.unique(index)), 10)

  def test_shapes_are_known_before_it_runs(self):
    dataset = latents.training_batches(_latents(50), 3, turns=2)
    self.assertEqual(dataset.element_spec["mean"].shape, [3, 2, 4])

  def test_the_seed_decides(self):
    first, again, other = (self._take(3, seed=seed) for seed in (1, 1, 2))
    for one, two, three in zip(first, again, other):
      self.assertAllEqual(one["mean"], two["mean"])
      self.assertAllEqual(one["focus"], two["focus"])
      self.assertNotAllClose(one["mean"], three["mean"])

  @parameterized.parameters({}, {"turns": 2, "balanced_fraction": 0.5})
  def test_starting_later_is_skipping(self, **options):
    whole = self._take(7, **options)
    for late, skipped in zip(self._take(3, start_step=4, **options), whole[4:]):
      for name in skipped:
        self.assertAllEqual(late[name], skipped[name])

  def test_evenly_is_evenly(self):
    rows = _latents(20)
    drawn = np.concatenate([b["mean"][:, 0] for b in self._take(400, rows, 20)])
    counts = np.bincount(drawn.astype(int), minlength=20)
    self.assertAllInRange(counts / 400, 0.7, 1.3)

  def test_balancing_makes_rare_values_as_frequent(self):
    # 3 in 100 have attribute 0; all but 3 have attribute 1.
    rows = _latents(100)
    rows.attributes[:, :2] = [0, 1]
    rows.attributes[:3, :2] = [1, 0]
    batches = self._take(200, rows, 50, balanced_fraction=1.0)
    focus = np.concatenate([batch["focus"] for batch in batches])
    labels = np.concatenate([batch["attributes"] for batch in batches])
    for column in range(5):
      self.assertAllClose(np.mean(focus == column), 0.2, atol=0.03)
      own = labels[focus == column, column]
      self.assertAllClose(own.mean(), 0.5, atol=0.06)
    self.assertGreater(labels[:, 0].mean(), 0.1)

  def test_balancing_a_fraction_lies_between(self):
    rows = _latents(100)
    rows.attributes[:, 0] = 0
    rows.attributes[:3, 0] = 1
    shares = [
      np.mean(
        [
          batch["attributes"][:, 0]
          for batch in self._take(100, rows, 50, balanced_fraction=fraction)
        ]
      )
      for fraction in (0.0, 0.5, 1.0)
    ]
    self.assertAllClose(shares[0], 0.03, atol=0.02)
    self.assertAllClose(shares[1], np.mean(shares[::2]), atol=0.03)
    self.assertGreater(shares[2], shares[0] + 0.05)

  def test_an_attribute_that_nobody_has_is_no_trap(self):
    rows = _latents(30)
    rows.attributes[:, 2] = 0
    rows.attributes[:, 3] = 1
    batches = self._take(50, rows, 30, balanced_fraction=1.0)
    index = np.concatenate([batch["mean"][:, 0] for batch in batches])
    self.assertAllInRange(index, 0, 29)
    focus = np.concatenate([batch["focus"] for batch in batches])
    self.assertAllEqual(np.unique(focus), range(5))

  def test_every_batch_differs(self):
    batches = [batch["mean"].tobytes() for batch in self._take(20)]
    self.assertLen(set(batches), 20)

  def test_noise_of_neighbouring_seeds_differs(self):
    # (seed 0, step 1) must not be (seed 1, step 0).
    one = self._take(1, seed=0, start_step=1)[0]["mean"]
    self.assertNotAllClose(one, self._take(1, seed=1)[0]["mean"])

  def test_refuses_fewer_rows_than_a_batch(self):
    with self.assertRaisesRegex(ValueError, "batch of 8 rows.*got 7"):
      latents.training_batches(_latents(7), 8)
    self.assertLen(self._take(1, _latents(7), 7)[0]["mean"], 7)

  def test_no_row_of_a_small_split_is_out_of_reach(self):
    rows = _latents(5)
    drawn = itertools.chain.from_iterable(
      batch["mean"][:, 0]
      for batch in self._take(60, rows, balanced_fraction=0.5)
    )
    self.assertEqual({int(index) for index in drawn}, set(range(5)))


if __name__ == "__main__":
  tf.test.main()
