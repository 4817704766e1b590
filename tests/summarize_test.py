import json
import pathlib

from absl.testing import parameterized
from PIL import Image

from lc_keras.evaluation import summary
from tests import programs
from trainers import summarize


def _report(seed, f1, **provenance):
  return {
    "systems": {
      "real": {"title": "Real images", "natural": {"weighted_f1": 0.75}},
      "actor_0.1": {
        "title": "Actor",
        "natural": {
          "weighted_f1": f1,
          "intervals": {"weighted_f1": [0.0, 1.0]},
        },
        "fidelity": {"fid": None if seed == 1 else 2.0},
        "transformations": {
          "directions": [{"attribute": "Bald", "on": True, "read": f1}],
          "min_read_direction": {"attribute": f"A{seed}", "on": True},
        },
      },
    },
    "provenance": {
      "dataset": "toon_faces/tiny",
      "split": "test",
      "images": 12,
      "seed": seed,
      "versions": {"keras": "3"},
      "weights": {"vae": "ab"},
    }
    | provenance,
  }


class SummarizeTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def _write(self, name, report):
    for stage, text in (
      ("vae", "--data_dir=/a\n--steps=3\n--beta=1\n"),
      ("report", ""),
    ):
      (self.folder / name / stage).mkdir(parents=True, exist_ok=True)
      (self.folder / name / stage / "flags.cfg").write_text(text)
    path = self.folder / name / "report"
    (path / "results.json").write_text(json.dumps(report))
    grey = (50 * report["provenance"]["seed"],) * 3
    Image.new("RGB", (4, 3), grey).save(path / "samples.png")

  def _summarize(self, *names):
    folders = ",".join(str(self.folder / name) for name in names)
    out = self.folder / "made" / "out.json"
    programs.run(summarize, f"--runs={folders}", f"--out={out}")
    return json.loads(out.read_text())

  def test_mean_and_spread_of_every_figure(self):
    for seed, f1 in enumerate((0.5, 0.75, 1.0)):
      self._write(f"run_{seed}", _report(seed, f1))
    result = self._summarize("run_2", "run_1", "run_0")
    actor = result["systems"]["actor_0.1"]
    self.assertEqual(
      actor["natural"],
      {"weighted_f1": {"mean": 0.75, "std": 0.25, "min": 0.5, "max": 1.0}},
    )
    (direction,) = actor["transformations"]["directions"]
    self.assertEqual((direction["attribute"], direction["on"]), ("Bald", True))
    self.assertEqual(direction["read"]["std"], 0.25)
    # A figure that one run lacks is the mean of the others.
    self.assertEqual(actor["fidelity"]["fid"]["mean"], 2.0)
    # Values that are not figures are kept where all runs agree.
    worst = actor["transformations"]["min_read_direction"]
    self.assertEqual(worst, {"attribute": None, "on": True})
    self.assertEqual(actor["runs"], 3)

    with self.subTest("what the figures come from"):
      self.assertEqual(result["dataset"], "toon_faces/tiny")
      run = list(result["runs"].values())[0]
      self.assertEqual((run["seed"], run["weights"]), (2, {"vae": "ab"}))
      self.assertEqual(run["flags"]["vae"], "--steps=3 --beta=1")
      self.assertIn("trainers.summarize --runs=", result["command"])
    with self.subTest("the first one's pictures, and nothing else"):
      made = self.folder / "made"
      with Image.open(made / "out_samples.jpg") as picture:
        self.assertEqual(picture.convert("RGB").getpixel((3, 2)), (100,) * 3)
      self.assertEqual(
        sorted(path.name for path in made.iterdir()),
        ["out.json", "out_samples.jpg"],
      )
    with self.subTest("the same again"):
      before = (made / "out.json").read_bytes()
      self._summarize("run_2", "run_1", "run_0")
      self.assertEqual((made / "out.json").read_bytes(), before)

  def test_table_and_systems_of_some_runs(self):
    lacking = _report(1, 0.7)
    del lacking["systems"]["actor_0.1"]
    self._write("a", _report(0, 0.5))
    self._write("b", _report(2, 0.75))
    self._write("c", lacking)
    systems = self._summarize("a", "b", "c")["systems"]
    self.assertEqual(systems["actor_0.1"]["runs"], 2)
    table = summary.table(systems).splitlines()
    self.assertLen({line.count("|") for line in table}, 1)
    self.assertIn("| Actor | 2 | 0.625 ± 0.177 |", table[-1])
    self.assertIn("| Real images | 3 | 0.750 |", table[-2])

  @parameterized.parameters(
    {"dataset": "celeb_a"}, {"split": "validation"}, {"images": 13}
  )
  def test_refuses_runs_that_measured_something_else(self, **provenance):
    self._write("a", _report(0, 0.5))
    self._write("b", _report(1, 0.5, **provenance))
    ((name, value),) = provenance.items()
    with self.assertRaisesRegex(ValueError, f"differ in {name}.*{value}"):
      self._summarize("a", "b")

  def test_refuses_a_run_twice_or_without_a_report(self):
    self._write("a", _report(0, 0.5))
    with self.assertRaisesRegex(ValueError, "twice"):
      self._summarize("a", "a")
    with self.assertRaisesRegex(ValueError, "trainers.evaluate"):
      self._summarize("a", "b")
