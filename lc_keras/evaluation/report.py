"""The report of a run: results.json, report.md, index.html and its pictures.

The page needs nothing but the files beside it: no script and no network. It
shows what results.json holds; only differences and sums are computed here, so
that numbers and page cannot disagree.
"""

import json
import math
import os
import pathlib
import re
from collections.abc import Mapping

import jinja2
import numpy as np
from PIL import Image

from lc_keras import files
from lc_keras.evaluation import pictures

_TITLES = {
  "majority": "Majority class",
  "real": "Real images",
  "reconstruction": "Reconstructions",
  "prior": "Prior samples",
  "actor_0": "Actor, λ = 0",
  "actor_0.1": "Actor, λ = 0.1",
}
_SCORES = {
  "accuracy": "Accuracy",
  "weighted_precision": "Weighted precision",
  "weighted_recall": "Weighted recall",
  "weighted_f1": "Weighted F1",
  "macro_precision": "Macro precision",
  "macro_recall": "Macro recall",
  "macro_f1": "Macro F1",
}
_MISSING = "–"


def write(
  report_dir: str | os.PathLike,
  results: Mapping,
  figures: Mapping[str, tuple[str, Image.Image]],
) -> None:
  """Writes results.json, report.md, index.html and one PNG a figure.

  Args:
    report_dir: Folder; made if missing, files in it are replaced.
    results: Plain or numpy values; NaN and infinities become null. Holds
      "rows": A list of `scores.attribute_scores`, each with its "name":
        "majority", "real", "reconstruction", "prior", "actor_<lambda>";
      "balanced": The same for the balanced split; may be missing;
      "transformations": Maps the name of a row to its `transformations.table`;
      "seconds": Maps the stages of a run to their seconds;
      "provenance": What the numbers come from: run, checksums of checkpoints,
        data, split, threshold, seed, versions; mappings may nest.
    figures: Maps names (the files are <name>.png) to caption and picture, in
      the order they are shown in.

  Raises:
    ValueError: A part of the results is missing or misshaped, or a figure's
      name is no plain file name. Nothing is written then.
  """
  report_dir = pathlib.Path(report_dir)
  results = _plain(results)
  _check(results, figures)
  content = {
    "title": "Latent constraints: evaluation",
    "basis": _basis(results["provenance"]),
    "glance": _glance(results),
    "tables": _tables(results),
    "figures": [
      {
        "name": name,
        "caption": caption,
        "file": f"{name}.png",
        "width": image.width,
        "height": image.height,
      }
      for name, (caption, image) in figures.items()
    ],
    "records": [_seconds(results["seconds"]), _provenance(results)],
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

  report_dir.mkdir(parents=True, exist_ok=True)
  for name, (_, image) in figures.items():
    pictures.save(image, report_dir / f"{name}.png")
  files.write_json(os.fspath(report_dir / "results.json"), results)
  for name, page in pages.items():
    with files.replacing(os.fspath(report_dir / name)) as aside:
      pathlib.Path(aside).write_text(page, encoding="utf-8")


def _plain(value):
  """Returns the value as what JSON knows: no numpy, no NaN."""
  if isinstance(value, Mapping):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, np.ndarray | np.generic):
    return _plain(value.tolist())
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if value is None or isinstance(value, bool | int | str):
    return value
  if isinstance(value, os.PathLike):
    return os.fspath(value)
  raise ValueError(
    f"Results hold numbers, text, lists and mappings, not {type(value)}."
  )


def _check(results, figures):
  """Raises ValueError unless everything that is shown is there."""
  wanted = ("rows", "transformations", "seconds", "provenance")
  missing = [name for name in wanted if name not in results]
  if missing:
    raise ValueError(f"The results lack {', '.join(missing)}.")
  for row in [*results["rows"], *results.get("balanced", [])]:
    lacking = {"name", "attributes", *_SCORES} - set(row)
    if lacking:
      raise ValueError(
        f"The row {row.get('name', '(unnamed)')!r} lacks "
        f"{', '.join(sorted(lacking))}: rows are scores.attribute_scores(...) "
        "with a name."
      )
  for name, table in results["transformations"].items():
    if not isinstance(table, dict) or "directions" not in table:
      raise ValueError(
        'results["transformations"] maps the name of a row, such as '
        f"'actor_0.1', to its transformations.table; {name!r} is none."
      )
  for name in figures:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
      raise ValueError(
        f"The figure's name {name!r} becomes a file name: use letters, digits, "
        "dot, underscore and hyphen."
      )


