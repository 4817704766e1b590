import os
import pathlib
from unittest import mock

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from lc_keras import plotting

_VERMILLION = (213, 94, 0)


def _images(*leading, shape=(8, 16, 1), seed=0):
  return np.random.default_rng(seed).random([*leading, *shape])


def _find(picture, image):
  """Returns positions (y, x) of an image, [height, width, 3], in a picture."""
  pixels = np.asarray(picture)
  windows = np.lib.stride_tricks.sliding_window_view(pixels, image.shape)
  return np.argwhere((windows[:, :, 0] == image).all(axis=(2, 3, 4))).tolist()


def _bytes(image):
  image = np.round(image * 255).astype(np.uint8)
  return image.repeat(3, axis=-1) if image.shape[-1] == 1 else image


class GridTest(parameterized.TestCase):
  @parameterized.product(channels=(1, 3), scale=(1, 3), labels=(False, True))
  def test_every_image_stands_whole_in_its_place(self, channels, scale, labels):
    images = _images(2, 3, shape=(8, 16, channels))
    words = (
      {
        "row_labels": ["Young, Smiling\nMale", "b"],
        "column_labels": ["Wearing_Hat", "y", ""],
        "highlight": np.eye(2, 3),
        "cell_labels": [["on", "off", ""]] * 2,
      }
      if labels
      else {}
    )
    picture = plotting.grid(images, scale=scale, **words)
    as_bytes = np.round(images * 255).astype(np.uint8)
    self.assertEqual(picture, plotting.grid(as_bytes, scale=scale, **words))
    places = np.zeros([2, 3, 2])
    for row, column in np.ndindex(2, 3):
      expected = _bytes(images[row, column])
      expected = expected.repeat(scale, axis=0).repeat(scale, axis=1)
      (places[row, column],) = _find(picture, expected)
    self.assertTrue((np.diff(places[:, :, 0], axis=0) > 0).all())
    self.assertTrue((np.diff(places[:, :, 1], axis=1) > 0).all())
    self.assertTrue((places[:, :, 0] == places[:, :1, 0]).all())
    self.assertTrue((places[:, :, 1] == places[:1, :, 1]).all())

  def test_labels_leave_marks_where_they_belong(self):
    images = np.ones([2, 3, 8, 16, 1])
    self.assertTrue((np.asarray(plotting.grid(images)) == 255).all())
    for name, labels in (
      ("row_labels", ["rows", "rows"]),
      ("column_labels", ["a", "b", "c"]),
      ("cell_labels", [["on"] * 3] * 2),
    ):
      picture = np.asarray(plotting.grid(images, **{name: labels}))
      self.assertTrue((picture < 128).any(), name)
      # No ink touches the picture's edge: nothing was cut off.
      edge = np.concatenate([picture[0], picture[-1]])
      sides = np.concatenate([picture[:, 0], picture[:, -1]])
      self.assertTrue((edge == 255).all() and (sides == 255).all(), name)

  def test_long_column_label_is_broken_after_underscores(self):
    images = _images(1, 2, shape=(8, 64, 1))
    broken = plotting.grid(images, column_labels=["Wearing_Necklace", "b"])
    split = plotting.grid(images, column_labels=["Wearing_\nNecklace", "b"])
    self.assertEqual(broken, split)

  def test_highlight_frames_its_cell_alone(self):
    images = np.zeros([2, 3, 8, 16, 1])
    highlight = np.zeros([2, 3], bool)
    highlight[1, 2] = True
    picture = np.asarray(plotting.grid(images, highlight=highlight))
    marked = np.argwhere((picture == _VERMILLION).all(axis=-1))
    self.assertTrue((marked >= np.array(picture.shape[:2]) // 2).all())
    self.assertEqual(picture.shape, np.asarray(plotting.grid(images)).shape)
    self.assertNotEmpty(marked)

  @parameterized.named_parameters(
    ("one image", np.zeros([8, 16, 1]), "rows, columns"),
    ("channels first", np.zeros([2, 3, 1, 8, 16]), "1 or 3 channels"),
    ("no rows", np.zeros([0, 3, 8, 16, 1]), "at least one"),
    ("not scaled", np.full([2, 3, 8, 16, 1], 255.0), "divide"),
    ("nan", np.full([2, 3, 8, 16, 1], np.nan), r"\[0, 1\]"),
    ("whole numbers", np.zeros([2, 3, 8, 16, 1], int), "uint8"),
  )
  def test_refuses_images(self, images, message):
    with self.assertRaisesRegex(ValueError, message):
      plotting.grid(images)

  @parameterized.parameters(
    {"row_labels": ["a"] * 3},
    {"column_labels": ["a"] * 2},
    {"cell_labels": [["a"] * 2] * 3},
    {"highlight": np.zeros([3, 2])},
    {"scale": 0},
    {"scale": 1.5},
  )
  def test_refuses_what_does_not_fit(self, **arguments):
    with self.assertRaisesRegex(ValueError, next(iter(arguments))):
      plotting.grid(_images(2, 3), **arguments)


class SheetsTest(parameterized.TestCase):
  def test_transformations_show_all_and_frame_failures(self):
    originals, rebuilt = _images(3, seed=1), _images(3, seed=2)
    switched = _images(3, 5, seed=3)
    read = np.ones([3, 5], bool)
    read[2, 4] = False
    arguments = (originals, rebuilt, switched, list("abcde"), read)
    picture = plotting.transformations(*arguments, read)
    for image in (*originals, *rebuilt, *switched.reshape(15, 8, 16, 1)):
      self.assertLen(_find(picture, _bytes(image)), 1)
    marked = np.argwhere((np.asarray(picture) == _VERMILLION).all(axis=-1))
    place = np.array(_find(picture, _bytes(switched[2, 4])))
    self.assertLess(np.abs(marked - place).max(), 16 + 8)
    plain = np.asarray(plotting.transformations(*arguments))
    self.assertFalse((plain == _VERMILLION).all(axis=-1).any())

  def test_before_after_pairs_columns(self):
    before, after = _images(3, seed=1), _images(3, seed=2)
    picture = plotting.before_after(before, after, captions=["x", "y", "z"])
    for pair in zip(before, after):
      ((top, left),) = _find(picture, _bytes(pair[0]))
      ((below, same),) = _find(picture, _bytes(pair[1]))
      self.assertEqual(left, same)
      self.assertGreater(below, top)

  def test_refuse_what_does_not_fit(self):
    with self.assertRaisesRegex(ValueError, "column_labels"):
      plotting.transformations(
        _images(3), _images(3), _images(3, 5), ["a"], np.ones([3, 5])
      )
    with self.assertRaisesRegex(ValueError, "same shape"):
      plotting.before_after(_images(3), _images(4))


class PicturesTest(absltest.TestCase):
  def test_rows_of_lines_have_one_scale(self):
    waves = np.sin(np.arange(40.0)).reshape(1, 1, 40)
    rows = plotting.picture_rows([waves, 100.0 * waves], plotting.LINES)
    self.assertEqual(rows.shape, (2, 1, 200, 320, 3))
    red, _, blue = np.moveaxis(rows.astype(int), -1, 0)
    heights = [np.ptp(np.argwhere(one)[:, 1]) for one in blue > red + 99]
    self.assertLess(heights[0], 10)
    self.assertGreater(heights[1], 100)

  def test_rows_of_images_are_as_they_are(self):
    images = _images(2, 3)
    np.testing.assert_array_equal(plotting.picture_rows([*images]), images)


class SaveTest(absltest.TestCase):
  def test_the_whole_file_or_the_old_one(self):
    path = pathlib.Path(self.create_tempdir()) / "new" / "a.png"
    picture = plotting.grid(_images(2, 3))
    plotting.save(picture, path)
    with mock.patch.object(os, "replace", side_effect=OSError("full")):
      with self.assertRaisesRegex(OSError, "full"):
        plotting.save(plotting.grid(_images(1, 1)), path)
    with Image.open(path) as read:
      self.assertEqual(read.convert("RGB"), picture)
    self.assertEqual(os.listdir(path.parent), ["a.png"])


class CurvesTest(absltest.TestCase):
  def test_draws_a_panel_a_metric(self):
    rows = [{"epoch": i, "loss": 1 / (i + 1), "val_loss": 2} for i in range(3)]
    one = plotting.curves(rows)
    two = plotting.curves([{**row, "accuracy": 0.5} for row in rows])
    self.assertEqual(one.mode, "RGB")
    self.assertGreater(two.width, one.width)
    self.assertNotEmpty(np.unique(np.asarray(one)))

  def test_numbers_may_be_text_and_what_is_none_is_left_out(self):
    rows = [{"step": i, "loss": 0.5**i} for i in range(3)]
    text = [{key: str(value) for key, value in row.items()} for row in rows]
    gaps = [*text, {"step": 3, "loss": ""}, {"step": 4, "loss": "nan"}]
    self.assertEqual(
      plotting.curves(rows, "step"), plotting.curves(gaps, "step")
    )

  def test_refuses_a_log_without_numbers(self):
    for rows in ([], [{"step": 1, "loss": 2}], [{"epoch": 1, "loss": ""}]):
      with self.assertRaisesRegex(ValueError, "epoch"):
        plotting.curves(rows)
