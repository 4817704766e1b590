import json
import pathlib
from xml.etree import ElementTree

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras import plotting
from lc_keras.evaluation import report
from lc_keras.evaluation import scores

_NAMES = ("Bald", "Wearing_Hat", "Young")


def _scores(seed):
  generator = np.random.default_rng(seed)
  labels = generator.integers(0, 2, [40, 3])
  return scores.attribute_scores(generator.random([40, 3]), labels, _NAMES)


def _transformations():
  shares = {
    "read": 0.875,
    "already_read": 0.0,
    "request_read": 0.75,
    "others_changed": 0.125,
    "others_changed_strict": 0.25,
    "feature_distance": 1.5,
    "feature_ratio": 0.3,
    "converged": 0.5,
  }
  direction = shares | {
    "attribute": "Bald",
    "on": True,
    "n": 12,
    "intervals": {"read": [0.5, 0.96875]},
    "changes": {"Bald": 0.875, "Wearing_Hat": 0.0, "Young": 0.125},
  }
  empty = dict.fromkeys(direction) | {"attribute": "Bald", "on": False, "n": 0}
  return {
    "directions": [direction, empty],
    "feature_scale": 5.0,
    **{f"mean_{name}": value for name, value in shares.items()},
    "min_read": 0.875,
    "min_read_direction": {"attribute": "Bald", "on": True},
    "milliseconds": None,
  }


def _sequence():
  return [
    {
      "edits": edits,
      "taken_back": taken_back,
      "others_changed": 0.0625 * edits,
      "feature_distance": 1.0,
    }
    for edits, taken_back in ((0, 0), (1, 0), (0, 1))
  ]


def _results():
  titles = ("Majority class", "Real images", "Reconstructions", "Prior")
  names = ("majority", "real", "reconstruction", "prior")
  references = {
    name: {"title": title, "natural": _scores(seed)}
    for seed, (name, title) in enumerate(zip(names, titles))
  }
  actor = {
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
    "transformations": _transformations(),
    "sequence": _sequence(),
    "curve": {
      "dial": "strength",
      "default": 1.0,
      "points": [
        {
          "setting": 0.5,
          "read": 0.375,
          "others_changed": 0.0,
          "feature_ratio": None,
        }
      ],
    },
    "training": {
      "stages": {"vae": 100.0, "actor_0.1": 23.0},
      "seconds": 123.0,
      "new_attribute_seconds": 23.0,
    },
    "figures": {"samples_actor_0.1": 'Rows are "conditions" & <so on>.'},
  }
  return {
    "systems": references | {"actor_0.1": actor},
    "figures": {"reconstructions": "All | of them."},
    "seconds": {"vae": np.float32(100.25), "actor_0.1": 23},
    "provenance": {"run": "runs/a|b & <c>", "checkpoints": {"vae": "0123abcd"}},
  }


class ReportTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    picture = plotting.grid(np.zeros([2, 3, 8, 16, 1]))
    for name in ("reconstructions", "samples_actor_0.1"):
      plotting.save(picture, self.folder / f"{name}.png")

  def _text(self, results=None):
    """Writes the report; returns report.md."""
    report.write(self.folder, _results() if results is None else results)
    return (self.folder / "report.md").read_text()

  def _section(self, title, results=None):
    """Returns the rows of a table of report.md, split into cells."""
    (section,) = [
      section
      for section in self._text(results).split("\n## ")
      if section.startswith(f"{title}\n")
    ]
    lines = section.split("\n#")[0].splitlines()
    rows = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
    return [rows[0], *rows[2:]]

  def test_writes_every_file_and_no_other(self):
    self._text()
    self.assertEqual(
      sorted(path.name for path in self.folder.iterdir()),
      [
        "index.html",
        "reconstructions.png",
        "report.md",
        "results.json",
        "samples_actor_0.1.png",
      ],
    )

  def test_can_be_written_again(self):
    self._text()
    changed = _results()
    changed["systems"]["real"]["natural"]["accuracy"] = 0.12345
    self.assertIn("0.123", self._text(changed))
    self.assertIn("0.123", (self.folder / "index.html").read_text())

  def test_numbers_read_back(self):
    self._text()
    read = json.loads((self.folder / "results.json").read_text())
    self.assertEqual(read["systems"], _results()["systems"])
    self.assertEqual(read["seconds"], {"vae": 100.25, "actor_0.1": 23})

  def test_what_is_no_number_is_null_and_shown_as_missing(self):
    results = _results()
    results["systems"]["real"]["natural"]["accuracy"] = np.float32("nan")
    results["systems"]["prior"]["natural"]["weighted_f1"] = float("inf")
    self._text(results)

    def refuse(text):
      raise AssertionError(f"{text} is no JSON")

    text = (self.folder / "results.json").read_text()
    read = json.loads(text, parse_constant=refuse)
    self.assertIsNone(read["systems"]["real"]["natural"]["accuracy"])
    for name in ("report.md", "index.html"):
      self.assertNotIn("nan", (self.folder / name).read_text())

  def test_page_is_well_formed_and_its_links_lead_somewhere(self):
    self._text()
    page = ElementTree.parse(self.folder / "index.html")
    links = [element.get("src") for element in page.iter("img")]
    links += [element.get("href") for element in page.iter("a")]
    self.assertContainsSubset(
      ["reconstructions.png", "samples_actor_0.1.png", "results.json"], links
    )
    for link in links:
      self.assertTrue((self.folder / link).is_file(), link)
    alts = [image.get("alt") for image in page.iter("img")]
    self.assertEqual(
      alts, ["All | of them.", 'Rows are "conditions" & <so on>.']
    )
    self.assertEmpty(list(page.iter("script")))
    self.assertNotIn("http", (self.folder / "index.html").read_text())

  def test_page_and_text_show_the_same_tables(self):
    lines = self._text().splitlines()
    page = ElementTree.parse(self.folder / "index.html")
    shown = [
      ["".join(cell.itertext()) for cell in row] for row in page.iter("tr")
    ]
    written = [
      [cell.replace("\\|", "|") for cell in line[2:-2].split(" | ")]
      for line in lines
      if line.startswith("| ") and not line.startswith("| ---")
    ]
    self.assertEqual(shown, written)

  def test_tables_are_rectangular(self):
    self._text()
    page = ElementTree.parse(self.folder / "index.html")
    for table in page.iter("table"):
      self.assertLen({len(row) for row in table.iter("tr")}, 1)

  def test_values_come_with_their_intervals(self):
    rows = self._section("Realism and diversity")
    self.assertEqual(
      rows[1][:4], ["Actor", "40", "1.500 [1.250, 1.750]", "-0.250"]
    )
    self.assertIn("| 87.5 % [50.0 %, 96.9 %] |", self._text())

  def test_gaps_are_points(self):
    results = _results()
    systems = results["systems"]
    systems["real"]["natural"]["weighted_f1"] = 0.97
    systems["reconstruction"]["natural"]["weighted_f1"] = 0.93
    systems["actor_0.1"]["natural"]["weighted_f1"] = 0.95
    gaps = {row[0]: row for row in self._section("Gaps", results)}
    self.assertEqual(gaps["Reconstructions − real images"][2], "-4.0")
    self.assertEqual(gaps["Actor − reconstructions"][2], "+2.0")

  def test_direction_without_rows_is_said_so(self):
    text = self._text()
    self.assertRegex(text, r"Not measured, .* Bald off")
    self.assertRegex(text, r"\| Bald off \| 0 \| – \|")

  def test_what_an_attribute_more_costs(self):
    (row,) = self._section("What it costs")[1:]
    self.assertEqual(row[5:], ["123.0", "23.0", "vae, actor_0.1"])

  def test_drift_and_dials_are_shown(self):
    header, row = self._section("Edits one after another")
    self.assertEqual(header[1], "1 in force, 0 taken back")
    self.assertEqual(row, ["Actor", "6.2 % / 1.000", "0.0 % / 1.000"])
    dial = self._section("Dial: Actor")
    self.assertEqual(dial[1], ["0.5", "37.5 %", "0.0 %", "–"])

  def test_shows_a_split_if_there(self):
    title = "Combinations never seen in training"
    self.assertNotIn(title, self._text())
    results = _results()
    results["systems"]["actor_0.1"]["unseen"] = _scores(9)
    results["systems"]["actor_0.1"]["unseen"]["attributes"]["Bald"] = None
    self.assertLen(self._section(title, results), 2)

  def test_a_run_without_an_actor_has_a_report(self):
    results = _results()
    del results["systems"]["actor_0.1"]
    self.assertIn("Real images", self._text(results))

  @parameterized.named_parameters(
    ("part", lambda results: results.pop("seconds"), "lack seconds"),
    (
      "score",
      lambda results: results["systems"]["real"]["natural"].pop("macro_f1"),
      "macro_f1",
    ),
    (
      "table",
      lambda results: results["systems"]["real"].update(transformations={}),
      "transformations.table",
    ),
    ("title", lambda results: results["systems"]["real"].pop("title"), "title"),
    ("value", lambda results: results.update(provenance=object()), "object"),
    (
      "figure that leaves the folder",
      lambda results: results.update(figures={"../a": ""}),
      "file name",
    ),
  )
  def test_refuses_and_writes_nothing(self, spoil, message):
    results = _results()
    spoil(results)
    with self.assertRaisesRegex(ValueError, message):
      report.write(self.folder, results)
    self.assertFalse((self.folder / "results.json").exists())

  def test_refuses_a_figure_that_is_not_there(self):
    results = _results()
    results["figures"]["nowhere"] = "Nothing."
    with self.assertRaises(FileNotFoundError):
      report.write(self.folder, results)


if __name__ == "__main__":
  absltest.main()
