"""Tests of Fashion-MNIST on tiny files of the true format."""

import gzip
import os
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from absl.testing import parameterized

from lc_keras.data import fashion_mnist
from lc_keras.data import pipeline
from lc_keras.data import stored
from tests import idx_files


class FashionMnistTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.create_tempdir()
    self.data_dir = folder.full_path
    self.manual_dir = stored.manual_dir(self.data_dir)
    os.makedirs(self.manual_dir)
    generator = np.random.default_rng(0)
    self.images = generator.integers(0, 256, (15, 28, 28), np.uint8)
    self.labels = np.arange(3, 18, dtype=np.uint8) % 10
    for prefix, rows in (("train", slice(0, 12)), ("t10k", slice(12, 15))):
      idx_files.write(self._path(prefix, "images-idx3"), self.images[rows])
      idx_files.write(self._path(prefix, "labels-idx1"), self.labels[rows])

  def _path(self, prefix, kind):
    return os.path.join(self.manual_dir, f"{prefix}-{kind}-ubyte.gz")

  def test_images_and_classes_come_in_order(self):
    attributes = pipeline.describe("fashion_mnist").attributes
    np.testing.assert_array_equal(attributes.excludes, 1 - np.eye(10))
    pipeline.prepare("fashion_mnist", self.data_dir)
    for split, rows in (
      ("train", slice(0, 11)),
      ("validation", slice(11, 12)),
      ("test", slice(12, 15)),
    ):
      (batch,) = pipeline.load(
        "fashion_mnist", split, 16, data_dir=self.data_dir
      )
      np.testing.assert_allclose(
        batch["image"], self.images[rows, ..., np.newaxis] / 255, rtol=1e-6
      )
      np.testing.assert_array_equal(
        batch["attributes"], np.eye(10)[self.labels[rows]]
      )

  def test_a_file_cut_short_is_named(self):
    path = self._path("train", "images-idx3")
    idx_files.write(path, self.images[:4])
    with gzip.open(path) as file:
      content = file.read()
    with gzip.open(path, "wb") as file:
      file.write(content[:-1])
    with self.assertRaisesRegex(ValueError, "announces 3136 bytes"):
      fashion_mnist.read_idx(path, 3)
    with open(path, "r+b") as file:
      file.truncate(os.path.getsize(path) // 2)
    with self.assertRaisesRegex(ValueError, "whole gzip file"):
      fashion_mnist.read_idx(path, 3)

  def test_files_that_do_not_fit_are_refused(self):
    with self.assertRaisesRegex(ValueError, "3 dimensions"):
      fashion_mnist.read_idx(self._path("train", "labels-idx1"), 3)
    idx_files.write(self._path("t10k", "labels-idx1"), self.labels[:2])
    with self.assertRaisesRegex(ValueError, "for 2 labels"):
      pipeline.prepare("fashion_mnist", self.data_dir)

  def test_without_files_or_network_it_says_where_to_get_them(self):
    os.remove(self._path("train", "labels-idx1"))
    no_network = mock.patch.object(
      tfds.download.DownloadManager, "download", side_effect=OSError("offline")
    )
    no_debian = mock.patch.object(fashion_mnist, "DEBIAN", "/nowhere")
    with no_network, no_debian:
      with self.assertRaisesRegex(FileNotFoundError, "dataset-fashion-mnist"):
        pipeline.prepare("fashion_mnist", self.data_dir)
