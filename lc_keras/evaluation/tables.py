"""The tables of a report: results in, data frames of text out.

Only differences and sums are computed here, so that numbers and page cannot
disagree. templates/index.html.jinja explains each table.
"""

import json
from collections.abc import Mapping

import pandas as pd

_MISSING = "–"


def _score(value):
  """Returns three decimals; fewer of large numbers, which have more before."""
  decimals = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
  return f"{value:,.{decimals}f}"


def _switch(edit):
  return f"{edit['attribute']} {'on' if edit['on'] else 'off'}"


_share = "{:.1%}".format
_count = "{:,}".format
_duration = "{:,.1f}".format
# By the head of a column, the format of its figures, and their keys.
_OVERVIEW = {
  "Weighted F1": (_score, "natural", "weighted_f1"),
  "Macro F1": (_score, "natural", "macro_f1"),
  "Unseen: weighted F1": (_score, "unseen", "weighted_f1"),
  "FID": (_score, "fidelity", "fid"),
  "Diversity": (_score, "diversity", "ratio"),
  "Edits read": (_share, "transformations", "mean_read"),
  "Others changed": (_share, "transformations", "mean_others_changed"),
  "Sample, ms": (_duration, "cost", "milliseconds"),
  "Edit, ms": (_duration, "transformations", "milliseconds"),
  "One more attribute, s": (_duration, "training", "new_attribute_seconds"),
}
_SCORES = {
  "Rows": (_count, "count"),
  "Accuracy": (_score, "accuracy"),
  "Weighted precision": (_score, "weighted_precision"),
  "Weighted recall": (_score, "weighted_recall"),
  "Weighted F1": (_score, "weighted_f1"),
  "Macro precision": (_score, "macro_precision"),
  "Macro recall": (_score, "macro_recall"),
  "Macro F1": (_score, "macro_f1"),
}
_GAPS = {
  "Accuracy": "accuracy",
  "Weighted F1": "weighted_f1",
  "Macro F1": "macro_f1",
}
_REALISM = {
  "Rows": (_count, "fidelity", "made_count"),
  "FID": (_score, "fidelity", "fid"),
  "KID": (_score, "fidelity", "kid"),
  "Precision": (_score, "fidelity", "precision"),
  "Recall": (_score, "fidelity", "recall"),
  "Diversity": (_score, "diversity", "distance"),
  "Ratio": (_score, "diversity", "ratio"),
}
_EDITS = {
  "Requested value read": (_share, "mean_read"),
  "Whole request read": (_share, "mean_request_read"),
  "Others changed": (_share, "mean_others_changed"),
  "Others, strictly": (_share, "mean_others_changed_strict"),
  "Converged": (_share, "mean_converged"),
  "Feature distance, ratio": (_score, "mean_feature_ratio"),
  "Latent distance": (_score, "mean_distance"),
  "Steps": (_score, "mean_steps"),
  "Least read": (_switch, "min_read_direction"),
  "Read there": (_share, "min_read"),
}
_DIAL = {
  "Requested value read": (_share, "read"),
  "Others changed": (_share, "others_changed"),
  "Feature distance, ratio": (_score, "feature_ratio"),
}
_COSTS = {
  "Steps, sample": (_duration, "cost", "steps"),
  "Sample, ms": (_duration, "cost", "milliseconds"),
  "Steps, edit": (_duration, "transformations", "mean_steps"),
  "Edit, ms": (_duration, "transformations", "milliseconds"),
  "Training, s": (_duration, "training", "seconds"),
  "One more attribute, s": (_duration, "training", "new_attribute_seconds"),
  "Stages": (", ".join, "training", "stages"),
}
_DIRECTIONS = {
  "Rows": (_count, "n"),
  "Before": (_share, "already_read"),
  "Requested value read": (_share, "read"),
  "Whole request read": (_share, "request_read"),
  "Others changed": (_share, "others_changed"),
  "Others, strictly": (_share, "others_changed_strict"),
  "Feature distance": (_score, "feature_distance"),
  "Ratio": (_score, "feature_ratio"),
}


def comparisons(results: Mapping) -> dict[str, pd.DataFrame]:
  """Returns the tables in which systems stand side by side, by name."""
  systems = {one["title"]: one for one in results["systems"].values()}

  def parts(name):
    return {title: one[name] for title, one in systems.items() if name in one}

  def having(name):
    return {title: one for title, one in systems.items() if name in one}

  edited = {
    title: {_switch(edit): edit for edit in table["directions"]}
    for title, table in parts("transformations").items()
  }
  scored = {
    title: scores["attributes"] for title, scores in parts("natural").items()
  }
  return {
    "overview": _table(systems, _OVERVIEW, intervals=False),
    "natural": _table(parts("natural"), _SCORES),
    "balanced": _table(parts("balanced"), _SCORES),
    "unseen": _table(parts("unseen"), _SCORES),
    "gaps": _gaps(results["systems"]),
    "realism": _table(having("fidelity"), _REALISM),
    "edits": _table(parts("transformations"), _EDITS),
    "edits_read": _across(edited, _share, "read", "n", "Switch"),
    "edits_changed": _across(edited, _share, "others_changed", "n", "Switch"),
    "edits_converged": _across(edited, _share, "converged", "n", "Switch"),
    "sequences": _sequences(parts("sequence")),
    "costs": _table(having("training"), _COSTS),
    "f1": _across(scored, _score, "f1", "support", "Attribute"),
    "precision": _across(scored, _score, "precision", "support", "Attribute"),
    "recall": _across(scored, _score, "recall", "support", "Attribute"),
  }


