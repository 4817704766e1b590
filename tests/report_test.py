import json
import pathlib
from xml.etree import ElementTree

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras.evaluation import pictures
from lc_keras.evaluation import report
from lc_keras.evaluation import scores

_NAMES = ("Bald", "Wearing_Hat", "Young")


def _row(name, seed):
  generator = np.random.default_rng(seed)
  labels = generator.integers(0, 2, [40, 3])
  return {
    "name": name,
    **scores.attribute_scores(generator.random([40, 3]), labels, _NAMES),
  }


def _transformations():
  direction = {
    "attribute": "Bald",
    "on": True,
    "n": 12,
    "read": 0.875,
    "already_read": 0.0,
    "request_read": 0.75,
    "others_changed": 0.125,
    "others_changed_strict": 0.25,
    "changes": {"Bald": 0.875, "Wearing_Hat": 0.0, "Young": 0.125},
    "feature_distance": 1.5,
    "feature_ratio": 0.3,
  }
  empty = dict.fromkeys(direction) | {"attribute": "Bald", "on": False, "n": 0}
  return {
    "directions": [direction, empty],
    "feature_scale": 5.0,
    "mean_read": 0.875,
    "mean_others_changed": 0.125,
    "mean_others_changed_strict": 0.25,
    "mean_feature_ratio": 0.3,
    "min_read": 0.875,
    "min_read_direction": {"attribute": "Bald", "on": True},
  }


def _results():
  names = ("majority", "real", "reconstruction", "prior", "actor_0.1")
  return {
    "rows": [_row(name, seed) for seed, name in enumerate(names)],
    "transformations": {"actor_0.1": _transformations()},
    "seconds": {"vae": np.float32(100.25), "actor_0.1": 23},
    "provenance": {"run": "runs/a|b & <c>", "checkpoints": {"vae": "0123abcd"}},
  }


def _figures():
  image = pictures.grid(np.zeros([2, 3, 8, 16, 1]))
  return {"samples": ('Rows are "conditions" & <so on>.', image)}


class ReportTest(parameterized.TestCase):
  def _write(self, results=None, figures=None):
    folder = pathlib.Path(self.create_tempdir()) / "report"
    report.write(
      folder,
      _results() if results is None else results,
      _figures() if figures is None else figures,
    )
    return folder

  def test_writes_every_file_and_no_other(self):
    folder = self._write()
    self.assertEqual(
      sorted(path.name for path in folder.iterdir()),
      ["index.html", "report.md", "results.json", "samples.png"],
    )

  def test_can_be_written_again(self):
    folder = self._write()
    changed = _results()
    changed["rows"][1]["accuracy"] = 0.12345
    report.write(folder, changed, _figures())
    self.assertIn("0.123", (folder / "report.md").read_text())
    self.assertIn("0.123", (folder / "index.html").read_text())

  def test_numbers_read_back(self):
    results = _results()
    read = json.loads((self._write(results) / "results.json").read_text())
    self.assertEqual(read["rows"], results["rows"])
    self.assertEqual(read["seconds"], {"vae": 100.25, "actor_0.1": 23})
    self.assertEqual(read["transformations"], results["transformations"])

  def test_what_is_no_number_is_null_and_shown_as_missing(self):
    results = _results()
    results["rows"][1]["accuracy"] = np.float32("nan")
    results["rows"][2]["weighted_f1"] = float("inf")
    folder = self._write(results)

    def refuse(text):
      raise AssertionError(f"{text} is no JSON")

    text = (folder / "results.json").read_text()
    read = json.loads(text, parse_constant=refuse)
    self.assertIsNone(read["rows"][1]["accuracy"])
    self.assertIsNone(read["rows"][2]["weighted_f1"])
    for name in ("report.md", "index.html"):
      self.assertNotIn("nan", (folder / name).read_text())

  def test_page_is_well_formed_and_its_links_lead_somewhere(self):
    folder = self._write()
    page = ElementTree.parse(folder / "index.html")
    links = [element.get("src") for element in page.iter("img")]
    links += [element.get("href") for element in page.iter("a")]
    self.assertContainsSubset(["samples.png", "results.json"], links)
    for link in links:
      self.assertTrue((folder / link).is_file(), link)
    for image in page.iter("img"):
      self.assertEqual(image.get("alt"), _figures()["samples"][0])
    self.assertEmpty(list(page.iter("script")))
    self.assertNotIn("http", (folder / "index.html").read_text())

  def test_page_and_text_show_the_same_tables(self):
    folder = self._write()
    page = ElementTree.parse(folder / "index.html")
    shown = [
      ["".join(cell.itertext()) for cell in row] for row in page.iter("tr")
    ]
    lines = (folder / "report.md").read_text().splitlines()
    written = [
      [cell.replace("\\|", "|") for cell in line[2:-2].split(" | ")]
      for line in lines
      if line.startswith("| ") and not line.startswith("| ---")
    ]
    self.assertEqual(shown, written)

  def test_tables_are_rectangular(self):
    page = ElementTree.parse(self._write() / "index.html")
    for table in page.iter("table"):
      self.assertLen({len(row) for row in table.iter("tr")}, 1)

  def test_gaps_are_points(self):
    results = _results()
    results["rows"][1]["weighted_f1"] = 0.97
    results["rows"][2]["weighted_f1"] = 0.93
    results["rows"][4]["weighted_f1"] = 0.95
    text = (self._write(results) / "report.md").read_text()
    gaps = text.split("## Gaps")[1].split("## ")[0].splitlines()
    (real,) = [line for line in gaps if line.startswith("| Reconstructions")]
    (actor,) = [line for line in gaps if line.startswith("| Actor")]
    self.assertEqual(real.split(" | ")[2], "-4.0")
    self.assertEqual(actor.split(" | ")[2], "+2.0")

  def test_direction_without_rows_is_said_so(self):
    text = (self._write() / "report.md").read_text()
    self.assertRegex(text, r"Not measured, .* Bald off")
    self.assertRegex(text, r"\| Bald \| off \| 0 \| – \|")

  def test_balanced_split_is_shown_if_there(self):
    results = _results()
    self.assertNotIn(
      "balanced split", (self._write(results) / "report.md").read_text()
    )
    results["balanced"] = [_row("real", 9)]
    results["balanced"][0]["attributes"]["Bald"] = None
    self.assertIn(
      "balanced split", (self._write(results) / "report.md").read_text()
    )

  def test_a_run_without_an_actor_has_a_report(self):
    results = _results()
    results["rows"] = results["rows"][:3]
    results["transformations"] = {}
    folder = self._write(results, {})
    self.assertIn("Real images", (folder / "report.md").read_text())

  @parameterized.named_parameters(
    ("part", lambda results: results.pop("seconds"), "lack seconds"),
    ("score", lambda results: results["rows"][1].pop("macro_f1"), "macro_f1"),
    (
      "table",
      lambda results: results.update(transformations=_transformations()),
      "transformations.table",
    ),
    ("value", lambda results: results.update(provenance=object()), "object"),
  )
  def test_refuses_and_writes_nothing(self, spoil, message):
    results = _results()
    spoil(results)
    folder = pathlib.Path(self.create_tempdir()) / "report"
    with self.assertRaisesRegex(ValueError, message):
      report.write(folder, results, _figures())
    self.assertFalse(folder.exists())

  def test_refuses_a_figure_that_leaves_the_folder(self):
    with self.assertRaisesRegex(ValueError, "file name"):
      self._write(figures={"../a": next(iter(_figures().values()))})


if __name__ == "__main__":
  absltest.main()
