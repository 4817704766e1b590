"""Tests of the input pipeline, on a handful of cartoon faces."""

import os
import pathlib
import shutil
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras import data
from lc_keras.data import pipeline
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import renderer

_NAME = "toon_faces/tiny"
_FACES = 64  # in its training split
_BATCH = 12  # five batches and four faces


class PipelineTest(parameterized.TestCase, tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.data_dir = cls.enterClassContext(tempfile.TemporaryDirectory())
    pipeline.prepare(_NAME, cls.data_dir)

  def _load(self, split="train", batch_size=_BATCH, **options):
    return pipeline.load(
      _NAME, split, batch_size, data_dir=self.data_dir, **options
    )

  def _train(self, batches, **options):
    """[batches, _BATCH, 64, 64, 3], the first images of a training stream."""
    stream = self._load(training=True, **options)
    return np.stack([batch["image"] for batch in stream.take(batches)])

  def test_evaluation_is_one_pass_in_order_with_the_remainder(self):
    batches = list(self._load())
    self.assertEqual([len(batch["image"]) for batch in batches], [12] * 5 + [4])
    faces = factors.sample(20, 0, _FACES)
    images = np.concatenate([batch["image"] for batch in batches])
    labels = np.concatenate([batch["attributes"] for batch in batches])
    self.assertAllEqual(np.rint(images * 255), renderer.render(faces, "studio"))
    self.assertAllEqual(labels, faces.labels[:, :10])

  def test_balanced_split_tells_the_column_each_row_is_for(self):
    (batch,) = self._load("balanced", 56)
    focus, labels = batch["focus"].numpy(), batch["attributes"].numpy()
    self.assertEqual(focus.dtype, np.int64)
    self.assertAllEqual(np.bincount(focus + 1), [36] + [2] * 10)
    for column in range(10):
      self.assertAllEqual(np.sort(labels[focus == column, column]), [0, 1])

  @parameterized.parameters(True, False)
  def test_shapes_are_known_and_nothing_is_tuned(self, training):
    dataset = self._load(training=training)
    batch = _BATCH if training else None
    self.assertEqual(
      dataset.element_spec,
      {
        "image": tf.TensorSpec([batch, 64, 64, 3]),
        "attributes": tf.TensorSpec([batch, 10]),
      },
    )
    self.assertFalse(dataset.options().autotune.enabled)

  def test_an_epoch_of_training_has_every_face_once(self):
    for buffer in (4, 65_536):
      self._check_epochs(
        self._train(2 * _FACES // _BATCH, seed=3, shuffle_buffer=buffer)
      )

  def _check_epochs(self, images):
    epochs = images.reshape(-1, 64, 64, 3)[: _FACES + 56]
    first = np.unique(epochs[:_FACES], axis=0)
    self.assertLen(first, _FACES)
    self.assertLen(np.unique(epochs[_FACES:], axis=0), 56)
    self.assertNotAllEqual(epochs[:56], epochs[_FACES:])

  @parameterized.parameters(1, 5, 6, 16)
  def test_a_resumed_stream_goes_on(self, start_step):
    whole = self._train(start_step + 7, seed=3)
    resumed = self._train(7, seed=3, start_step=start_step)
    self.assertAllEqual(resumed, whole[start_step:])

  def test_order_is_determined_by_the_seed_alone(self):
    tf.random.set_seed(1)
    first = self._train(3, seed=3)
    tf.random.set_seed(2)
    self.assertAllEqual(self._train(3, seed=3), first)
    self.assertNotAllEqual(self._train(3, seed=4), first)

  def test_limit_keeps_the_first_examples(self):
    whole = np.concatenate([batch["image"] for batch in self._load()])
    some = np.concatenate([batch["image"] for batch in self._load(limit=17)])
    self.assertAllEqual(some, whole[:17])
    trained = self._train(6, limit=17).reshape(-1, 64, 64, 3)
    self.assertAllEqual(
      np.unique(trained, axis=0), np.unique(whole[:17], axis=0)
    )

  def test_every_data_set_is_described(self):
    for name in data.DATASETS:
      if name.endswith(":"):
        continue  # A prefix, which needs a folder or a name.
      spec = pipeline.describe(name)
      shape = (28, 28, 1) if name == "fashion_mnist" else (64, 64, 3)
      self.assertEqual(spec.image_shape, shape)
      self.assertLen(spec.attributes.names, 10)
      self.assertContainsSubset(spec.attributes.names, spec.all_attributes)
      self.assertContainsSubset(("train", "validation", "test"), spec.splits)
      if "Bald" in spec.attributes.names:
        excluded = spec.attributes.excludes[spec.attributes.index("Bald")]
        self.assertCountEqual(
          np.array(spec.attributes.names)[excluded > 0],
          ["Black_Hair", "Blond_Hair", "Brown_Hair", "Wearing_Hat"],
        )

  def test_unknown_names_get_the_nearest(self):
    with self.assertRaisesRegex(ValueError, "did you mean toon_faces/studio"):
      pipeline.describe("toonfaces/studio")
    with self.assertRaisesRegex(ValueError, "choose one of .*celeb_a"):
      pipeline.describe("xyz")
    with self.assertRaisesRegex(ValueError, "did you mean validation"):
      self._load("valid")

  def test_data_that_is_not_prepared_is_an_error_that_says_how(self):
    with self.assertRaisesRegex(FileNotFoundError, "pipeline.prepare"):
      pipeline.load("toon_faces/wild", "train", _BATCH, data_dir=self.data_dir)

  def test_too_little_data_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "batch of 65"):
      self._load(batch_size=65, training=True)
    with self.assertRaisesRegex(ValueError, "gives 0 examples"):
      self._load(limit=0)
    with self.assertRaisesRegex(ValueError, "start_step"):
      self._load(start_step=1)


class IntegrityTest(parameterized.TestCase, tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.folder = pathlib.Path(folder)
    pipeline.prepare(_NAME, str(cls.folder / "whole"))

  def setUp(self):
    super().setUp()
    self.data_dir = self.folder / self.id().rpartition(".")[2]
    shutil.copytree(self.folder / "whole", self.data_dir)
    (self.shard,) = self.data_dir.rglob("*-validation*")

  def test_a_file_that_changed_is_named(self):
    data = bytearray(self.shard.read_bytes())
    status = self.shard.stat()
    data[100] ^= 1
    self.shard.write_bytes(data)
    with self.assertRaisesRegex(ValueError, f"{self.shard} is damaged"):
      pipeline.prepare(_NAME, str(self.data_dir))
    # Silent corruption on disk leaves size and time as they were.
    os.utime(self.shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    pipeline.prepare(_NAME, str(self.data_dir))
    with self.assertRaisesRegex(ValueError, f"{self.shard} is damaged"):
      pipeline.verify(_NAME, str(self.data_dir))
    self.shard.unlink()
    with self.assertRaisesRegex(FileNotFoundError, f"{self.shard} is missing"):
      pipeline.prepare(_NAME, str(self.data_dir))

  def test_checksums_of_unchanged_files_are_not_computed_again(self):
    os.utime(self.shard)  # As if copied: its checksum is computed once more.
    pipeline.prepare(_NAME, str(self.data_dir))
    with mock.patch.object(pipeline.integrity.files, "checksum") as checksum:
      pipeline.prepare(_NAME, str(self.data_dir))
    checksum.assert_not_called()
