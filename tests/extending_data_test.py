"""Follows the recipe for a new data set in docs/extending.md, to the letter."""

import pathlib
import re
import sys
from unittest import mock

import numpy as np
import tensorflow as tf

from lc_keras import data
from lc_keras.data import pipeline

_PAGE = pathlib.Path(__file__).parents[1] / "docs" / "extending.md"


class ExtendingDataTest(tf.test.TestCase):
  def test_a_data_set_is_one_file_and_one_line(self):
    section = (
      _PAGE.read_text().split("## A new data set\n")[1].split("\n## ")[0]
    )
    file, line, use = re.findall(r"```python\n(.*?)```", section, re.S)
    folder = pathlib.Path(self.create_tempdir())
    # The package's own folder cannot be written to under Bazel.
    (folder / "discs.py").write_text(file)
    ((name, module),) = eval("{" + line + "}").items()
    self.assertEqual(module, "lc_keras.data.discs")
    data_dir = str(folder / "data")
    with (
      mock.patch.object(sys, "path", [str(folder), *sys.path]),
      mock.patch.dict(data.DATASETS, {name: "discs"}),
    ):
      names = {}
      exec(use.replace('"data"', repr(data_dir)), names)
      spec = pipeline.describe(name)
      self.assertEqual(spec.attributes.exclusive, (("Left", "Right"),))
      (batch,) = pipeline.load(name, "test", 100, data_dir=data_dir)
    self.assertEqual(names["batch"]["image"].shape, (64, 32, 32, 1))
    image, labels = batch["image"].numpy(), batch["attributes"].numpy()
    self.assertEqual(image.dtype, np.float32)
    self.assertAllClose(np.unique(image), [20 / 255, 230 / 255])
    # Large discs have more bright pixels than any small one.
    bright = (image > 0.5).sum(axis=(1, 2, 3))
    large = labels[:, 0] == 1
    self.assertGreater(bright[large].min(), bright[~large].max())
    self.assertGreater(labels.sum(axis=0).min(), 10)
