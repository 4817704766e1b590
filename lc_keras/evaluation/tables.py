"""The tables of a report: results in, titles, headers and rows of text out.

Only differences and sums are computed here, so that numbers and page cannot
disagree.
"""

import json
from collections.abc import Callable, Mapping

_MISSING = "–"
_SCORES = {
  "accuracy": "Accuracy",
  "weighted_precision": "Weighted precision",
  "weighted_recall": "Weighted recall",
  "weighted_f1": "Weighted F1",
  "macro_precision": "Macro precision",
  "macro_recall": "Macro recall",
  "macro_f1": "Macro F1",
}
_GAP_SCORES = ("accuracy", "weighted_f1", "macro_f1")
_SPLITS = {
  "natural": (
    "Attributes read from samples",
    "The pixel classifier's reading against the labels of the held-out split."
    " Majority class answers every row alike; real images bound what the"
    " classifier can read, reconstructions what the generative model can"
    " show; prior samples know nothing of the labels.",
  ),
  "balanced": (
    "The balanced split",
    "Each attribute scored on rows of which half have it, so that rare ones"
    " count.",
  ),
  "unseen": (
    "Combinations never seen in training",
    "Each is one switched attribute away from one that was seen.",
  ),
}
_FIDELITY = {
  "fid": "FID",
  "kid": "KID",
  "precision": "Precision",
  "recall": "Recall",
}


def basis(provenance: Mapping) -> str:
  """Returns in one line what the numbers hold for; the table has it all."""
  return " · ".join(
    f"{name}: {value}"
    for name, value in provenance.items()
    if isinstance(value, int | float | str) and len(str(value)) <= 40
  )


def comparisons(results: Mapping) -> list[dict]:
  """Returns the tables in which systems stand side by side."""
  systems = results["systems"]
  tables = [_overview(systems)]
  for split, (title, note) in _SPLITS.items():
    tables.append(_samples(systems, split, title, note))
  tables.append(_gaps(systems))
  tables.append(_realism(systems))
  tables.append(_identity(systems))
  for measure, title in (
    ("read", "Asked value read, by edit"),
    ("others_changed", "Others changed, by edit"),
    ("converged", "Converged, by edit"),
  ):
    tables.append(_by_edit(systems, measure, title))
  tables.append(_drift(systems))
  tables += _dials(systems)
  tables.append(_costs(systems))
  for score, title in (
    ("f1", "F1 by attribute"),
    ("precision", "Precision by attribute"),
    ("recall", "Recall by attribute"),
  ):
    tables.append(_by_attribute(systems, score, title))
  return [table for table in tables if table["rows"]]


def details(system: Mapping) -> list[dict]:
  """Returns the tables of one system."""
  if "transformations" not in system:
    return []
  return [_directions(system["transformations"]), _changes(system)]


def records(results: Mapping) -> list[dict]:
  """Returns what it took, and what the numbers come from."""
  return [
    _seconds(results["seconds"]),
    {
      "title": "Where the numbers come from",
      "note": "",
      "header": ["", ""],
      "rows": list(_flat(results["provenance"])),
    },
  ]


