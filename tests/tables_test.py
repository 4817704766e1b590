"""Tests of reading tables: all formats, and an error for each fault."""

import os

import numpy as np
import pandas as pd
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras.data import label_columns
from lc_keras.data import tables


class ReadTest(parameterized.TestCase):
  def _file(self, name, content):
    mode = "wb" if isinstance(content, bytes) else "w"
    return self.create_tempfile(name, content, mode=mode).full_path

  @parameterized.parameters(
    ("a.csv", "file_name,A,B\na.png,1,x y\nb.png,-1,z"),
    ("a.csv", "\ufefffile_name, A, B\r\na.png, 1, x y\r\n\r\nb.png,-1,z\r\n"),
    ("a.csv", "file_name,A,B\ra.png,1,x y\rb.png,-1,z\r"),
    ("a.csv", "file_name;A;B\na.png;1;x y\nb.png;-1;z\n"),
    ("a.csv", 'file_name,A,B\n"a.png",1,"x y"\n"b.png",-1,z\n'),
    ("a.tsv", "file_name\tA\tB\na.png\t1\tx y\nb.png\t-1\tz\n"),
    ("a.txt", "file_name\tA\tB\na.png\t1\tx y\nb.png\t-1\tz\n"),
    (
      "a.jsonl",
      '{"file_name": "a.png", "A": 1, "B": "x y"}\n'
      '{"file_name": "b.png", "A": -1, "B": "z"}',
    ),
  )
  def test_forms(self, name, content):
    table = tables.read(self._file(name, content))
    self.assertEqual(list(table.columns), ["file_name", "A", "B"])
    cells = [[str(cell) for cell in row] for row in table.values]
    self.assertEqual(cells, [["a.png", "1", "x y"], ["b.png", "-1", "z"]])

  def test_parquet(self):
    path = os.path.join(self.create_tempdir(), "a.parquet")
    pd.DataFrame({"file_name": ["a.png"], "A": [True]}).to_parquet(path)
    self.assertEqual(tables.read(path).values.tolist(), [["a.png", True]])

  # No line break at the end, several blanks, and no count.
  @parameterized.product(end=("\n", ""), count=("2\n", ""))
  def test_lists_of_celeb_a(self, end, count):
    lines = f"{count}A B \n1.jpg -1  1\n2.jpg  1 -1{end}"
    path = self._file("list.txt", lines)
    table = tables.by_file_name(tables.read(path), path)
    self.assertEqual(table.index.tolist(), ["1.jpg", "2.jpg"])
    self.assertEqual(table["B"].tolist(), ["1", "-1"])
    path = self._file("partition.txt", f"1.jpg 0\n2.jpg 2{end}")
    table = tables.read(path, ["file_name", "split"])
    self.assertEqual(table["split"].tolist(), ["0", "2"])

  @parameterized.parameters(
    ("a.csv", "", "is empty: it must be a CSV, TSV, parquet or JSON-lines"),
    ("a.csv", "a,b\n", "has a header, and no rows below it"),
    ("a.csv", "a,b\n1,2\n0,0,75\n", "line 3, has 3 cells instead of 2: write"),
    ("a.csv", "a,b\n1,2\n3", "line 3, has 1 cells instead of 2"),
    ("a.csv", 'a,b\n1,2\n"3,4\n', "behind line 2: .*quotation mark not closed"),
    ("a.csv", "a,b,a\n1,2,3\n", "two columns of one name, 'a'"),
    (
      "a.csv",
      "a,b\n1,2\n".encode("utf-16"),
      "is .*UTF-16: save it again as UTF",
    ),
    ("a.csv", "a,b\n1,2\n".encode("utf-16-le"), "is .*UTF-16"),
    ("a.csv", b"\x89PNG\r\n\x1a\n\0\0", "or no text at all"),
    ("a.csv", "a,b\n1,ü\n".encode("latin-1"), "line 2, is not text in UTF-8"),
    (
      "a.txt",
      "2\nA B\n1.jpg -1 1\n2.jpg 1",
      "line 4, has 2 cells instead of 3",
    ),
    ("a.jsonl", '{"a": 1}\n{"a"', "line 2: not JSON"),
    ("a.jsonl", "[1]", "line 1: an object"),
    ("a.parquet", b"PAR1", "is no whole parquet file"),
  )
  def test_faults(self, name, content, message):
    path = self._file(name, content)
    with self.assertRaisesRegex(ValueError, f"^{path}.*{message}"):
      tables.read(path)

  def test_a_folder_and_what_is_not_there(self):
    folder = self.create_tempdir().full_path
    with self.assertRaisesRegex(ValueError, f"^{folder} is a folder"):
      tables.read(folder)
    with self.assertRaisesRegex(FileNotFoundError, "no table .*nowhere.csv"):
      tables.read("nowhere.csv")


