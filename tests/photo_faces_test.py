"""Tests of photo_faces without its packages; photo_checks.py has the others."""

import pathlib
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import parameterized

from lc_keras.photo_faces import early_exit
from lc_keras.photo_faces import openvino_ir
from lc_keras.photo_faces import packages
from lc_keras.photo_faces import scores
from lc_keras.photo_faces import synthesis
from lc_keras.photo_faces import tables
from tools import photo_data
from tools import photo_labels

_GRAPH = """<net><layers>
<layer id="0" type="Parameter"><output><port id="0"><dim>1</dim><dim>2</dim>
</port></output></layer>
<layer id="7" type="Const"><data element_type="f32" shape="2, 2" offset="4"/>
<output><port id="1"><dim>2</dim><dim>2</dim></port></output></layer>
<layer id="3" type="MatMul"><data transpose_b="true"/>
<output><port id="2"><dim>1</dim><dim>2</dim></port></output></layer>
</layers><edges>
<edge from-layer="7" from-port="1" to-layer="3" to-port="1"/>
<edge from-layer="0" from-port="0" to-layer="3" to-port="0"/>
</edges></net>"""


class PhotoFacesTest(parameterized.TestCase):
  def test_haar_transforms_undo_each_other(self):
    images = np.float32(np.random.default_rng(0).normal(size=[2, 6, 10, 3]))
    bands = synthesis.to_bands(images)
    self.assertEqual(bands.shape, (2, 3, 5, 12))
    np.testing.assert_allclose(synthesis.from_bands(bands), images, atol=1e-6)
    # The low band is twice the mean of 2 x 2 pixels.
    np.testing.assert_allclose(
      bands[..., :3], 2.0 * early_exit.smaller(images, 2), atol=1e-6
    )

  def test_a_style_scales_channels_and_may_have_its_own_w(self):
    styles = [(np.eye(2, dtype=np.float32), np.float32([1, 0]))] * 2
    steps = [
      synthesis.Step("start", np.ones([1, 1, 1, 2], np.float32)),
      *[synthesis.Step("style", style) for style in styles],
    ]
    one = np.float32([[1, 3]])
    made = synthesis.run(steps, one).numpy().ravel()
    np.testing.assert_allclose(made, [4, 9])
    several = np.stack([one, 2 * one], axis=1)
    made = synthesis.run(steps, several).numpy().ravel()
    np.testing.assert_allclose(made, [6, 18])

  def test_reads_a_graph_and_its_constants(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    (folder / "net.xml").write_text(_GRAPH)
    (folder / "net.bin").write_bytes(np.arange(5, dtype=np.float32).tobytes())
    nodes = openvino_ir.read(str(folder / "net.xml"))
    self.assertEqual([n.kind for n in nodes], ["Parameter", "Const", "MatMul"])
    product = nodes[-1]
    self.assertEqual(product.inputs, [(nodes[0], 0), (nodes[1], 0)])
    np.testing.assert_array_equal(product.constant, [[1, 2], [3, 4]])

  def test_says_how_a_missing_package_is_installed(self):
    folder = self.create_tempdir().full_path
    with self.assertRaisesRegex(FileNotFoundError, "tools/install.sh photo"):
      packages.folder(packages.FACE_API, folder)

  def test_every_label_is_of_one_seed_and_in_range(self):
    labels = tables.labels()
    self.assertTrue(labels.index.is_unique)
    self.assertTrue(
      ((labels >= 0.0) & (labels <= 1.0) | labels.isna()).all(None)
    )
    # Enough of both kinds to learn from.
    for name, column in labels.items():
      self.assertGreater((column > 0.5).sum(), 40, name)
      self.assertGreater((column <= 0.5).sum(), 40, name)

  def test_scores_an_edit(self):
    def reading(smiling, male, identity):
      frame = pd.DataFrame(
        {"Smiling": smiling, "Male": male, "Young": [True] * 3}
      )
      return scores.Reading(
        dict.fromkeys(scores.JUDGES, frame), np.float32(identity)[:, np.newaxis]
      )

    before = reading([True, False, False], [True] * 3, [0, 0, 0])
    after = reading([True, True, False], [True, True, False], [0, 0.5, 1])
    found = scores.edit(before, after, "Smiling", 1)
    # Of two that did not smile, one does now; of three men, two remain.
    self.assertAlmostEqual(found["read, independent"], 0.5)
    self.assertAlmostEqual(found["changed, labels"], 1 / 3)
    self.assertAlmostEqual(found["same person"], 2 / 3)
    found = scores.sample(after, {"Smiling": 1, "Male": 1, "Eyeglasses": 1})
    self.assertAlmostEqual(found["read, labels"], 2 / 3)
    self.assertAlmostEqual(found["apart"], 2 / 3, places=6)

  def test_a_data_set_keeps_images_but_not_what_critics_said_of_them(self):
    out = pathlib.Path(self.create_tempdir().full_path)
    made, lists = [], []

    def read(seeds):
      made.extend(seeds)
      judged = {"Smiling": 1.0, "Male": 0.0, "age": 20.0}
      index = pd.Index(seeds, name="seed")
      return np.zeros([len(seeds), 8, 8, 3]), pd.DataFrame(judged, index)

    for value in (-1.0, 1.0):

      def above(control, seeds, value=value):
        return pd.DataFrame(value, seeds, tables.labels().columns)

      with (
        mock.patch.object(photo_labels, "reader", lambda _: read),
        mock.patch.multiple(photo_data, _critics=mock.DEFAULT, _above=above),
      ):
        photo_data.write(out, 3, "")
      lists.append((out / "list_attr_celeba.txt").read_text().splitlines())
    self.assertLen(made, len(lists[0]) - 2)
    self.assertLen([*(out / "img_align_celeba").iterdir()], len(made))
    self.assertEqual(lists[0][:2], lists[1][:2])
    for one, other in zip(lists[0][2:], lists[1][2:], strict=True):
      self.assertNotEqual(one, other)
