"""Tests of folders of images: their forms, labels, splits and faults."""

import os
import pathlib
import warnings
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import parameterized
from PIL import Image

from lc_keras.data import arrays
from lc_keras.data import image_folder
from lc_keras.data import names
from lc_keras.data import pipeline

_SHARES = (0.8, 0.1, 0.1)


class _FolderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.create_tempdir()
    self.data_dir = str(pathlib.Path(folder.full_path) / "data")
    self.folder = pathlib.Path(folder.full_path) / "My faces"
    self.folder.mkdir()

  def _draw(self, *paths, size=(12, 10), **options):
    """Writes a picture for each name, whose grey level is its position."""
    for grey, path in enumerate(paths):
      path = self.folder / path
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.new("RGB", size, (grey,) * 3).save(path, **options)

  def _write(self, name, text):
    path = self.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path

  def _look(self, **options):
    return image_folder.load(str(self.folder), self.data_dir, **options)


class StoredTest(_FolderTest):
  """Tests of data sets that are written to files and read back."""

  def setUp(self):
    super().setUp()
    self.paths = [f"{row}.png" for row in range(40)]
    self._draw(*self.paths)
    rows = [
      f"{path},{row % 2},{row / 39}" for row, path in enumerate(self.paths)
    ]
    rows[7] = "7.png,,0.5"
    self._write("metadata.csv", "\n".join(["file_name,Odd,grey", *rows]))
    self.name = names.join(f"images:{self.folder}", image_size="8")

  def _prepare(self, most=0):
    return pipeline.prepare(self.name, self.data_dir, most)

  def test_images_labels_and_names_of_all_splits(self):
    self.assertEmpty(self._prepare())
    spec = pipeline.describe(self.name, self.data_dir)
    self.assertEqual(spec.image_shape, (8, 8, 3))
    self.assertEqual(spec.attributes.names, ("Odd", "grey"))
    self.assertEqual(spec.attributes.continuous, ("grey",))
    seen = []
    for split in spec.splits:
      (batch,) = pipeline.load(self.name, split, 40, data_dir=self.data_dir)
      files = pipeline.file_names(self.name, split, data_dir=self.data_dir)
      rows = [int(file.removesuffix(".png")) for file in files]
      images, labels = batch["image"].numpy(), batch["attributes"].numpy()
      np.testing.assert_allclose(images[:, 3, 3, 0] * 255, rows, atol=1e-4)
      odd = [np.nan if row == 7 else row % 2 for row in rows]
      np.testing.assert_array_equal(labels[:, 0], odd)
      seen += rows
    self.assertCountEqual(seen, range(40))

  def test_what_a_killed_process_left_is_removed(self):
    self._prepare()
    (folder,) = pathlib.Path(self.data_dir).glob("images_*")
    (folder / "incomplete.ABC_1.0.0").mkdir()
    self._write("metadata.csv", "file_name,Odd\n1.png,1\n")
    self._prepare()
    self.assertEqual([path.name for path in folder.iterdir()], ["1.0.0"])

  def test_a_broken_image_is_named_counted_and_can_be_mended(self):
    path = self.folder / "3.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    with self.assertRaisesRegex(
      ValueError, "1 example .*\n  3.png: cannot be read"
    ):
      self._prepare()
    (bad,) = self._prepare(1)
    self.assertStartsWith(bad, "3.png: ")
    with self.assertWarnsRegex(UserWarning, "1 bad examples .* left out"):
      arrays.source(self.name, data_dir=self.data_dir)
    path.write_bytes(whole)
    with self.assertWarnsRegex(
      UserWarning, "have changed .* reading them again"
    ):
      self.assertEmpty(self._prepare())
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      self.assertEmpty(self._prepare())

  def test_an_image_that_may_now_be_read_is(self):
    path = str(self.folder / "3.png")
    access, read = os.access, image_folder.images.read
    refused = PermissionError(13, "Permission denied", path)

    def reading(file, *arguments):
      if file == path:
        raise ValueError(f"3.png cannot be read: {refused.strerror}.")
      return read(file, *arguments)

    with (  # Tests run as root, who may read everything.
      mock.patch.object(os, "access", lambda p, m: p != path and access(p, m)),
      mock.patch.object(image_folder.images, "read", reading),
      self.assertRaisesRegex(ValueError, "3.png: cannot be read: Permission"),
    ):
      self._prepare()
    with self.assertWarnsRegex(UserWarning, "reading them again"):
      self.assertEmpty(self._prepare())

  def test_changed_labels_are_read_again_and_what_is_gone_is_remembered(self):
    self._prepare()
    rows = [f"{path},{int(row > 9)}" for row, path in enumerate(self.paths)]
    self._write("metadata.csv", "\n".join(["file_name,Late", *rows]))
    with self.assertWarnsRegex(UserWarning, "reading them again"):
      self._prepare()
    self.folder.rename(f"{self.folder} elsewhere")
    self.assertEmpty(self._prepare())
    spec = pipeline.describe(self.name, self.data_dir)
    self.assertEqual(spec.attributes.names, ("Late",))

  def test_from_python_a_frame_by_file_name_labels_them(self):
    self._write("metadata.csv", "file_name,Odd\n" + "1.png,1\n")
    frame = pd.DataFrame(
      {"Small": [row < 20 for row in range(40)]}, index=self.paths
    )
    data = arrays.source(self.name, frame, data_dir=self.data_dir)
    self.assertEqual(data.attributes.names, ("Small",))
    (batch,) = data.batches("test", 40)
    grey = batch["image"][:, 0, 0, 0].numpy() * 255
    np.testing.assert_array_equal(
      batch["attributes"].numpy()[:, 0], grey < 19.5
    )
    batch = next(iter(data.batches("train", 8, training=True, seed=1)))
    grey = batch["image"][:, 0, 0, 0].numpy() * 255
    np.testing.assert_array_equal(
      batch["attributes"].numpy()[:, 0], grey < 19.5
    )


