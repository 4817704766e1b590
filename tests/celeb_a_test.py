"""Tests of CelebA, on tiny copies in all formats that are in use."""

import io
import os
import pathlib
import warnings
import zipfile
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import parameterized
from PIL import Image

from lc_keras.data import celeb_a
from lc_keras.data import celeb_a_copies
from lc_keras.data import pipeline
from lc_keras.data import stored

_SPLITS = (0, 0, 0, 1, 2)  # of the five images: train, validation, test
_NAMES = [f"{row + 1:06d}.jpg" for row in range(5)]
_FORMS = ("official", "unpacked", "torchvision", "kaggle", "parquet")


def _images():
  """uint8 [5, 218, 178, 3]: smooth, and different at every pixel."""
  y, x = np.mgrid[:218, :178]
  images = [np.stack([y, x, np.full_like(x, 40 * i)], -1) for i in range(5)]
  return np.uint8(images)


def _which(images):
  """int [n], which of `_images` these were."""
  return np.rint(images[..., 2].mean((1, 2)) * 255 / 40).astype(int)


def _labels():
  """bool [5, 40]."""
  return np.random.default_rng(0).random((5, 40)) < 0.5


def _jpegs():
  for image in _images():
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    yield file.getvalue()


def _write(folder, form):
  """Writes a copy of five faces."""
  folder = pathlib.Path(folder)
  base = folder / "celeba" if form == "torchvision" else folder
  base.mkdir(parents=True)
  signs = np.where(_labels(), "1", "-1")
  if form == "parquet":
    for split, word in enumerate(("train", "valid", "test")):
      rows = np.flatnonzero(np.array(_SPLITS) == split)
      jpegs = list(_jpegs())
      table = pd.DataFrame(
        _labels()[rows], columns=list(celeb_a.ALL_ATTRIBUTES)
      )
      table["image"] = [{"bytes": jpegs[r], "path": _NAMES[r]} for r in rows]
      table.to_parquet(base / f"{word}-00000-of-00001.parquet")
    return
  if form == "official":
    with zipfile.ZipFile(base / "img_align_celeba.zip", "w") as packed:
      for name, jpeg in zip(_NAMES, _jpegs()):
        packed.writestr(f"img_align_celeba/{name}", jpeg)
  else:
    inside = base / "img_align_celeba"
    inside = inside / "img_align_celeba" if form == "kaggle" else inside
    inside.mkdir(parents=True)
    for name, jpeg in zip(_NAMES, _jpegs()):
      (inside / name).write_bytes(jpeg)
  if form == "kaggle":
    table = pd.DataFrame(signs, columns=list(celeb_a.ALL_ATTRIBUTES))
    table.insert(0, "image_id", _NAMES)
    table.to_csv(base / "list_attr_celeba.csv", index=False)
    table = pd.DataFrame({"image_id": _NAMES, "partition": _SPLITS})
    table.to_csv(base / "list_eval_partition.csv", index=False)
    return
  # The last line has no line break, as in many copies.
  rows = [f"{name}  {'  '.join(row)}" for name, row in zip(_NAMES, signs)]
  (base / "list_attr_celeba.txt").write_text(
    "\n".join(["5", " ".join(celeb_a.ALL_ATTRIBUTES) + " ", *rows])
  )
  (base / "list_eval_partition.txt").write_text(
    "\n".join(f"{name} {split}" for name, split in zip(_NAMES, _SPLITS))
  )


class _CelebATest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.create_tempdir()
    self.data_dir = folder.full_path
    self.copy = pathlib.Path(folder.full_path) / "mine"
    self.name = f"celeb_a?source_dir={self.copy}"
    # Every copy of five images has other counts than the published one.
    catching = warnings.catch_warnings()
    catching.__enter__()
    self.addCleanup(catching.__exit__, None, None, None)
    warnings.simplefilter("ignore")

  def _prepare(self, most=0):
    return pipeline.prepare(self.name, self.data_dir, most)

  def _read(self, split, **options):
    (batch,) = pipeline.load(
      self.name, split, 4, data_dir=self.data_dir, **options
    )
    return {key: value.numpy() for key, value in batch.items()}


