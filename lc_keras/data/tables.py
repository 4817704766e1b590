"""Reads tables of labels: CSV, TSV, parquet, JSON lines, CelebA's lists.

>>> from lc_keras.data import tables
>>> import pandas as pd
>>> table = pd.DataFrame({"file_name": ["a/1.png", "2.png"], "Smiling": [1, 0]})
>>> tables.by_file_name(table, "mine.csv").index.tolist()
['a/1.png', '2.png']
>>> tables.match(["x/2.jpg", "3.jpg"], ["a/1.png", "2.png"]).tolist()
[1, -1]
"""

import csv
import io
import json
import os
import posixpath
from collections.abc import Sequence

import numpy as np
import pandas as pd

# Names of a column of file names; Hugging Face's comes first.
FILE_NAME = "file_name"
_KEYS = (FILE_NAME, "filename", "image_id", "image", "file", "path", "img", "")
_BLANKS = r"\s+"
_FORMS = "a CSV, TSV, parquet or JSON-lines file with a header"


def read(
  path: str | os.PathLike, columns: Sequence[str] | None = None
) -> pd.DataFrame:
  """Reads a table of labels.

  Args:
    path: The file: CSV (with commas, semicolons or tabs), TSV, parquet, JSON
      lines (.jsonl), or one of CelebA's lists (.txt: columns separated by
      blanks, a count above the header, file names without a header).
    columns: Names of the columns, for a file without a header.

  Returns:
    Its columns, unconverted: those of a text file are text.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: The table is malformed; the message is one sentence that names
      the file and the line.
  """
  path = os.fspath(path)
  if os.path.isdir(path):
    raise ValueError(f"{path} is a folder: name the table itself, {_FORMS}.")
  if not os.path.exists(path):
    raise FileNotFoundError(f"There is no table {path}: name {_FORMS}.")
  ending = os.path.splitext(path)[1].lower()
  if ending == ".parquet":
    table = _read_parquet(path)
  elif ending in (".jsonl", ".ndjson"):
    table = _read_lines(path)
  else:
    table = _read_text(path, ending, columns)
  names = [str(name).strip() for name in table.columns]
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    raise ValueError(
      f"{path} has two columns of one name, {min(twice)!r}: rename one, or "
      "delete it."
    )
  if not len(table):
    raise ValueError(f"{path} has a header, and no rows below it: add them.")
  return table.set_axis(names, axis="columns").reset_index(drop=True)


def has_file_names(columns: Sequence[str]) -> bool:
  """Says whether a table has a column of file names, see `by_file_name`."""
  return any(key in columns for key in _KEYS)


def by_file_name(table: pd.DataFrame, name: str) -> pd.DataFrame:
  """Returns a table indexed by file name, without duplicates.

  Args:
    table: With a column `file_name` (or `image_id`, `image`, ...), or with file
      names as its index.
    name: Name of the table in errors.

  Raises:
    ValueError: There is no such column, or rows of one file differ.
  """
  key = next((key for key in _KEYS if key in table.columns), None)
  if key is not None:
    table = table.set_index(key)
  elif not all(isinstance(value, str) for value in table.index):
    is_one = len(table.columns) == 1  # Perhaps it has another separator.
    raise ValueError(
      f"{name} has the columns {', '.join(map(str, table.columns))}; one must "
      f"be {FILE_NAME}, the name of the image's file."
      + " Columns are separated by commas, semicolons or tabs."
      * is_one
    )
  table.index = [plain(str(value)) for value in table.index]
  if table.index.has_duplicates:
    counted = table.reset_index(names="").astype(str).drop_duplicates()
    twice = counted[""][counted[""].duplicated()]
    if len(twice):
      rows = np.flatnonzero(table.index == twice.iloc[0])[:2] + 1
      raise ValueError(
        f"{name}: rows {rows[0]} and {rows[1]} are both of {twice.iloc[0]}, "
        "and they differ: delete one."
      )
    table = table[~table.index.duplicated()]
  return table


def match(names: Sequence[str], keys: Sequence[str]) -> np.ndarray:
  """Returns the row of a table for each file, or -1.

  A file is matched by its path, else by its name, else by its name without the
  extension, each only if it is unique among the files and among the rows.

  Args:
    names: Paths of files.
    keys: File names in the table, see `by_file_name`.

  Returns:
    int64 [len(names)].
  """
  names = [plain(name) for name in names]
  found = pd.Index(keys).get_indexer(pd.Index(names, dtype=object))
  for short in (posixpath.basename, _stem):
    if (found >= 0).all():
      break
    rows = pd.Series([short(key) for key in keys])
    rows = pd.Series(rows.index, index=rows)[
      ~rows.duplicated(keep=False).values
    ]
    shorts = pd.Series([short(name) for name in names])
    single = ~shorts.duplicated(keep=False)
    found = np.where(
      (found < 0) & single, shorts.map(rows).fillna(-1).astype(int), found
    )
  return found


