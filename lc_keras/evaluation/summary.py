"""Figures of several reports, as mean and spread."""

import statistics
from collections.abc import Mapping, Sequence

# Parts about single rows or about one run.
_LEFT_OUT = frozenset(
  {
    "changes",
    "failures",
    "figures",
    "intervals",
    "rows",
    "seed",
    "threshold",
    "weights",
  }
)
_SHOWN = {
  "Weighted F1": ("natural", "weighted_f1"),
  "Macro F1": ("natural", "macro_f1"),
  "Unseen: weighted F1": ("unseen", "weighted_f1"),
  "FID": ("fidelity", "fid"),
  "Diversity": ("diversity", "ratio"),
  "Edits read": ("transformations", "mean_read"),
  "Least read": ("transformations", "min_read"),
  "Others changed": ("transformations", "mean_others_changed"),
  "Sample, ms": ("cost", "milliseconds"),
  "Edit, ms": ("transformations", "milliseconds"),
  "One more attribute, s": ("training", "new_attribute_seconds"),
}


def of(reports: Sequence[Mapping[str, Mapping]]) -> dict[str, dict]:
  """Summarises systems, each over the reports that have it.

  >>> reports = [{"flow": {"title": "Flow", "fid": fid}} for fid in (1.0, 3.0)]
  >>> of(reports)["flow"]["fid"]
  {'mean': 2.0, 'std': 1.41421, 'min': 1.0, 'max': 3.0}

  Args:
    reports: The "systems" of `report.write`.

  Returns:
    By name, "runs", the number of reports with the system, and its figures: for
    every number mean, standard deviation (over n - 1), minimum and maximum;
    mappings, and lists of equal length, element by element; other values if all
    are equal, else None.
  """
  names = dict.fromkeys(name for systems in reports for name in systems)
  result = {}
  for name in names:
    found = [systems[name] for systems in reports if name in systems]
    result[name] = {"runs": len(found), **_merged(found)}
  return result


def table(systems: Mapping[str, Mapping]) -> str:
  """Returns the main figures of a summary as a Markdown table."""
  lines = [["", "Runs", *_SHOWN], ["---", *["---:"] * (1 + len(_SHOWN))]]
  for system in systems.values():
    cells = (_cell(system, keys) for keys in _SHOWN.values())
    lines.append([system["title"], str(system["runs"]), *cells])
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _merged(values):
  first = values[0]
  if all(isinstance(value, dict) for value in values):
    names = dict.fromkeys(name for value in values for name in value)
    return {
      name: _merged([value.get(name) for value in values])
      for name in names
      if name not in _LEFT_OUT
    }
  if all(isinstance(value, list) for value in values):
    if len({len(value) for value in values}) > 1:
      return None
    return [_merged(list(parts)) for parts in zip(*values)]
  numbers = [
    value
    for value in values
    if isinstance(value, int | float) and not isinstance(value, bool)
  ]
  if numbers:
    figure = {
      "mean": statistics.fmean(numbers),
      "std": statistics.stdev(numbers) if len(numbers) > 1 else 0.0,
      "min": min(numbers),
      "max": max(numbers),
    }
    # Six digits are more than any figure has, and keep files readable.
    return {name: float(f"{value:.6g}") for name, value in figure.items()}
  return first if all(value == first for value in values) else None


def _cell(system, keys):
  """Returns a mean and its standard deviation, as text."""
  for key in keys:
    system = (system or {}).get(key)
  if system is None:
    return "–"
  digits = 3 if system["mean"] < 10 else 1
  text = f"{system['mean']:.{digits}f}"
  return f"{text} ± {system['std']:.{digits}f}" if system["std"] else text