def _basis(provenance):
  """Returns in one line what the numbers hold for; the table has it all."""
  return " · ".join(
    f"{name}: {value}"
    for name, value in provenance.items()
    if isinstance(value, int | float | str) and len(str(value)) <= 40
  )


def _glance(results):
  """Returns the few numbers to see first, as (label, value) pairs."""
  glance = [
    (f"Weighted F1 ({_lower(row['name'])})", _score(row["weighted_f1"]))
    for row in results["rows"]
    if row["name"] in ("real", "reconstruction")
    or row["name"].startswith("actor")
  ]
  for name, table in results["transformations"].items():
    glance += [
      (f"Asked value read ({_lower(name)})", _share(table["mean_read"])),
      (
        f"Others changed ({_lower(name)})",
        _share(table["mean_others_changed"]),
      ),
    ]
  return glance


def _tables(results):
  tables = [
    _samples(
      results["rows"],
      "Attributes read from samples",
      "The pixel classifier's reading against the labels of the held-out split."
      " Majority class answers every row alike; real images bound what the"
      " classifier can read, reconstructions what the generative model can"
      " show; prior samples know nothing of the labels.",
    ),
    _gaps(results["rows"]),
  ]
  if results.get("balanced"):
    tables.append(
      _samples(
        results["balanced"],
        "The balanced split",
        "Each attribute scored on rows of which half have it, so that rare"
        " ones count.",
      )
    )
  for score, title in (
    ("f1", "F1 by attribute"),
    ("precision", "Precision by attribute"),
    ("recall", "Recall by attribute"),
  ):
    tables.append(_by_attribute(results["rows"], score, title))
  for name, table in results["transformations"].items():
    tables += [_directions(name, table), _changes(name, table)]
  return tables


def _samples(rows, title, note):
  return {
    "title": title,
    "note": note,
    "header": ["", *_SCORES.values()],
    "rows": [
      [_title(row["name"]), *(_score(row[score]) for score in _SCORES)]
      for row in rows
    ],
  }


def _gaps(rows):
  """Returns what each step loses, in points of a hundredth."""
  named = {row["name"]: row for row in rows}
  pairs = [("reconstruction", "real")]
  pairs += [
    (name, "reconstruction") for name in named if name.startswith("actor")
  ]
  return {
    "title": "Gaps",
    "note": "Differences in points: a hundredth of accuracy or F1.",
    "header": ["", *(_SCORES[score] for score in _GAP_SCORES)],
    "rows": [
      [
        f"{_title(name)} − {_lower(other)}",
        *(_points(named[name][s], named[other][s]) for s in _GAP_SCORES),
      ]
      for name, other in pairs
      if name in named and other in named
    ],
  }


_GAP_SCORES = ("accuracy", "weighted_f1", "macro_f1")


def _by_attribute(rows, score, title):
  names = list(
    dict.fromkeys(name for row in rows for name in row["attributes"])
  )
  first = rows[0]["attributes"] if rows else {}
  return {
    "title": title,
    "note": "Positives: held-out rows that have the attribute.",
    "header": [
      "Attribute",
      "Positives",
      *(_title(row["name"]) for row in rows),
    ],
    "rows": [
      [
        name,
        _count(_get(first, name, "support")),
        *(_score(_get(row["attributes"], name, score)) for row in rows),
      ]
      for name in names
    ],
  }


