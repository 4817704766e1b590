"""Tests of labels: reading files, and errors that name the fault."""

import os
import types

import numpy as np
from absl.testing import parameterized

from lc_keras import priors
from lc_keras.data import latents
from lc_keras.learning import labels

_CACHE = latents.Latents(
  np.arange(12, dtype=np.float32).reshape(4, 3),
  np.full([4, 3], 0.5, np.float32),
  np.zeros([4, 2], np.float32),
)
_SCALE = np.array([1.0, 2.0, 3.0], np.float32)


class LabelsTest(parameterized.TestCase):
  def _read(self, text):
    path = self.create_tempfile(content=text).full_path
    return labels.read(path)

  def test_ids_are_rows_of_the_cache(self):
    read = self._read("id,value\n2,1\n0,0.25\n")
    np.testing.assert_array_equal(read.value, np.float32([1, 0.25]))
    np.testing.assert_array_equal(read.weight, [1, 1])
    mean, scale = read.rows(_CACHE, _SCALE)
    np.testing.assert_array_equal(mean, _CACHE.mean[[2, 0]])
    np.testing.assert_array_equal(scale, _CACHE.scale[[2, 0]])

  def test_latents_come_with_the_scale_of_the_whole(self):
    # Columns in any order, a byte order mark, and blanks as Excel leaves them.
    read = self._read(
      "\ufeffvalue, weight, z0, z1, z2\n1,2.5,0.1,0.2,0.3\n0,1,4,5,6\n"
    )
    mean, scale = read.rows(_CACHE, _SCALE)
    np.testing.assert_allclose(mean, [[0.1, 0.2, 0.3], [4, 5, 6]], rtol=1e-6)
    np.testing.assert_array_equal(scale, [_SCALE, _SCALE])
    np.testing.assert_array_equal(read.weight, [2.5, 1])

  def test_seeds_are_draws_of_the_prior(self):
    read = self._read("seed,value\n7,1\n-2,0\n")
    prior = types.SimpleNamespace(latent_size=3)
    mean, scale = read.rows(_CACHE, _SCALE, prior)
    draws = priors.sample_rows(np.array([7, -2], np.int64), 3)
    np.testing.assert_array_equal(mean, draws)
    np.testing.assert_array_equal(scale, [_SCALE, _SCALE])
    for text, sentence in (
      ("0.5,1", "seed is '0.5', and must be a whole number"),
      ("1e17,1", "must be a whole number"),
      ("7,1\n7,0", "2 labels of seed 7"),
    ):
      with self.assertRaisesRegex(ValueError, sentence):
        self._read(f"seed,value\n{text}\n")

  @parameterized.parameters(
    ("face,value\n1,1\n", r"has the columns face, value; expected `file_name`"),
    ("id\n1\n", "expected"),
    ("z0,z2,value\n1,1,1\n", "expected"),
    (
      "id,value\n1,1\n2,yes\n",
      r"label 2: value is 'yes', and must be in \[0, 1",
    ),
    ("id,value\n1,nan\n", "label 1: value is 'nan', and must be in"),
    ("id,value\n0,-1\n1,0\n2,1\n", "label 1: value is '-1', and must be in"),
    ("id,value\n1,0\n2,1.5\n", r"label 2: value is '1.5', and must be in"),
    ("id,value,weight\n1,0,0\n", "label 1: weight is '0', and must be above 0"),
    ("id,value\n1.5,0\n", "label 1: id is '1.5', and must be a whole number"),
    ("id,value\n3,0\n3,1\n", "has 2 labels of image 3"),
    ("file_name,value\na,1\na,0\n", "rows 1 and 2 are both of a, and they"),
  )
  def test_what_is_wrong_is_named(self, text, message):
    with self.assertRaisesRegex(ValueError, message):
      self._read(text)

  def test_columns_of_several_lengths_are_no_table(self):
    with self.assertRaisesRegex(ValueError, "are no table: .* same length"):
      labels.read({"seed": [1, 2], "value": [1]}, "Mine")

  def test_minus_one_is_off(self):
    np.testing.assert_array_equal(
      self._read("id,value\n0,-1\n1,1\n2,-1\n").value, [0, 1, 0]
    )

  def test_file_names_find_training_images_with_or_without_folder_and_ending(
    self,
  ):
    path = self.create_tempfile(
      content="image_id,Male,Smiling\nb.jpg,1,0\nz.jpg,1,1\nx/a.png,0,1\n"
    ).full_path
    read = labels.read(path, "Smiling")
    self.assertEqual(read.files, ("b.jpg", "z.jpg", "x/a.png"))
    located = read.located(["a.png", "c.png", "train/b.png"])
    np.testing.assert_array_equal(located.ids, [0, 2])
    np.testing.assert_array_equal(located.value, [1, 0])
    with self.assertRaisesRegex(
      ValueError, "None of the 3 labels .*b.jpg.*q.g"
    ):
      read.located(["q.gif"])
    with self.assertRaisesRegex(ValueError, "images have no names: give `id`"):
      read.located(None)

  def test_images_that_are_not_there_are_named(self):
    read = self._read("id,value\n1,1\n4,0\n")
    with self.assertRaisesRegex(ValueError, "such as 4; ids are .* 0 to 3"):
      read.rows(_CACHE, _SCALE)

  def test_latents_of_another_size_are_refused(self):
    read = self._read("z0,z1,value\n1,1,1\n")
    with self.assertRaisesRegex(ValueError, "of 2 numbers; .* have 3"):
      read.rows(_CACHE, _SCALE)

  def test_a_file_that_is_not_there_is_named(self):
    with self.assertRaisesRegex(FileNotFoundError, "nowhere.csv"):
      labels.read(os.path.join(self.create_tempdir(), "nowhere.csv"))