class FormsTest(_CelebATest):
  @parameterized.parameters(*_FORMS)
  def test_crops_as_in_the_paper_and_labels_with_its_ten_attributes(self, form):
    _write(self.copy, form)
    self.assertEmpty(self._prepare())
    columns = [
      celeb_a.ALL_ATTRIBUTES.index(name) for name in celeb_a.PAPER_ATTRIBUTES
    ]
    for split, rows in (
      ("train", [0, 1, 2]),
      ("validation", [3]),
      ("test", [4]),
    ):
      batch = self._read(split)
      self.assertEqual(batch["image"].shape, (len(rows), 64, 64, 3))
      np.testing.assert_array_equal(_which(batch["image"]), rows)
      crop = _images()[rows, 45:173, 25:153].astype(np.float32)
      # On a linear slope, antialiased halving is the mean of 2 x 2 pixels.
      expected = crop.reshape(-1, 64, 2, 64, 2, 3).mean((2, 4)) / 255
      inside = np.s_[:, 2:-2, 2:-2]
      np.testing.assert_allclose(
        batch["image"][inside], expected[inside], atol=0.02
      )
      np.testing.assert_array_equal(
        batch["attributes"], _labels()[rows][:, columns]
      )
      self.assertEqual(
        pipeline.file_names(self.name, split, data_dir=self.data_dir),
        [_NAMES[row] for row in rows],
      )

  def test_data_dir_itself_may_be_the_copy_or_have_it_where_downloads_lie(self):
    _write(stored.manual_dir(self.data_dir), "kaggle")
    self.assertEmpty(pipeline.prepare("celeb_a", self.data_dir))
    _write(self.copy, "torchvision")
    self.assertEmpty(pipeline.prepare("celeb_a", str(self.copy)))

  def test_other_sizes_and_crops_are_other_data(self):
    _write(self.copy, "official")
    self.name += "&image_size=32&crop=center"
    self._prepare()
    image = self._read("test")["image"][0]
    self.assertEqual(image.shape, (32, 32, 3))
    # Two fifths of 178 rows from the middle are below row 45.
    self.assertLess(image[0].min(), 40 / 255)

  def test_white_is_one_and_not_a_bit_more(self):
    _write(self.copy, "unpacked")
    for name in _NAMES:
      white = Image.new("RGB", (178, 218), "white")
      white.save(self.copy / "img_align_celeba" / name)
    self._prepare()
    np.testing.assert_array_equal(self._read("train")["image"], 1.0)

  def test_another_copy_than_the_published_is_used_with_a_warning(self):
    _write(self.copy, "official")
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter("always")
      self._prepare()
    told = "\n".join(str(warning.message) for warning in caught)
    for name in celeb_a_copies.PUBLISHED:
      self.assertRegex(told, f"mine/{name} is not the file .*It is used")
    self.assertIn("has 5 images; the whole has 202599", told)