def _directions(name, table):
  """Returns one row for each attribute, on and off, and their average."""
  shares = (
    "already_read",
    "read",
    "request_read",
    "others_changed",
    "others_changed_strict",
  )
  rows = [
    [
      row["attribute"],
      _switch(row["on"]),
      _count(row["n"]),
      *(_share(row[share]) for share in shares),
      _score(row["feature_distance"]),
      _score(row["feature_ratio"]),
    ]
    for row in table["directions"]
  ]
  average = ["Average", "", "", "", _share(table["mean_read"]), ""]
  average += [
    _share(table["mean_others_changed"]),
    _share(table["mean_others_changed_strict"]),
    "",
    _score(table["mean_feature_ratio"]),
  ]
  note = (
    "Held-out images with one attribute switched, read by the pixel classifier"
    " and compared with the reconstruction. Before: the share that reads so"
    " without any request. Whole request: the attribute and all that it rules"
    " out. Others: any attribute that the request is not about (strictly: any"
    " but the switched one). Ratio: feature distance over that between"
    f" two different people, {_score(table['feature_scale'])}."
  )
  worst = table["min_read_direction"]
  if worst:
    note += (
      f" Least read: {worst['attribute']} {_switch(worst['on'])}, "
      f"{_share(table['min_read'])}."
    )
  empty = [
    f"{row['attribute']} {_switch(row['on'])}"
    for row in table["directions"]
    if not row["n"]
  ]
  if empty:
    note += f" Not measured, for want of held-out rows: {', '.join(empty)}."
  return {
    "title": f"Transformations: {_title(name)}",
    "note": note,
    "header": [
      "Attribute",
      "Switched",
      "Rows",
      "Before",
      "Asked value read",
      "Whole request read",
      "Others changed",
      "Others, strictly",
      "Feature distance",
      "Ratio",
    ],
    "rows": [*rows, average],
  }


def _changes(name, table):
  """Returns the share of rows in which each attribute changed."""
  columns = list(dict.fromkeys(r["attribute"] for r in table["directions"]))
  return {
    "title": f"What changed: {_title(name)}",
    "note": "Share of rows in which the attribute of the column reads otherwise"
    " than in the reconstruction, for each switch.",
    "header": ["Switch", *columns],
    "rows": [
      [
        f"{row['attribute']} {_switch(row['on'])}",
        *(_share(_get(row, "changes", column)) for column in columns),
      ]
      for row in table["directions"]
    ],
  }


def _seconds(seconds):
  rows = [[stage, _duration(value)] for stage, value in seconds.items()]
  total = sum(value for value in seconds.values() if value is not None)
  return {
    "title": "Time",
    "note": "Wall-clock time of each stage.",
    "header": ["Stage", "Seconds"],
    "rows": [*rows, ["Total", _duration(total)]],
  }


def _provenance(results):
  return {
    "title": "Where the numbers come from",
    "note": "",
    "header": ["", ""],
    "rows": list(_flat(results["provenance"])),
  }


def _flat(mapping, prefix=""):
  """Yields [dotted name, text] for a mapping that may nest."""
  for key, value in mapping.items():
    if isinstance(value, dict):
      yield from _flat(value, f"{prefix}{key}.")
    else:
      text = value if isinstance(value, str) else json.dumps(value)
      yield [f"{prefix}{key}", text]


def _title(name):
  return _TITLES.get(name, name)


def _lower(name):
  title = _title(name)
  return title[:1].lower() + title[1:]


def _get(mapping, *keys):
  """Follows keys; None where one is missing or None on the way."""
  for key in keys:
    mapping = (mapping or {}).get(key)
  return mapping


def _switch(on):
  return "on" if on else "off"


def _score(value):
  return _MISSING if value is None else f"{value:.3f}"


def _share(value):
  return _MISSING if value is None else f"{100 * value:.1f} %"


def _points(value, other):
  if value is None or other is None:
    return _MISSING
  return f"{100 * (value - other):+.1f}"


def _count(value):
  return _MISSING if value is None else f"{value:,}"


def _duration(value):
  return _MISSING if value is None else f"{value:,.1f}"
