"""The report of a run: results.json and index.html.

The page needs only the files beside it, no script and no network. It shows the
contents of results.json.
"""

import math
import os
import pathlib
import re
from collections.abc import Mapping

import markupsafe
import numpy as np
import pandas as pd
from PIL import Image

from lc_keras import files
from lc_keras.evaluation import album
from lc_keras.evaluation import tables


def write(report_dir: str | os.PathLike, results: Mapping) -> None:
  """Writes results.json and index.html.

  Args:
    report_dir: Folder of the report; files in it are replaced. The pictures
      are there already.
    results: Plain or numpy values; NaN and infinities become null. Holds
      "systems": By name, figures of `Protocol.references` and
        `Protocol.measure`, a "title", and maybe "training", and "figures",
        captions by the name of a picture (<name>.png);
      "figures": The same, of pictures of all systems;
      "seconds": Maps the stages of a run to their seconds;
      "provenance": Origin of the numbers: run, checksums of checkpoints,
        data, split, threshold, seed, versions; mappings may nest.

  Raises:
    ValueError: A figure's name is not a plain file name. Nothing is written
      then.
    FileNotFoundError: A picture is missing. Nothing is written then.
  """
  report_dir = pathlib.Path(report_dir)
  results = plain(results)
  page = album.template(
    "index.html.jinja",
    html=_html,
    sized=lambda captions: _sized(report_dir, captions),
  ).render(
    results,
    comparisons=tables.comparisons(results),
    tables=tables,
    basis=" · ".join(
      f"{name}: {value}"
      for name, value in results["provenance"].items()
      if isinstance(value, int | float | str) and len(str(value)) <= 40
    ),
  )
  files.write_json(os.fspath(report_dir / "results.json"), results)
  files.write_text(os.fspath(report_dir / "index.html"), page)


def plain(value):
  """Returns a value in the types of JSON: no numpy, no NaN.

  Raises:
    ValueError: It holds something else.
  """
  if isinstance(value, Mapping):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, np.ndarray | np.generic):
    return plain(value.tolist())
  if isinstance(value, list | tuple):
    return [plain(item) for item in value]
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if value is None or isinstance(value, bool | int | str):
    return value
  raise ValueError(
    f"Results hold numbers, text, lists and mappings, not {type(value)}."
  )


def _html(frame):
  # By default, pandas cuts text of more than 50 letters.
  with pd.option_context("display.max_colwidth", None):
    return markupsafe.Markup(frame.to_html(border=0))


def _sized(report_dir, captions):
  """Yields the name, the caption and the size of each picture."""
  for name, caption in captions.items():
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
      raise ValueError(
        f"The figure's name {name!r} is a file name: use letters, digits and "
        "any of _.+-"
      )
    with Image.open(report_dir / f"{name}.png") as image:
      yield name, caption, image.size