def check_name(name: str) -> None:
  """Raises ValueError if a file name is no text, and so cannot be written."""
  try:
    name.encode()
  except UnicodeEncodeError:
    raise ValueError(
      f"The file name {name!r} is not text in UTF-8: rename the file."
    ) from None


def plain(name: str) -> str:
  """Returns a path in normal form, with forward slashes."""
  check_name(name)
  name = name.strip()
  if "\\" in name or "//" in name or name[:1] == ".":
    name = posixpath.normpath(name.replace("\\", "/"))
  return name


def _stem(name):
  return posixpath.splitext(posixpath.basename(name))[0]


def _read_parquet(path):
  try:
    return pd.read_parquet(path)
  except Exception as error:  # Arrow raises several kinds.
    raise ValueError(f"{path} is no whole parquet file: {error}") from error


def _read_lines(path):
  rows = []
  for number, line in enumerate(_decoded(path).splitlines(), 1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except json.JSONDecodeError as error:
      raise ValueError(
        f"{path}, line {number}: not JSON, {error.msg}."
      ) from error
    if not isinstance(row, dict):
      raise ValueError(f"{path}, line {number}: an object, {{...}}, is needed.")
    rows.append(row)
  return pd.DataFrame(rows)


def _read_text(path, ending, columns):
  text = _decoded(path).replace("\r\n", "\n")
  lines = text.replace("\r", "\n").split("\n")  # Old Macs end lines so.
  if ending == ".txt" and lines[0].strip().isdigit() and lines[1:]:
    lines[:2] = ["", f"{FILE_NAME} {lines[1]}"]  # A list of CelebA.
    separator = _BLANKS
  else:
    separator = _separator(lines[0], ending)
    width, *below = (len(line.split()) for line in lines[:2])
    if separator == _BLANKS and below == [width + 1]:
      lines[0] = f"{FILE_NAME} {lines[0]}"  # CelebA's without its first line.
  if columns is not None:
    lines[:0] = [("," if separator == "," else " ").join(columns)]
  _check_cells(path, lines, separator, first=1 - (columns is not None))
  table = pd.read_csv(
    io.StringIO("\n".join(lines)),
    header=None,  # Pandas would rename columns of one name.
    dtype=str,
    sep=separator,
    skipinitialspace=True,
    keep_default_na=False,
  )
  return table.iloc[1:].set_axis(table.iloc[0].tolist(), axis="columns")


def _check_cells(path, lines, separator, first):
  """Raises ValueError unless every row has as many cells as the header."""
  if separator == _BLANKS:
    rows = ((line, text.split()) for line, text in enumerate(lines, first))
  else:
    reader = csv.reader(
      (line + "\n" for line in lines),
      delimiter=separator,
      skipinitialspace=True,
      strict=True,
    )
    rows = ((reader.line_num + first - 1, row) for row in reader)
  width = line = 0
  try:
    for line, row in rows:
      width = width or len(row)
      if row and len(row) != width:
        raise ValueError(
          f"{path}, line {line}, has {len(row)} cells instead of {width}: "
          "write numbers with a point (0.75), and quote text that has a "
          "separator in it."
        )
  except csv.Error as error:
    raise ValueError(
      f"{path}, behind line {line}: {error}. Is a quotation mark not closed?"
    ) from error


def _decoded(path):
  """Returns the text of a file."""
  with open(path, "rb") as file:
    data = file.read()
  if not data.strip():
    raise ValueError(f"{path} is empty: it must be {_FORMS}.")
  marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
  wide = marked or b"\0" in data
  other = "UTF-16" if marked else "UTF-16 or no text at all"
  try:
    text = data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    line = data[: error.start].count(b"\n") + 1
    text, where = None, f"{path}, line {line},"
  if wide or text is None:
    raise ValueError(
      f"{path if wide else where} is not text in UTF-8"
      f"{f', but in {other}' if wide else ''}: save it again as UTF-8 (in "
      'Excel, as "CSV UTF-8").'
    )
  return text


def _separator(header, ending):
  if ending == ".tsv":
    return "\t"
  for separator in (",", "\t", ";"):
    if separator in header:
      return separator
  return _BLANKS if ending == ".txt" else ","
