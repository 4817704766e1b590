"""Tests of data sets of TensorFlow Datasets, on a synthetic one."""

import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lc_keras.data import pipeline


class DrawnSquares(tfds.core.GeneratorBasedBuilder):
  """Grey squares of any size, with a class, a boolean, and no validation."""

  VERSION = tfds.core.Version("1.0.0")

  @classmethod
  def get_metadata(cls):
    return tfds.core.dataset_metadata.DatasetMetadata(
      description="", citation=None, tags=[]
    )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "picture": tfds.features.Image(),
          "label": tfds.features.ClassLabel(names=["dark one", "light"]),
          "more": {"Odd": np.bool_, "score": np.float32},
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {"train": self._examples(100), "test": self._examples(8)}

  def _examples(self, count):
    for row in range(count):
      yield (
        str(row),
        {
          "picture": np.full([9 + row % 5, 12, 3], 2 * row, np.uint8),
          "label": int(row >= count // 2),
          "more": {"Odd": row % 2 == 1, "score": 0.5},
        },
      )

  _generate_examples = _examples


class TfdsSetsTest(tf.test.TestCase):
  def test_classes_and_booleans_become_attributes_and_pictures_images(self):
    with tempfile.TemporaryDirectory() as data_dir:
      name = "tfds:drawn_squares?image_size=8"
      self.assertEmpty(pipeline.prepare(name, data_dir))
      spec = pipeline.describe(name, data_dir)
      self.assertEqual(spec.attributes.names, ("dark_one", "light", "Odd"))
      self.assertEqual(spec.attributes.exclusive, (("dark_one", "light"),))
      counts, seen = [], []
      for split in spec.splits:
        (batch,) = pipeline.load(name, split, 100, data_dir=data_dir)
        grey = np.rint(batch["image"].numpy() * 255)[:, 4, 4, 0] / 2
        half = 50 if split != "test" else 4
        expected = np.stack([grey < half, grey >= half, grey % 2 == 1], axis=1)
        self.assertAllEqual(batch["attributes"], expected)
        counts.append(len(grey))
        seen += [grey] if split != "test" else []
      self.assertEqual(counts, [90, 10, 8])
      self.assertCountEqual(np.concatenate(seen), range(100))

  def test_what_there_is_not_is_named(self):
    with self.assertRaisesRegex(
      ValueError, "cannot open 'drawn_cirles'.*catalog"
    ):
      pipeline.describe("tfds:drawn_cirles", "unused")