class LabelsTest(_FolderTest):
  def _labels(self, **options):
    """Returns labels by file name, the attributes, and notes."""
    dataset = self._look(**options)
    folder = image_folder._Folder(
      str(self.folder), options.get("labels"), _SHARES
    )
    _, values, attributes, _ = folder._read()
    self.assertEqual(dataset.all_attributes, attributes.names)
    return (
      dict(zip(folder._files(), values.tolist())),
      attributes,
      dataset.notes,
    )

  def test_folders_by_class(self):
    self._draw(
      *(f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(20))
    )
    self._draw("stray.png")
    labels, attributes, notes = self._labels()
    self.assertEqual(attributes.names, ("cat", "dog"))
    self.assertEqual(attributes.exclusive, (("cat", "dog"),))
    self.assertEqual(labels["dog/3.png"], [0, 1])
    np.testing.assert_array_equal(labels["stray.png"], [np.nan, np.nan])
    self.assertRegex(notes[0], "1 images lie in no folder of a class, .*stray")

  def test_splits_with_folders_by_class_or_tables_of_their_own(self):
    for split in ("train", "val", "test"):
      self._draw(*(f"{split}/{kind}/1.png" for kind in ("cat", "dog")))
    labels, attributes, _ = self._labels()
    self.assertEqual(attributes.names, ("cat", "dog"))
    self.assertEqual(labels["val/cat/1.png"], [1, 0])
    for split in ("train", "val", "test"):
      self._write(
        f"{split}/metadata.jsonl",
        '{"file_name": "cat/1.png", "Old": true}\n'
        '{"file_name": "dog/1.png", "Old": false}\n',
      )
    labels, attributes, _ = self._labels()
    self.assertEqual(attributes.names, ("Old",))
    self.assertEqual(labels["val/cat/1.png"], [1])

  def test_a_table_of_celeb_a(self):
    self._draw(*(f"{row:06d}.png" for row in range(1, 31)))
    signs = [
      f"{row:06d}.jpg {'-1  1' if row % 2 else ' 1 -1'}" for row in range(1, 41)
    ]
    self._write("list_attr_celeba.txt", "\n".join(["40", "Bald Male", *signs]))
    labels, attributes, notes = self._labels()
    self.assertEqual(attributes.names, ("Bald", "Male"))
    self.assertEqual(labels["000003.png"], [0, 1])
    self.assertRegex(
      notes[0], "^10 rows of .*celeba.txt are of images that are"
    )

  def test_another_table_by_labels_here_or_in_the_folder(self):
    self._draw(*(f"{row}.png" for row in range(20)))
    self._write("mine.tsv", "image\thair\n1.png\tred\n2.png\tno\n")
    for path in ("mine.tsv", str(self.folder / "mine.tsv")):
      dataset = self._look(labels=path)
      self.assertEqual(dataset.all_attributes, ("hair_no", "hair_red"))
    self.assertRegex(
      dataset.notes[0], "18 of 20 images have no row .*such as 0.png"
    )

  def test_without_labels_that_is_told(self):
    self._draw(*(f"{row}.png" for row in range(20)))
    self.assertRegex(
      self._look().notes[0], "no labels: there is no metadata.csv"
    )
    self.assertEmpty(self._look().all_attributes)


