import copy
import json
import pathlib
from xml.etree import ElementTree

import numpy as np
from absl.testing import parameterized

from lc_keras import plotting
from lc_keras.evaluation import report
from lc_keras.evaluation import scores

_NAMES = ("Bald", "Wearing_Hat", "Young")
_SHARES = {
  "read": 0.875,
  "already_read": 0.0,
  "request_read": 0.75,
  "others_changed": 0.125,
  "others_changed_strict": 0.25,
  "feature_distance": 1.5,
  "feature_ratio": 0.3,
  "converged": 0.5,
}
_EDIT = _SHARES | {
  "attribute": "Bald",
  "on": True,
  "n": 12,
  "intervals": {"read": [0.5, 0.96875]},
  "changes": {"Bald": 0.875, "Wearing_Hat": 0.0, "Young": 0.125},
}
_EMPTY = dict.fromkeys(_EDIT) | {"attribute": "Bald", "on": False, "n": 0}


def _scores(seed):
  generator = np.random.default_rng(seed)
  labels = generator.integers(0, 2, [40, 3])
  return scores.attribute_scores(generator.random([40, 3]), labels, _NAMES)


_ACTOR = {
  "title": "Actor",
  "natural": _scores(4),
  "fidelity": {
    "fid": 1.5,
    "kid": -0.25,
    "precision": 0.5,
    "recall": 0.75,
    "made_count": 40,
    "intervals": {"fid": [1.25, 1.75]},
  },
  "cost": {"milliseconds": 3.25, "steps": 1.0},
  "transformations": {
    "directions": [_EDIT, _EMPTY],
    "feature_scale": 5.0,
    **{f"mean_{name}": value for name, value in _SHARES.items()},
    "min_read": 0.875,
    "min_read_direction": {"attribute": "Bald", "on": True},
    "milliseconds": None,
  },
  "sequence": [
    {
      "edits": edits,
      "taken_back": taken_back,
      "others_changed": 0.0625 * edits,
      "feature_distance": 1.0,
    }
    for edits, taken_back in ((0, 0), (1, 0), (0, 1))
  ],
  "curve": {
    "dial": "strength",
    "default": 1.0,
    "points": [
      {"setting": 0.5, "read": 0.375, "others_changed": 0.0}
      | {"feature_ratio": None}
    ],
  },
  "training": {
    "stages": {"vae": 100.0, "actor_0.1": 23.0},
    "seconds": 123.0,
    "new_attribute_seconds": 23.0,
  },
  "figures": {"samples_actor_0.1": 'Rows are "conditions" & <so on>.'},
}
_RESULTS = {
  "systems": {
    "majority": {"title": "Majority class", "natural": _scores(0)},
    "real": {"title": "Real images", "natural": _scores(1)},
    "reconstruction": {"title": "Reconstructions", "natural": _scores(2)},
    "prior": {"title": "Prior", "natural": _scores(3)},
    "actor_0.1": _ACTOR,
  },
  "figures": {"reconstructions": "All | of them."},
  "seconds": {"vae": np.float32(100.25), "actor_0.1": 23},
  "provenance": {"run": "runs/a|b & <c>", "checkpoints": {"vae": "0123abcd"}},
}


class ReportTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.results = copy.deepcopy(_RESULTS)
    picture = plotting.grid(np.zeros([2, 3, 8, 16, 1]))
    for name in ("reconstructions", "samples_actor_0.1"):
      plotting.save(picture, self.folder / f"{name}.png")

  def _written(self):
    """Writes the report; returns its page, and results.json."""
    report.write(self.folder, self.results)
    # Fails unless the page is well-formed.
    page = ElementTree.parse(self.folder / "index.html")
    return page, json.loads(
      (self.folder / "results.json").read_text(), parse_constant=self.fail
    )

  def _tables(self):
    """Writes the report; returns the rows of each table, by its title."""
    page, _ = self._written()
    tables = {}
    for section in page.iter("section"):
      rows = [
        ["".join(cell.itertext()) for cell in row] for row in section.iter("tr")
      ]
      self.assertLen({len(row) for row in rows}, 1)
      tables[section[0].text] = rows
    return tables

  def test_writes_two_files_and_again(self):
    for accuracy in (0.12345, 0.65432):
      natural = self.results["systems"]["real"]["natural"]
      natural["accuracy"] = accuracy
      _, read = self._written()
      self.assertEqual(read["systems"], self.results["systems"])
      self.assertEqual(read["seconds"], {"vae": 100.25, "actor_0.1": 23})
      text = (self.folder / "index.html").read_text()
      self.assertIn(f"{accuracy:.3f}", text)
    self.assertEqual(
      sorted(path.name for path in self.folder.iterdir()),
      [
        "index.html",
        "reconstructions.png",
        "results.json",
        "samples_actor_0.1.png",
      ],
    )

  def test_what_is_no_number_is_null_and_shown_as_missing(self):
    systems = self.results["systems"]
    systems["real"]["natural"]["accuracy"] = np.float32("nan")
    systems["prior"]["natural"]["weighted_f1"] = float("inf")
    _, read = self._written()
    self.assertIsNone(read["systems"]["real"]["natural"]["accuracy"])
    self.assertNotIn("nan", (self.folder / "index.html").read_text().lower())

  def test_links_lead_somewhere(self):
    page, _ = self._written()
    links = [element.get("src") for element in page.iter("img")]
    links += [element.get("href") for element in page.iter("a")]
    self.assertContainsSubset(
      ["reconstructions.png", "samples_actor_0.1.png", "results.json"], links
    )
    for link in links:
      self.assertTrue((self.folder / link).is_file(), link)
    self.assertEqual(
      [image.get("alt") for image in page.iter("img")],
      ["All | of them.", 'Rows are "conditions" & <so on>.'],
    )
    self.assertEmpty(list(page.iter("script")))
    self.assertNotIn("http", (self.folder / "index.html").read_text())

  def test_tables(self):
    systems = self.results["systems"]
    for name, f1 in (("real", 0.97), ("reconstruction", 0.93)):
      systems[name]["natural"]["weighted_f1"] = f1
    systems["actor_0.1"]["natural"]["weighted_f1"] = 0.95
    tables = self._tables()
    with self.subTest("values have their intervals, but for the overview"):
      rows = tables["Realism and diversity"]
      self.assertEqual(
        rows[1][:4], ["Actor", "40", "1.500 [1.250, 1.750]", "-0.250"]
      )
      self.assertEqual(
        tables["Every edit"][1][:4],
        ["Bald on", "12", "0.0%", "87.5% [50.0%, 96.9%]"],
      )
      self.assertEqual(tables["At a glance"][-1][:2], ["Actor", "0.950"])
    with self.subTest("gaps are points"):
      gaps = {row[0]: row for row in tables["Gaps"]}
      self.assertEqual(gaps["Reconstructions − real images"][2], "-4.0")
      self.assertEqual(gaps["Actor − reconstructions"][2], "+2.0")
    with self.subTest("edits without rows are missing"):
      self.assertEqual(tables["Every edit"][2], ["Bald off", "0"] + ["–"] * 7)
      self.assertEqual(
        tables["Requested value read, by edit"],
        [
          ["Switch", "Rows", "Actor"],
          ["Bald on", "12", "87.5%"],
          ["Bald off", "0", "–"],
        ],
      )
      self.assertEqual(
        tables["What changed"][1:],
        [["Bald on", "87.5%"], ["Bald off", "–"]],
      )
    with self.subTest("costs, drift and dials"):
      self.assertEqual(
        tables["Costs"][1][5:], ["123.0", "23.0", "vae, actor_0.1"]
      )
      self.assertEqual(
        tables["Sequences of edits"],
        [
          ["", "1 in force, 0 undone", "0 in force, 1 undone"],
          ["Actor", "6.2% / 1.000", "0.0% / 1.000"],
        ],
      )
      self.assertEqual(tables["Dial: Actor"][1], ["0.5", "37.5%", "0.0%", "–"])
    with self.subTest("attributes, times and provenance"):
      self.assertEqual(
        tables["F1 by attribute"][0],
        ["Attribute", "Rows", "Majority class", "Real images"]
        + ["Reconstructions", "Prior", "Actor"],
      )
      self.assertEqual(tables["Time"][-1], ["Total", "123.2"])
      self.assertEqual(
        tables["Where the numbers come from"][1:],
        [["run", "runs/a|b & <c>"], ["checkpoints.vae", "0123abcd"]],
      )

  def test_shows_only_what_was_measured(self):
    title = "Combinations never seen in training"
    self.assertNotIn(title, self._tables())
    unseen = self.results["systems"]["actor_0.1"]["unseen"] = _scores(9)
    unseen["attributes"]["Bald"] = None
    self.assertLen(self._tables()[title], 2)
    del self.results["systems"]["actor_0.1"]
    self.assertNotIn("Edits", self._tables())

  @parameterized.named_parameters(
    ("value", lambda results: results.update(provenance=object()), "object"),
    (
      "figure that leaves the folder",
      lambda results: results.update(figures={"../a": ""}),
      "file name",
    ),
    (
      "figure that is not there",
      lambda results: results.update(figures={"nowhere": ""}),
      "nowhere.png",
    ),
  )
  def test_refuses_and_writes_nothing(self, spoil, message):
    spoil(self.results)
    with self.assertRaisesRegex((ValueError, FileNotFoundError), message):
      report.write(self.folder, self.results)
    self.assertFalse((self.folder / "results.json").exists())