def dial(curve: Mapping) -> pd.DataFrame:
  """Returns the figures of each setting of a dial, see `Protocol.curve`."""
  points = {f"{point['setting']:g}": point for point in curve["points"]}
  return _table(points, _DIAL, curve["dial"].capitalize())


def directions(edits: Mapping) -> pd.DataFrame:
  """Returns the figures of every edit, see `transformations.table`."""
  rows = {_switch(edit): edit for edit in edits["directions"]}
  return _table(rows, _DIRECTIONS, "Switch")


def changes(edits: Mapping) -> pd.DataFrame:
  """Returns the share of rows in which an attribute changed, for every edit."""
  rows = {_switch(edit): edit["changes"] for edit in edits["directions"]}
  names = [edit["attribute"] for edit in edits["directions"]]
  return _table(rows, {name: (_share, name) for name in names}, "Switch")


def seconds(stages: Mapping[str, float]) -> pd.DataFrame:
  """Returns the seconds of the stages of a run, and their sum."""
  total = sum(value for value in stages.values() if value is not None)
  rows = {
    name: {"": value} for name, value in {**stages, "Total": total}.items()
  }
  return _table(rows, {"Seconds": (_duration, "")}, "Stage")


def provenance(facts: Mapping) -> pd.DataFrame:
  """Returns where the numbers come from, one fact a row."""
  return _frame({name: {"": text} for name, text in _flat(facts)})


def _table(rows, columns, head="", intervals=True):
  """Writes figures, each with its interval if it has one.

  Args:
    rows: Figures, mappings that may nest, by the heads of the rows.
    columns: By their heads, the format of figures, and their keys.
    head: Text above the heads of the rows.
    intervals: Whether intervals are written.
  """
  cells = {}
  for title, row in rows.items():
    cells[title] = {}
    for column, (text, *keys) in columns.items():
      cell = _text(text, _get(row, *keys))
      interval = _get(row, *keys[:-1], "intervals", keys[-1])
      if intervals and interval is not None:
        cell += " [{}, {}]".format(*(_text(text, bound) for bound in interval))
      cells[title][column] = cell
  return _frame(cells, head)


def _across(systems, text, name, count, head):
  """Writes one figure, a row for each edit or attribute, a column a system.

  Args:
    systems: By title, all figures of each row by its head.
    text: Format of figures.
    name: Name of the figure; systems without it are left out.
    count: Name of the number of rows that a figure is computed from.
    head: Text above the heads of the rows.
  """
  cells = {}
  for title, rows in systems.items():
    if any(name in row for row in rows.values() if row):
      for row, figures in rows.items():
        cells.setdefault(row, {"Rows": _text(_count, _get(figures, count))})
        cells[row][title] = _text(text, _get(figures, name))
  return _frame(cells, head)


def _gaps(systems):
  """Returns the losses of each step, in hundredths."""
  cells = {}
  for name, system in systems.items():
    other = systems.get(
      "real" if name == "reconstruction" else "reconstruction"
    )
    count = _get(system, "natural", "count")
    # Figures of other rows, which have other labels, are not compared.
    same = count is not None and count == _get(other, "natural", "count")
    if name not in ("majority", "real") and same:
      lower = other["title"][:1].lower() + other["title"][1:]
      points = {}
      for head, score in _GAPS.items():
        ours, bound = system["natural"][score], other["natural"][score]
        known = None not in (ours, bound)
        points[head] = f"{100 * (ours - bound):+.1f}" if known else _MISSING
      cells[f"{system['title']} − {lower}"] = points
  return _frame(cells)


def _sequences(systems):
  cells = {}
  for title, states in systems.items():
    cells[title] = {}
    for state in states[1:]:
      head = f"{state['edits']} in force, {state['taken_back']} undone"
      share, distance = state["others_changed"], state["feature_distance"]
      cells[title][head] = f"{_share(share)} / {_score(distance)}"
  return _frame(cells)


def _frame(cells, head=""):
  """Returns text by row and column; `head` stands above the rows' heads."""
  frame = pd.DataFrame.from_dict(cells, orient="index", dtype=object)
  return frame.fillna(_MISSING).rename_axis(columns=head)


def _flat(mapping, prefix=""):
  """Yields (dotted name, text) for a mapping that may nest."""
  for key, value in mapping.items():
    if isinstance(value, dict):
      yield from _flat(value, f"{prefix}{key}.")
    else:
      text = value if isinstance(value, str) else json.dumps(value)
      yield f"{prefix}{key}", text


def _get(value, *keys):
  """Follows keys; None where one is missing on the way."""
  for key in keys:
    value = value.get(key) if isinstance(value, Mapping) else None
  return value


def _text(text, value):
  return _MISSING if value is None else text(value)
