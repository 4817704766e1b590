"""Tests of what benchmarks share: the checks, the turns, what is written."""

import contextlib
import json
import pathlib

import psutil
from absl.testing import absltest
from absl.testing import parameterized

from benchmarks import figures
from benchmarks import outcomes
from benchmarks import pairs
from benchmarks import results_table
from benchmarks import workers

_MACHINE = {"cores_busy_before": 0.0}


class _Told:
  """A worker that is told something else when it builds."""

  def __init__(self, worker, **changes):
    self._worker = worker
    self._changes = changes

  def do(self, order, **arguments):
    if order == "build":
      arguments["case"] = {**arguments["case"], **self._changes}
    return self._worker.do(order, **arguments)


class PairsTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    stack = contextlib.ExitStack()
    cls.addClassCleanup(stack.close)
    cls.ours, cls.theirs = (
      stack.enter_context(workers.Worker(workers.OURS, "tests.counting_task"))
      for _ in range(2)
    )

  def _compare(self, **changes):
    sides = {"ours": self.ours, "other": _Told(self.theirs, **changes)}
    return pairs.compare("counting", {}, sides, rounds=3, seconds=0.01)

  def test_the_same_work_has_a_ratio_and_a_share(self):
    row = self._compare()
    self.assertEqual(row["peer_name"], "other")
    self.assertLen(row["rates"]["ours"], 3)
    self.assertBetween(row["ratio"]["median"], 0.01, 100.0)
    self.assertLessEqual(row["ratio"]["min"], row["ratio"]["median"])
    self.assertGreater(row["sgemm_share"], 0.0)
    self.assertGreater(row["peak_bytes"]["other"], 1e6)
    self.assertAlmostEqual(
      row["ours"] / 5 * row["flops_per_step"] / 1e9,
      row["sgemm_share"] * row["sgemm_gflops"]["median"],
      delta=0.9 * row["ours"] / 5 * row["flops_per_step"] / 1e9,
    )

  def test_losses_may_differ_by_rounding(self):
    self._compare(loss=0.25 * (1 + 5e-5))

  @parameterized.parameters(
    {"parameters": 4}, {"loss": 0.2501}, {"loss": float("nan")}
  )
  def test_other_work_is_not_timed(self, **changes):
    with self.assertRaisesRegex(ValueError, "they do not do the same"):
      self._compare(**changes)

  def test_who_waits_is_stopped(self):
    self.ours.do("build", case={}, folder="")
    process = psutil.Process(self.ours._process.pid)
    self.assertEqual(process.status(), psutil.STATUS_STOPPED)

  def test_a_failure_is_told_and_survived(self):
    with self.assertRaisesRegex(RuntimeError, "counting_task failed:(.|\n)*no"):
      self.ours.do("no")
    self.ours.do("build", case={}, folder="")

  def test_pytorch_that_is_not_there_is_told_how_to_get(self):
    with self.assertRaisesRegex(FileNotFoundError, "make bench"):
      workers.Worker("/nowhere/python", "tests.counting_task")


class ResultsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    with_peer = figures.comparison("one : them", "steps/s", [3, 4], [1, 2])
    with_peer["peer_name"] = "them"
    with_peer["rates"] = {"ours": [3, 4], "them": [1, 2]}
    outcomes.report(
      "speed",
      [with_peer, figures.alone("two", "s", [7.0])],
      [figures.target("one", ">= 1", 2.5, True)],
      _MACHINE,
      folder=str(self.folder),
    )
    self.page = self.folder / "page.md"
    self.page.write_text("a\n<!-- results -->\nold\n<!-- end of results -->\nb")

  def _update(self):
    results_table.update(self.folder, self.page)
    return self.page.read_text()

  def test_what_is_written_stands_for_the_first_case(self):
    results = json.loads((self.folder / "speed.json").read_text())
    self.assertEqual(results["name"], "speed")
    self.assertEqual(results["ours"], 3.5)
    self.assertEqual(results["ratio"], {"median": 2.5, "min": 2.0, "max": 3.0})
    self.assertLen(results["comparisons"], 2)
    self.assertTrue((self.folder / "speed.png").exists())

  def test_the_table_takes_the_place_of_the_last_one(self):
    text = self._update()
    self.assertRegex(text, r"(?s)^a\n<!-- results -->\n.*results -->\nb$")
    self.assertIn("| one | 3.5 steps/s | them | 2.50 (2.00 to 3.00) |", text)
    self.assertIn("| two | 7 s | | |", text)
    self.assertNotIn("old", text)
    self.assertNotIn("Provisional", text)
    self.assertEqual(self._update(), text)

  def test_a_busy_machine_is_said(self):
    path = self.folder / "speed.json"
    results = json.loads(path.read_text())
    results["machine"]["cores_busy_before"] = 1.5
    path.write_text(json.dumps(results))
    self.assertRegex(self._update(), "Provisional.*: speed.")

  def test_a_page_without_marks_is_left_alone(self):
    self.page.write_text("a")
    with self.assertRaisesRegex(ValueError, "no lines <!-- results -->"):
      self._update()


if __name__ == "__main__":
  absltest.main()