class SplitsTest(_FolderTest):
  def _splits(self, shares=_SHARES):
    folder = image_folder._Folder(str(self.folder), None, shares)
    return dict(zip(folder._files(), folder._read()[0]))

  def test_a_file_stays_in_its_split_whatever_is_added(self):
    self._draw(*(f"{row}.png" for row in range(30)), size=(1, 1))
    before = self._splits()
    self._draw(*(f"new {row}.png" for row in range(470)), size=(1, 1))
    after = self._splits()
    self.assertEqual(before, {path: after[path] for path in before})
    counts = pd.Series(after).value_counts()
    self.assertBetween(counts["train"], 370, 430)
    self.assertBetween(counts["test"], 30, 70)
    self.assertGreater(
      (pd.Series(self._splits((0.2, 0.4, 0.4))) == "test").sum(), 170
    )

  def test_a_split_that_is_not_there_is_taken_from_training_images(self):
    self._draw(*(f"train/{row}.png" for row in range(60)), size=(1, 1))
    self._draw(*(f"test/{row}.png" for row in range(9)), size=(1, 1))
    splits = pd.Series(self._splits())
    self.assertTrue(
      (splits[splits.index.str.startswith("test/")] == "test").all()
    )
    self.assertBetween((splits == "validation").sum(), 1, 20)

  def test_a_column_says_it(self):
    self._draw("a.png", "b.png", "c.png", "d.png")
    self._write(
      "metadata.csv",
      "file_name,split,A\na.png,train,1\nb.png,Val,0\nc.png,test,1\nd.png,,0\n",
    )
    splits = self._splits()
    self.assertEqual(
      list(splits.values()), ["train", "validation", "test", "train"]
    )

  def test_class_folders_of_digits_are_no_splits(self):
    self._draw(*(f"{kind}/{i}.png" for kind in range(3) for i in range(20)))
    self.assertEqual(
      self._look().all_attributes, ("label_0", "label_1", "label_2")
    )


