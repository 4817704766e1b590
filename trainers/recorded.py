"""Figures that were recorded once, to be compared with those of another run.

Read from a report's results.json, or from what `trainers.summarize` made of
the reports of several seeds.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping

from trainers import runs

EQUAL = "equal"
NOISE = "within noise"
DIFFERS = "differs"
MISSING = "missing"

# Of a report's provenance: what a figure depends on, and older ones lack.
_SAID = ("commit", "hardware", "data", "versions", "stages")
_VERSIONS = ("lc_keras", "python", "tensorflow", "keras", "numpy")
# How long things take, what is drawn, and single rows are no figures.
_NO_FIGURES = frozenset(
  {
    "changes",
    "failures",
    "figures",
    "interval",
    "intervals",
    "milliseconds",
    "seed",
    "threshold",
    "training",
    "weights",
  }
)
# Digits that a summary keeps.
_SUMMARY_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Figure:
  """A number that was measured.

  Attributes:
    value: The number.
    low: Where its 95% interval begins, or the least of several seeds; None if
      nobody knows.
    high: Where that ends.
  """

  value: float
  low: float | None = None
  high: float | None = None


@dataclasses.dataclass(frozen=True)
class Recorded:
  """What a file of results says.

  Attributes:
    figures: By their names, such as "actor_0.1/natural/weighted_f1".
    flags: By stage, one line of a shell.
    provenance: What the figures come from, as far as that was recorded.
    lacks: What was not recorded, in words.
    digits: Significant digits that figures were rounded to; None if not.
  """

  figures: dict[str, Figure]
  flags: dict[str, str]
  provenance: dict
  lacks: list[str]
  digits: int | None = None


def read(path: str, run: str | None = None) -> Recorded:
  """Reads the results of one run.

  Args:
    path: A results.json, or a summary of several runs.
    run: Which one of a summary; None is the first.

  Raises:
    runs.UserError: It holds something else, or no such run.
  """
  try:
    with open(path, encoding="utf-8") as file:
      results = json.load(file)
  except (UnicodeDecodeError, json.JSONDecodeError) as error:
    raise runs.UserError(f"{path} is no JSON: {error}") from error
  if isinstance(results, dict) and "systems" in results:
    if "provenance" in results:
      return _of_report(results)
    if "runs" in results:
      return _of_summary(path, results, run)
  raise runs.UserError(
    f"{path} holds no figures of systems: give a results.json of `python -m "
    "trainers.evaluate`, or a summary of `python -m trainers.summarize`."
  )


def _of_report(results):
  known = results["provenance"]
  lacks = [_LACKING[name] for name in _SAID if name not in known]
  lacks += _missing_versions(known)
  if "commit" in known and known["commit"] is None:
    lacks.append("the commit: it was not run in a git repository")
  flags = {name: one["flags"] for name, one in known.get("stages", {}).items()}
  figures = dict(_figures(results["systems"]))
  return Recorded(figures, flags, known, lacks)


def _of_summary(path, results, run):
  names = list(results["runs"])
  run = names[0] if run is None else run
  if run not in names:
    raise runs.UserError(
      f"{path} is about the runs {', '.join(names)}, not {run!r}."
    )
  known = {
    name: results[name] for name in ("dataset", "split", "images")
  } | results["runs"][run]
  lacks = [_LACKING[name] for name in ("commit", "hardware", "data")]
  lacks += _missing_versions(known)
  lacks.append(f"figures to more than {_SUMMARY_DIGITS} digits")
  if len(names) > 1:
    lacks.append(
      f"the figures of single runs: they are means of {len(names)}, and being "
      "within their spread is all that one run can be"
    )
  figures = dict(_figures(results["systems"]))
  return Recorded(figures, known["flags"], known, lacks, _SUMMARY_DIGITS)


_LACKING = {
  "commit": "the commit",
  "hardware": "the hardware",
  "data": "checksums of the data",
  "versions": "versions of packages",
  "stages": "flags of the stages: without them nothing can be run again",
}


def _missing_versions(known):
  missing = [n for n in _VERSIONS if n not in known.get("versions", _VERSIONS)]
  return [f"the versions of {', '.join(missing)}"] if missing else []


def _figures(value, name="", interval=None) -> Iterator[tuple[str, Figure]]:
  """Yields the figures of a part of the results, by name."""
  if isinstance(value, Mapping):
    if {"mean", "std", "min", "max"} == value.keys():
      yield name, Figure(value["mean"], value["min"], value["max"])
      return
    intervals = value.get("intervals") or {}
    for key, part in value.items():
      if key not in _NO_FIGURES:
        path = f"{name}/{key}" if name else key
        yield from _figures(part, path, intervals.get(key))
  elif isinstance(value, list):
    for number, part in enumerate(value):
      yield from _figures(part, f"{name}/{_label(part, number)}")
  elif isinstance(value, int | float) and not isinstance(value, bool):
    yield name, Figure(value, *(interval or ()))


def _label(part, number):
  """Names a part of a list: an edit by what it is, another by its number."""
  if isinstance(part, Mapping) and "attribute" in part:
    return f"{part['attribute']} {'on' if part.get('on') else 'off'}"
  return str(number)


def compare(
  before: Recorded, now: Mapping[str, Figure], tolerance: float
) -> dict[str, str]:
  """Says of each recorded figure what became of it.

  Args:
    before: What was recorded.
    now: What has been measured.
    tolerance: Share of its value by which a figure without an interval may
      differ and be within noise.

  Returns:
    By name, one of EQUAL, NOISE, DIFFERS and MISSING.
  """
  return {
    name: _verdict(figure, now.get(name), before.digits, tolerance)
    for name, figure in before.figures.items()
  }


def _verdict(before, now, digits, tolerance):
  if now is None:
    return MISSING
  value = now.value if digits is None else float(f"{now.value:.{digits}g}")
  if value == before.value:
    return EQUAL
  if before.low is not None and before.low < before.high:
    return NOISE if before.low <= value <= before.high else DIFFERS
  near = abs(value - before.value) <= tolerance * abs(before.value)
  return NOISE if near else DIFFERS
