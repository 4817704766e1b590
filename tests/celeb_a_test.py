"""Tests of CelebA on tiny files of the true format, without a network."""

import hashlib
import io
import os
import pathlib
import tempfile
import zipfile
from unittest import mock

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl.testing import parameterized
from PIL import Image
from tensorflow_datasets.core.download import checksums

from lc_keras.data import celeb_a
from lc_keras.data import pipeline
from lc_keras.data import stored

_PARTITION = (0, 0, 0, 1, 2)  # of the five images: train, validation, test
_LANDMARKS = (
  "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x "
  "leftmouth_y rightmouth_x rightmouth_y"
)


def _images():
  """uint8 [5, 218, 178, 3]: smooth, and different at every pixel."""
  y, x = np.mgrid[:218, :178]
  images = [np.stack([y, x, np.full_like(x, 40 * i)], -1) for i in range(5)]
  return np.uint8(images)


def _which(images):
  """int [n], which of `_images` these were: tfds shuffles them."""
  return np.rint(images[..., 2].mean((1, 2)) * 255 / 40).astype(int)


def _labels():
  """bool [5, 40]."""
  return np.random.default_rng(0).random((5, 40)) < 0.5


def _write_files(folder, cut):
  """Writes CelebA's five files for five faces; {name: contents}."""
  names = [f"{i + 1:06d}.jpg" for i in range(5)]
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, "w") as packed:
    for name, image in zip(names, _images()):
      jpeg = io.BytesIO()
      Image.fromarray(image).save(jpeg, "JPEG", quality=95)
      whole = jpeg.getvalue()
      content = whole[: len(whole) // 2] if name == cut else whole
      packed.writestr(f"img_align_celeba/{name}", content)

  def table(heading, rows):
    lines = [f"{name}  {row}" for name, row in zip(names, rows)]
    return "\n".join([*heading, *lines, ""]).encode()

  signs = [" ".join("1" if v else "-1" for v in row) for row in _labels()]
  contents = {
    "img_align_celeba.zip": archive.getvalue(),
    "list_eval_partition.txt": table([], _PARTITION),
    "list_attr_celeba.txt": table(
      ["5", " ".join(celeb_a.ALL_ATTRIBUTES)], signs
    ),
    "list_landmarks_align_celeba.txt": table(
      ["5", _LANDMARKS], ["69 109 106 113 77 142 73 152 108 154"] * 5
    ),
    "identity_CelebA.txt": table([], (2880, 2937, 8692, 5805, 9295)),
  }
  os.makedirs(folder)
  for name, content in contents.items():
    with open(os.path.join(folder, name), "wb") as file:
      file.write(content)
  return contents


class _CelebATest(parameterized.TestCase):
  # Which image lacks its end, if one does.
  cut = None

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.data_dir = folder.name
    self.manual_dir = stored.manual_dir(self.data_dir)
    contents = _write_files(self.manual_dir, self.cut)
    # The builder knows the real files by size and checksum: tell it of these.
    builder = tfds.builder_cls("celeb_a")
    known = {
      url: checksums.UrlInfo(
        size=len(contents[info.filename]),
        checksum=hashlib.sha256(contents[info.filename]).hexdigest(),
        filename=info.filename,
      )
      for url, info in builder.url_infos.items()
    }
    patch = mock.patch.object(builder, "url_infos", known)
    patch.start()
    self.addCleanup(patch.stop)

  def _path(self, name):
    return os.path.join(self.manual_dir, name)


class CelebATest(_CelebATest):
  def test_crops_as_in_the_paper_and_labels_with_its_ten_attributes(self):
    pipeline.prepare("celeb_a", self.data_dir)
    columns = [
      celeb_a.ALL_ATTRIBUTES.index(name) for name in celeb_a.PAPER_ATTRIBUTES
    ]
    for split, rows in (
      ("train", [0, 1, 2]),
      ("validation", [3]),
      ("test", [4]),
    ):
      (batch,) = pipeline.load("celeb_a", split, 4, data_dir=self.data_dir)
      images = batch["image"].numpy()
      self.assertEqual(images.shape, (len(rows), 64, 64, 3))
      found = _which(images)
      self.assertSameElements(found, rows)
      crop = _images()[found, 45:173, 25:153].astype(np.float32)
      # On a slope, the antialiased half is the mean of two by two.
      expected = crop.reshape(-1, 64, 2, 64, 2, 3).mean((2, 4)) / 255
      inside = np.s_[:, 2:-2, 2:-2]
      np.testing.assert_allclose(images[inside], expected[inside], atol=0.02)
      np.testing.assert_array_equal(
        batch["attributes"], _labels()[found][:, columns]
      )

  def test_white_is_one_and_not_a_bit_more(self):
    jpeg = io.BytesIO()
    white = np.full([218, 178, 3], 255, np.uint8)
    Image.fromarray(white).save(jpeg, "JPEG", quality=95)
    decoded = celeb_a.load().decode(
      {
        "image": tf.constant(jpeg.getvalue()),
        "attributes": dict.fromkeys(celeb_a.ALL_ATTRIBUTES, True),
      }
    )
    self.assertLessEqual(decoded["image"].numpy().max(), 1.0)
    np.testing.assert_allclose(decoded["image"], 1.0, atol=1e-6)

  def test_names_are_those_of_the_builder(self):
    features = tfds.builder("celeb_a", data_dir=self.data_dir).info.features
    self.assertSameElements(features["attributes"], celeb_a.ALL_ATTRIBUTES)

  @parameterized.parameters(*celeb_a.FILES)
  def test_a_missing_file_is_named(self, name):
    os.remove(self._path(name))
    with self.assertRaisesRegex(FileNotFoundError, "project page") as caught:
      pipeline.prepare("celeb_a", self.data_dir)
    self.assertIn(self._path(name), str(caught.exception))

  def test_a_file_of_the_wrong_size_is_named(self):
    with open(self._path("list_attr_celeba.txt"), "ab") as file:
      file.write(b"\n")
    with self.assertRaisesRegex(ValueError, "list_attr_celeba.txt has"):
      pipeline.prepare("celeb_a", self.data_dir)

  def test_a_file_with_other_contents_is_refused(self):
    path = pathlib.Path(self._path("identity_CelebA.txt"))
    path.write_text(path.read_text().replace("2880", "2881"))
    with self.assertRaisesRegex(ValueError, "right size but other contents"):
      pipeline.prepare("celeb_a", self.data_dir)

  @parameterized.parameters(
    ("list_attr_celeba.txt", "-1 ", "-7 ", "line 3.*none of -1, 1"),
    ("list_eval_partition.txt", "03.jpg  0", "03.jpg  5", "line 3.*of 0, 1, 2"),
    ("identity_CelebA.txt", "000005", "000004", "lacks 1 .*000005.jpg"),
    ("list_landmarks_align_celeba.txt", "000001", "x00001", "line 3.*no image"),
    ("list_landmarks_align_celeba.txt", "69 109", "69_109", "9 values .* 10"),
  )
  def test_a_list_that_is_wrong_is_named_with_the_line(
    self, name, old, new, what
  ):
    path = pathlib.Path(self._path(name))
    path.write_text(path.read_text().replace(old, new, 1))
    with self.assertRaisesRegex(ValueError, f"{name}.*{what}"):
      pipeline.prepare("celeb_a", self.data_dir)


class CutImageTest(_CelebATest):
  cut = "000002.jpg"

  def test_an_image_that_is_cut_short_is_named_and_can_be_left_out(self):
    with self.assertRaisesRegex(ValueError, "train.*, row .: .*JPEG"):
      pipeline.prepare("celeb_a", self.data_dir)
    self.assertLen(pipeline.prepare("celeb_a", self.data_dir, 1), 1)
    (batch,) = pipeline.load("celeb_a", "train", 4, data_dir=self.data_dir)
    self.assertCountEqual(_which(batch["image"].numpy()), [0, 2])


if __name__ == "__main__":
  tf.test.main()
