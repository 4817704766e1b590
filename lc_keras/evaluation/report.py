"""The report of a run: results.json, report.md and index.html.

The page needs nothing but the files beside it: no script and no network. It
shows what results.json holds.
"""

import math
import os
import pathlib
import re
from collections.abc import Mapping

import jinja2
import numpy as np
from PIL import Image

from lc_keras import files
from lc_keras.evaluation import tables

_SPLITS = ("natural", "balanced", "unseen")
_SCORES = ("accuracy", "weighted_f1", "macro_f1", "attributes")


def write(report_dir: str | os.PathLike, results: Mapping) -> None:
  """Writes results.json, report.md and index.html.

  Args:
    report_dir: Folder of the report; files in it are replaced. The pictures
      are there already.
    results: Plain or numpy values; NaN and infinities become null. Holds
      "systems": By name, what `Protocol` measured: "title"; "natural",
        "balanced" and "unseen", each of `scores`; "fidelity", "diversity",
        "cost", "transformations", "sequence", "curve", "training"; all but the
        title may be missing; and "figures", captions by the name of a picture
        (<name>.png);
      "figures": The same, of pictures of all systems;
      "seconds": Maps the stages of a run to their seconds;
      "provenance": What the numbers come from: run, checksums of checkpoints,
        data, split, threshold, seed, versions; mappings may nest.

  Raises:
    ValueError: A part of the results is missing or misshaped, or a figure's
      name is no plain file name. Nothing is written then.
    FileNotFoundError: A picture is not there. Nothing is written then.
  """
  report_dir = pathlib.Path(report_dir)
  results = plain(results)
  _check(results)
  content = {
    "title": "Latent constraints: evaluation",
    "basis": tables.basis(results["provenance"]),
    "figures": _figures(report_dir, results["figures"]),
    "tables": tables.comparisons(results),
    "systems": [
      {
        "title": system["title"],
        "figures": _figures(report_dir, system.get("figures", {})),
        "tables": tables.details(system),
      }
      for system in results["systems"].values()
      if system.get("figures")
    ],
    "records": tables.records(results),
  }
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("lc_keras.evaluation"),
    autoescape=jinja2.select_autoescape(["html.jinja"]),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters["cell"] = lambda text: text.replace("|", "\\|")
  pages = {
    name: environment.get_template(f"{name}.jinja").render(content)
    for name in ("report.md", "index.html")
  }
  files.write_json(os.fspath(report_dir / "results.json"), results)
  for name, page in pages.items():
    with files.replacing(os.fspath(report_dir / name)) as aside:
      pathlib.Path(aside).write_text(page, encoding="utf-8")


def plain(value):
  """Returns the value as what JSON knows: no numpy, no NaN.

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


def _check(results):
  """Raises ValueError unless everything that is shown is there."""
  wanted = ("systems", "figures", "seconds", "provenance")
  missing = [name for name in wanted if name not in results]
  if missing:
    raise ValueError(f"The results lack {', '.join(missing)}.")
  for name, system in results["systems"].items():
    if "title" not in system:
      raise ValueError(f"The system {name!r} lacks a title.")
    for split in _SPLITS:
      lacking = set(_SCORES) - set(system.get(split, _SCORES))
      if lacking:
        raise ValueError(
          f"The scores of {name!r} on the split {split!r} lack "
          f"{', '.join(sorted(lacking))}: see scores.attribute_scores."
        )
    if "directions" not in system.get("transformations", ("directions",)):
      raise ValueError(
        f"The transformations of {name!r} are no transformations.table."
      )


def _figures(report_dir, captions):
  """Returns what the pages need to know of pictures."""
  figures = []
  for name, caption in captions.items():
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
      raise ValueError(
        f"The figure's name {name!r} is a file name: use letters, digits and "
        "any of _.+-"
      )
    file = f"{name}.png"
    with Image.open(report_dir / file) as image:
      width, height = image.size
    figures.append(
      {
        "name": name,
        "caption": caption,
        "file": file,
        "width": width,
        "height": height,
      }
    )
  return figures