def _overview(systems):
  columns = {
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
  return {
    "title": "At a glance",
    "note": "Every system answers the same requests on the same held-out"
    " images. Below is all of it, with 95% confidence intervals.",
    "header": ["", *columns],
    "rows": [
      [
        system["title"],
        *(text(_get(system, *keys)) for text, *keys in columns.values()),
      ]
      for system in systems.values()
    ],
  }


def _samples(systems, split, title, note):
  return {
    "title": title,
    "note": note,
    "header": ["", "Rows", *_SCORES.values()],
    "rows": [
      [
        system["title"],
        _count(_get(system, split, "count")),
        *(_sure(system[split], score, _score) for score in _SCORES),
      ]
      for system in systems.values()
      if split in system
    ],
  }


def _gaps(systems):
  """Returns what each step loses, in points of a hundredth."""
  rows = []
  for name, system in systems.items():
    other = systems.get(
      "real" if name == "reconstruction" else "reconstruction"
    )
    count = _get(system, "natural", "count")
    # Other rows have other labels: no gap between systems.
    same = count is not None and count == _get(other, "natural", "count")
    if name in ("majority", "real") or not same:
      continue
    rows.append(
      [
        f"{system['title']} − {_lower(other['title'])}",
        *(
          _points(system["natural"][score], other["natural"][score])
          for score in _GAP_SCORES
        ),
      ]
    )
  return {
    "title": "Gaps",
    "note": "Differences in points, a hundredth of accuracy or F1, between"
    " systems that answered the same number of rows.",
    "header": ["", *(_SCORES[score] for score in _GAP_SCORES)],
    "rows": rows,
  }


def _realism(systems):
  return {
    "title": "Realism and diversity",
    "note": "In the feature space of the pixel classifier, against real images"
    " of another held-out split; the row of real images is the floor. FID falls"
    " with more rows: compare it among rows of one number. Diversity: the mean"
    " feature distance between two samples with the same labels, and that over"
    " the distance between two real images with them.",
    "header": ["", "Rows", *_FIDELITY.values(), "Diversity", "Ratio"],
    "rows": [
      [
        system["title"],
        _count(_get(system, "fidelity", "made_count")),
        *(_sure(system["fidelity"], name, _score) for name in _FIDELITY),
        _sure(system.get("diversity"), "distance", _score),
        _sure(system.get("diversity"), "ratio", _score),
      ]
      for system in systems.values()
      if "fidelity" in system
    ],
  }


def _identity(systems):
  shares = {
    "mean_read": "Asked value read",
    "mean_request_read": "Whole request read",
    "mean_others_changed": "Others changed",
    "mean_others_changed_strict": "Others, strictly",
    "mean_converged": "Converged",
  }
  distances = {
    "mean_feature_ratio": "Feature distance, ratio",
    "mean_distance": "Latent distance",
    "mean_steps": "Steps",
  }
  rows = []
  for system in systems.values():
    if "transformations" not in system:
      continue
    table = system["transformations"]
    worst = table["min_read_direction"]
    rows.append(
      [
        system["title"],
        *(_sure(table, name, _share) for name in shares),
        *(_sure(table, name, _score) for name in distances),
        f"{worst['attribute']} {_switch(worst['on'])},"
        f" {_share(table['min_read'])}",
      ]
    )
  return {
    "title": "Edits",
    "note": "Held-out images with one attribute switched, read by the pixel"
    " classifier and compared with the reconstruction, averaged over attributes"
    " and directions. Others: any attribute that the request is not about"
    " (strictly: any but the switched one). Ratio: feature distance over that"
    " between two different images. Latent distance: L_dist of the paper.",
    "header": ["", *shares.values(), *distances.values(), "Least read"],
    "rows": rows,
  }


def _by_edit(systems, measure, title):
  """Returns a share for each attribute and direction, a column a system."""
  shown = [
    system
    for system in systems.values()
    if measure in _get(system, "transformations", "directions", 0, default={})
  ]
  directions = shown[0]["transformations"]["directions"] if shown else []
  return {
    "title": title,
    "note": "Share of held-out images.",
    "header": ["Switch", "Rows", *(system["title"] for system in shown)],
    "rows": [
      [
        _switched(row),
        _count(row["n"]),
        *(
          _share(system["transformations"]["directions"][place][measure])
          for system in shown
        ),
      ]
      for place, row in enumerate(directions)
    ],
  }


def _drift(systems):
  shown = [system for system in systems.values() if "sequence" in system]
  states = shown[0]["sequence"][1:] if shown else []
  return {
    "title": "Edits one after another",
    "note": "Each edit is made of the image that the last one left; then all"
    " are taken back in turn. Share of images in which an attribute that is"
    " not under an edit reads otherwise than at first / feature distance to the"
    " first state.",
    "header": [
      "",
      *(f"{s['edits']} in force, {s['taken_back']} taken back" for s in states),
    ],
    "rows": [
      [
        system["title"],
        *(
          f"{_share(state['others_changed'])} /"
          f" {_score(state['feature_distance'])}"
          for state in system["sequence"][1:]
        ),
      ]
      for system in shown
    ],
  }


def _dials(systems):
  """Returns one table for each system that has a dial."""
  return [
    {
      "title": f"Dial: {system['title']}",
      "note": "A smaller number of held-out images per attribute and direction"
      " than elsewhere.",
      "header": [
        system["curve"]["dial"].capitalize(),
        "Asked value read",
        "Others changed",
        "Feature distance, ratio",
      ],
      "rows": [
        [
          f"{point['setting']:g}",
          _share(point["read"]),
          _share(point["others_changed"]),
          _score(point["feature_ratio"]),
        ]
        for point in system["curve"]["points"]
      ],
    }
    for system in systems.values()
    if "curve" in system
  ]


def _costs(systems):
  return {
    "title": "What it costs",
    "note": "Milliseconds an image, on this machine, decoder included, once"
    " compiled. Training: all stages that a system is made of, each as long as"
    " it took. One more attribute: those of them that look at labels.",
    "header": [
      "",
      "Steps, sample",
      "Sample, ms",
      "Steps, edit",
      "Edit, ms",
      "Training, s",
      "One more attribute, s",
      "Stages",
    ],
    "rows": [
      [
        system["title"],
        _duration(_get(system, "cost", "steps")),
        _duration(_get(system, "cost", "milliseconds")),
        _duration(_get(system, "transformations", "mean_steps")),
        _duration(_get(system, "transformations", "milliseconds")),
        _duration(system["training"]["seconds"]),
        _duration(system["training"]["new_attribute_seconds"]),
        ", ".join(system["training"]["stages"]),
      ]
      for system in systems.values()
      if "training" in system
    ],
  }


def _by_attribute(systems, score, title):
  shown = [system for system in systems.values() if "natural" in system]
  first = shown[0]["natural"]["attributes"] if shown else {}
  return {
    "title": title,
    "note": "Positives: held-out rows that have the attribute.",
    "header": [
      "Attribute",
      "Positives",
      *(system["title"] for system in shown),
    ],
    "rows": [
      [
        name,
        _count(_get(first, name, "support")),
        *(
          _score(_get(system, "natural", "attributes", name, score))
          for system in shown
        ),
      ]
      for name in first
    ],
  }


def _directions(table):
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
      _switched(row),
      _count(row["n"]),
      *(_sure(row, share, _share) for share in shares),
      _sure(row, "feature_distance", _score),
      _sure(row, "feature_ratio", _score),
    ]
    for row in table["directions"]
  ]
  note = (
    "Before: the share that reads so without any request. Whole request: the"
    " attribute and all that it rules out. Ratio: feature distance over that"
    f" between two different images, {_score(table['feature_scale'])}."
  )
  empty = [_switched(row) for row in table["directions"] if not row["n"]]
  if empty:
    note += f" Not measured, for want of held-out rows: {', '.join(empty)}."
  return {
    "title": "Every edit",
    "note": note,
    "header": [
      "Switch",
      "Rows",
      "Before",
      "Asked value read",
      "Whole request read",
      "Others changed",
      "Others, strictly",
      "Feature distance",
      "Ratio",
    ],
    "rows": rows,
  }