class FaultsTest(_FolderTest):
  def test_no_folder_and_no_images(self):
    with self.assertRaisesRegex(ValueError, f"{self.folder} has no images, in"):
      self._look()
    self.folder.rmdir()
    with self.assertRaisesRegex(FileNotFoundError, f"no folder {self.folder}"):
      self._look()

  @parameterized.parameters(
    (
      "file_name,A\n1.png,1\n2.png,x y,1\n",
      "metadata.csv, line 3, has 3 cells",
    ),
    (
      "file_name,A\nz.png,1\n",
      "None of the 1 rows of .*metadata.csv is of one",
    ),
    (
      "file_name,split\n1.png,trian\n",
      "metadata.csv, column split: 'trian' is",
    ),
  )
  def test_a_wrong_table(self, text, message):
    self._draw(*(f"{row}.png" for row in range(20)))
    self._write("metadata.csv", text)
    with self.assertRaisesRegex(ValueError, message):
      self._look()

  def test_links_to_folders_above_are_not_followed(self):
    self._draw(*(f"a/{row}.png" for row in range(20)))
    (self.folder / "loop").symlink_to(".")
    (self.folder / "a" / "loop").symlink_to("..")
    (self.folder / "b").symlink_to("a")
    dataset = image_folder._Folder(str(self.folder), None, _SHARES)
    folders = {os.path.dirname(path) for path in dataset._files()}
    self.assertEqual(folders, {"a", "b"})

  def test_a_folder_that_may_not_be_read(self):
    self._draw("1.png", "sub/2.png")
    scandir = os.scandir

    def refusing(path):
      if os.path.basename(path) == "sub":
        raise PermissionError(13, "Permission denied", path)
      return scandir(path)

    with (
      mock.patch.object(os, "scandir", refusing),
      self.assertRaisesRegex(PermissionError, f"denied: '{self.folder}/sub'"),
    ):
      self._look()

  def test_a_name_that_is_no_text(self):
    self._draw("1.png")
    os.link(self.folder / "1.png", os.fsencode(self.folder) + b"/\xe9.png")
    with self.assertRaisesRegex(ValueError, r"'\\udce9.png' is not .*UTF-8"):
      self._look()

  def test_a_table_that_is_not_there(self):
    self._draw("1.png")
    with self.assertRaisesRegex(FileNotFoundError, "no table .*/mine.csv"):
      self._look(labels="mine.csv")

  def test_too_few_images_for_a_split(self):
    self._draw("1.png")
    with self.assertRaisesRegex(
      ValueError, "None of the 1 images .* in the split"
    ):
      self._look()

  def test_images_beside_folders_of_splits(self):
    self._draw("train/1.png", "test/1.png", "stray/1.png")
    with self.assertRaisesRegex(
      ValueError, "stray/1.png in .* is in none of the folders train"
    ):
      self._look()

  @parameterized.parameters(
    ({"image_size": "64x64"}, "image_size is '64x64', and must be"),
    ({"crop": "big"}, "no crop 'big'"),
    ({"splits": "0.8,0.2"}, "splits is '0.8,0.2', and must be three shares"),
    ({"splits": "0.8,0.2,0"}, "splits is .* three shares above 0"),
  )
  def test_options(self, options, message):
    with self.assertRaisesRegex(ValueError, message):
      self._look(**options)

  def test_options_that_a_data_set_does_not_have(self):
    for name in ("toon_faces/tiny?crop=none", "celeb_a?labels=a.csv"):
      with self.assertRaisesRegex(ValueError, "takes no --(crop|labels)"):
        pipeline.describe(name, self.data_dir)


class NamesTest(parameterized.TestCase):
  @parameterized.parameters(
    ("images:/a b/ü%c?", {"crop": "1,2,3,4", "labels": "/x & y.csv"}),
    ("celeb_a", {"source_dir": "/d"}),
    ("toon_faces/tiny", {}),
    ("images:", {}),  # Refused, rather than the current folder.
  )
  def test_what_is_joined_can_be_split(self, dataset, options):
    kind, colon, place = dataset.rpartition(":")
    escaped = place.replace("%", "%25").replace("?", "%3F")
    name = names.join(f"{kind}{colon}{escaped}", **options)
    self.assertEqual(names.split(name), (kind + colon, place, options))
    self.assertEqual(names.absolute(name), name)