class FaultsTest(_CelebATest):
  def _look(self):
    """Reads a copy as in preparation, but stores nothing."""
    made = celeb_a.load().preprocessing
    next(celeb_a_copies.find([str(self.copy)]).examples("train", made))

  def _replace(self, name, old, new):
    path = self.copy / name
    content = path.read_text()
    self.assertIn(old, content)
    path.write_text(content.replace(old, new, 1))

  def test_where_there_is_none_all_forms_are_told(self):
    for name, place in (
      (self.name, str(self.copy)),
      ("celeb_a", stored.manual_dir(self.data_dir)),
    ):
      with self.assertRaisesRegex(
        FileNotFoundError,
        f"below {place}.*img_align_celeba.zip.*torchvision.*Kaggle.*Hugging "
        "Face.*project page.*--source_dir",
      ):
        pipeline.prepare(name, self.data_dir)

  @parameterized.parameters(
    ("img_align_celeba.zip", "img_align_celeba.zip or a folder"),
    ("list_attr_celeba.txt", "list_attr_celeba.txt or .csv"),
    ("list_eval_partition.txt", "list_eval_partition.txt or .csv"),
  )
  def test_a_missing_part_is_named(self, name, missing):
    _write(self.copy, "official")
    (self.copy / name).unlink()
    with self.assertRaisesRegex(ValueError, f"part of CelebA.*: {missing}"):
      self._look()

  @parameterized.parameters(
    ("list_attr_celeba.txt", "-1 ", "-7 ", "row 1: .* is '-7', and must be -1"),
    ("list_attr_celeba.txt", "Bald", "Bold", "CelebA's 40 attributes"),
    ("list_eval_partition.txt", "03.jpg 0", "03.jpg 5", "row 3: .*split '5'"),
    ("list_eval_partition.txt", "04.jpg 1", "04.jpg 0", "split validation"),
  )
  def test_a_list_that_is_wrong_is_named_with_the_line(
    self, name, old, new, what
  ):
    _write(self.copy, "official")
    self._replace(name, old, new)
    with self.assertRaisesRegex(ValueError, f"{name}.*{what}"):
      self._look()

  def test_attributes_that_a_list_lacks_are_not_known(self):
    _write(self.copy, "kaggle")
    path = self.copy / "list_attr_celeba.csv"
    table = pd.read_csv(path).drop(columns=["Bald", "Chubby"])
    table.to_csv(path, index=False)
    with self.assertWarnsRegex(UserWarning, "csv has 38 of CelebA's 40"):
      self._prepare()
    known = ~np.isnan(self._read("train")["attributes"])
    for column, name in enumerate(celeb_a.PAPER_ATTRIBUTES):
      self.assertEqual(known[:, column].all(), name != "Bald")

  @parameterized.parameters(b"", b"no archive", "é 0\n".encode("latin-1"))
  def test_files_that_are_something_else_are_named(self, content):
    for name in celeb_a_copies.PUBLISHED:
      self.copy = pathlib.Path(self.data_dir) / name
      _write(self.copy, "official")
      (self.copy / name).write_bytes(content)
      with self.assertRaisesRegex(ValueError, f"{name}/{name}"):
        self._look()

  def test_images_that_are_broken_are_named_by_file(self):
    _write(self.copy, "unpacked")
    path = self.copy / "img_align_celeba" / "000002.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with self.assertRaisesRegex(
      ValueError, "1 example .*\n  000002.jpg: .*damaged .*\n.*examples=1"
    ):
      self._prepare()
    self.assertLen(self._prepare(1), 1)
    np.testing.assert_array_equal(_which(self._read("train")["image"]), [0, 2])
    path.write_bytes(whole)  # The repair is noticed.
    self.assertEmpty(self._prepare())
    self.assertLen(self._read("train")["image"], 3)

  def test_an_archive_that_is_mended_is_read_again(self):
    _write(self.copy, "official")
    path = self.copy / "img_align_celeba.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with self.assertRaisesRegex(ValueError, f"{path} is not a whole archive"):
      self._prepare()
    path.write_bytes(whole)
    self.assertEmpty(self._prepare())

  def test_what_only_images_or_only_lists_have_is_named_and_counted(self):
    _write(self.copy, "kaggle")
    folder = self.copy / "img_align_celeba" / "img_align_celeba"
    os.rename(folder / "000003.jpg", folder / "000009.jpg")
    with self.assertRaisesRegex(ValueError, "has 2 examples"):
      self._prepare()
    first, second = sorted(self._prepare(2))
    self.assertRegex(first, "000003.jpg: it is not in .*, but in the lists")
    self.assertRegex(second, "000009.jpg: it is not in .*list_attr_celeba.csv")

  def test_a_damaged_parquet_file_is_named(self):
    _write(self.copy, "parquet")
    path = self.copy / "valid-00000-of-00001.parquet"
    whole = path.read_bytes()
    # The first damage is found where it is opened, the second in its pages.
    for damaged in whole[:-20], whole[:4] + bytes(100) + whole[104:]:
      path.write_bytes(damaged)
      with self.assertRaisesRegex(ValueError, f"{path} is no whole parquet"):
        self._prepare()

  def test_a_folder_that_may_not_be_read_is_named(self):
    _write(self.copy, "unpacked")
    scandir = os.scandir

    def refusing(path):
      if os.path.basename(path) == "img_align_celeba":
        raise PermissionError(13, "Permission denied", path)
      return scandir(path)

    with (
      mock.patch.object(os, "scandir", refusing),
      self.assertRaisesRegex(PermissionError, "denied: .*/img_align_celeba"),
    ):
      self._look()

  def test_what_macs_put_beside_images_is_none(self):
    _write(self.copy, "official")
    with zipfile.ZipFile(self.copy / "img_align_celeba.zip", "a") as packed:
      packed.writestr("__MACOSX/img_align_celeba/._000001.jpg", b"\0\5")
    self.assertEmpty(self._prepare())
    self.copy = self.copy / "unpacked"
    self.name = f"celeb_a?source_dir={self.copy}"
    _write(self.copy, "unpacked")
    (self.copy / "img_align_celeba" / "._000001.jpg").write_bytes(b"\0\5")
    self.assertEmpty(self._prepare())

  def test_a_partition_without_splits_is_named(self):
    _write(self.copy, "kaggle")
    path = self.copy / "list_eval_partition.csv"
    pd.read_csv(path)[["image_id"]].to_csv(path, index=False)
    with self.assertRaisesRegex(ValueError, f"{path} .* must have the split"):
      self._look()

  def test_a_split_without_a_parquet_file_of_all_columns_is_named(self):
    _write(self.copy, "parquet")
    path = self.copy / "valid-00000-of-00001.parquet"
    pd.read_parquet(path).drop(columns="Bald").to_parquet(path)
    with self.assertRaisesRegex(
      ValueError, f"part of CelebA in {self.copy}; missing: .* of validation,"
    ):
      self._look()

  def test_rows_of_parquet_that_are_wrong_are_named(self):
    _write(self.copy, "parquet")
    path = self.copy / "train-00000-of-00001.parquet"
    table = pd.read_parquet(path)
    table.assign(image=[1, 2, 3]).to_parquet(path)
    with self.assertRaisesRegex(
      ValueError, f"no image .*: {path.name}, row 1: .*it is empty"
    ):
      self._prepare()
    table.assign(Bald=[1, 1, 7]).to_parquet(path)
    with (
      mock.patch.object(celeb_a_copies, "_ROWS", 2),
      self.assertRaisesRegex(ValueError, f"{path}, row 3: Bald is '7'"),
    ):
      self._prepare()

  def test_prepared_data_needs_its_copy_no_more(self):
    _write(self.copy, "unpacked")
    self._prepare()
    for path in self.copy.rglob("*.*"):
      if path.name != "list_attr_celeba.txt":  # Alone, it is not a copy.
        path.unlink()
    self.assertEmpty(self._prepare())
    self.assertLen(self._read("train")["image"], 3)