def _changes(system):
  """Returns the share of rows in which each attribute changed."""
  directions = system["transformations"]["directions"]
  columns = list(dict.fromkeys(row["attribute"] for row in directions))
  return {
    "title": "What changed",
    "note": "Share of rows in which the attribute of the column reads otherwise"
    " than in the reconstruction, for each switch.",
    "header": ["Switch", *columns],
    "rows": [
      [
        _switched(row),
        *(_share(_get(row, "changes", column)) for column in columns),
      ]
      for row in directions
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


def _flat(mapping, prefix=""):
  """Yields [dotted name, text] for a mapping that may nest."""
  for key, value in mapping.items():
    if isinstance(value, dict):
      yield from _flat(value, f"{prefix}{key}.")
    else:
      text = value if isinstance(value, str) else json.dumps(value)
      yield [f"{prefix}{key}", text]


def _sure(row, name, text: Callable):
  """Returns a value with its interval, if it has one."""
  shown, interval = text(_get(row, name)), _get(row, "intervals", name)
  if interval is None:
    return shown
  low, high = (text(bound) for bound in interval)
  return f"{shown} [{low}, {high}]"


def _get(value, *keys, default=None):
  """Follows keys; `default` where one is missing or None on the way."""
  for key in keys:
    try:
      value = value[key]
    except (KeyError, IndexError, TypeError):
      return default
  return value


def _switched(row):
  return f"{row['attribute']} {_switch(row['on'])}"


def _switch(on):
  return "on" if on else "off"


def _lower(title):
  return title[:1].lower() + title[1:]


def _score(value):
  """Returns three decimals; fewer of large numbers, which have more before."""
  if value is None:
    return _MISSING
  decimals = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
  return f"{value:,.{decimals}f}"


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