class ByFileNameTest(absltest.TestCase):
  def test_equal_rows_are_one_and_others_are_named(self):
    table = pd.DataFrame({"image_id": ["a", "b", "a"], "A": [1, 0, 1]})
    self.assertEqual(tables.by_file_name(table, "t").index.tolist(), ["a", "b"])
    table.loc[2, "A"] = 0
    with self.assertRaisesRegex(ValueError, "^t: rows 1 and 3 are both of a"):
      tables.by_file_name(table, "t")

  def test_an_index_of_names_is_as_good(self):
    table = pd.DataFrame({"A": [1]}, index=["./x\\a.png"])
    self.assertEqual(
      tables.by_file_name(table, "t").index.tolist(), ["x/a.png"]
    )
    with self.assertRaisesRegex(
      ValueError, "^t has the columns A; one must be .*separated by commas"
    ):
      tables.by_file_name(table.reset_index(drop=True), "t")

  def test_names_that_could_be_of_two_rows_match_none(self):
    found = tables.match(["x/1.png", "y/2.png", "3.png"], ["1.jpg", "a/2.png"])
    np.testing.assert_array_equal(found, [0, 1, -1])
    found = tables.match(["x/1.png", "y/1.png"], ["1.png", "y/1.png"])
    np.testing.assert_array_equal(found, [-1, 1])
    found = tables.match(["x/1.png", "y/1.png"], ["1.png", "1.jpg"])
    np.testing.assert_array_equal(found, [-1, -1])


class FromTableTest(parameterized.TestCase):
  @parameterized.parameters(
    (["0", "1", ""], [0, 1, np.nan]),
    (["-1", "1", "NA"], [0, 1, np.nan]),
    (["1", "1", "1"], [1, 1, 1]),
    ([True, False, None], [1, 0, np.nan]),
    (["True", "no", "nan"], [1, 0, np.nan]),
  )
  def test_switches(self, cells, expected):
    table = pd.DataFrame({"Pale Skin": cells})
    values, attributes, notes = label_columns.from_table(table, "t")
    np.testing.assert_array_equal(values[:, 0], expected)
    self.assertEqual(attributes.names, ("Pale_Skin",))
    self.assertEmpty(attributes.continuous + tuple(notes))

  @parameterized.parameters(
    (["0", "0.25", "", "1"], [0, 0.25, np.nan, 1], None),
    (
      [18, 43, np.nan, 78.5],
      [0, 25 / 60.5, np.nan, 1],
      "0 for 18 and 1 for 78",
    ),
    (np.arange(21), np.arange(21) / 20, "0 for 0 and 1 for 20"),
  )
  def test_degrees(self, cells, expected, note):
    table = pd.DataFrame({"age": cells})
    values, attributes, notes = label_columns.from_table(table, "t")
    np.testing.assert_allclose(values[:, 0], expected, rtol=1e-6)
    self.assertEqual(attributes.continuous, ("age",))
    self.assertRegex("".join(notes), note or "^$")

  @parameterized.parameters(
    ("hair", ["red", "", "no hair"], ("hair_no_hair", "hair_red")),
    ("label", ["cat", "", "dog"], ("cat", "dog")),
    ("kind", [0, np.nan, 3], ("kind_0", "kind_3")),
  )
  def test_classes(self, column, cells, names):
    table = pd.DataFrame({column: cells})
    values, attributes, _ = label_columns.from_table(table, "t")
    self.assertEqual(attributes.names, names)
    self.assertEqual(attributes.exclusive, (names,))
    self.assertTrue(np.isnan(values[1]).all())
    np.testing.assert_array_equal(np.sort(values[[0, 2]].sum(axis=0)), [1, 1])

  @parameterized.parameters(
    (["a caption"] * 3, "a caption everywhere"),
    ([f"caption {i}" for i in range(60)], "60 different texts"),
    ([[1], [2]], "no numbers or words"),
    (["", "NA"], "no label of it is known"),
    ([7.5, 7.5], "7.5 everywhere"),
  )
  def test_what_is_no_label_is_left_out_and_told(self, cells, message):
    table = pd.DataFrame(
      {"it": cells, "A": [0, 1] * (len(cells) // 2) + [1] * (len(cells) % 2)}
    )
    _, attributes, notes = label_columns.from_table(table, "t")
    self.assertEqual(attributes.names, ("A",))
    self.assertRegex(notes[0], f"^it: left out, since .*{message}")

  @parameterized.parameters(
    (
      {"A": ["-1", "0", "1"]},
      "A is -1, 0 and 1, of which one may mean unknown",
    ),
    ({"A": ["0", "inf"]}, "row 2: A is inf, and must be a finite number"),
    ({"A": [0, 1], "a": [0, 1]}, "must differ in more than case"),
    ({"A b": [0, 1], "A?b": [1, 1]}, "two columns for A_b, since"),
    ({"A": ["1", "0,5", "-2,25"]}, r"A is '0,5' .* point \(0.5\), without"),
    ({"not": [0, 1]}, "cannot be the name of an attribute"),
  )
  def test_faults(self, table, message):
    with self.assertRaisesRegex(ValueError, f"^t.csv.*{message}"):
      label_columns.from_table(pd.DataFrame(table), "t.csv")
