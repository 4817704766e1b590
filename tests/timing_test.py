"""Tests of timing: checks, order of workers, and results."""

import json
import pathlib

import psutil
from absl.testing import absltest
from absl.testing import flagsaver
from absl.testing import parameterized

from benchmarks import timing


class _Told:
  """A worker that builds another case."""

  def __init__(self, worker, **changes):
    self._worker = worker
    self._changes = changes

  def do(self, order, **arguments):
    if order == "build":
      arguments["case"] = {**arguments["case"], **self._changes}
    return self._worker.do(order, **arguments)


class CompareTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    python = timing.sys.executable
    cls.ours, cls.theirs = (
      cls.enterClassContext(timing.Worker(python, "tests.counting_task"))
      for _ in range(2)
    )

  def _compare(self, **changes):
    sides = {"ours": self.ours, "other": _Told(self.theirs, **changes)}
    return timing.compare("counting", {}, sides, rounds=3, seconds=0.01)

  def test_the_same_work_has_a_ratio_and_a_share(self):
    row = self._compare()
    self.assertLen(row["rates"]["ours"], 3)
    ratio = row["ratios"]["other"]
    self.assertBetween(ratio["median"], ratio["min"], ratio["max"])
    self.assertGreater(row["sgemm_shares"]["ours"]["min"], 0.0)
    self.assertGreater(row["peak_bytes"]["other"], 1e6)

  def test_losses_may_differ_by_rounding(self):
    self._compare(loss=0.25 * (1 + 5e-5))

  @parameterized.parameters(
    {"parameters": 4}, {"loss": 0.2501}, {"loss": float("nan")}
  )
  def test_other_work_is_not_timed(self, **changes):
    with self.assertRaisesRegex(ValueError, "they do not do the same"):
      self._compare(**changes)

  def test_a_worker_without_orders_is_stopped(self):
    self.ours.do("build", case={}, folder="")
    process = psutil.Process(self.ours._process.pid)
    self.assertEqual(process.status(), psutil.STATUS_STOPPED)

  def test_a_failure_is_told_and_survived(self):
    with self.assertRaisesRegex(RuntimeError, "counting_task failed:(.|\n)*no"):
      self.ours.do("no")
    self.ours.do("build", case={}, folder="")

  def test_says_how_to_install_pytorch(self):
    with self.assertRaisesRegex(FileNotFoundError, "make bench"):
      timing.Worker("/nowhere/python", "tests.counting_task")


class ReportTest(absltest.TestCase):
  def test_ratios_are_of_neighbours(self):
    row = timing.row("one", "ms", {"ours": [1, 30, 4], "peer": [2, 10, 4]})
    self.assertEqual(
      row["ratios"], {"peer": {"median": 1.0, "min": 0.5, "max": 3.0}}
    )

  def test_writes_comparisons_with_and_without_peers(self):
    folder = pathlib.Path(self.create_tempdir())
    rows = [
      timing.row("one", "steps/s", {"ours": [3, 4], "them": [1, 2]}),
      timing.row("two", "s", {"ours": [7.0]}),
    ]
    with flagsaver.flagsaver(out_dir=str(folder)):
      timing.report("speed", rows, {"cores": 2}, more=5)
    results = json.loads((folder / "speed.json").read_text())
    self.assertEqual(
      results,
      {
        "name": "speed",
        "machine": {"cores": 2},
        "comparisons": rows,
        "more": 5,
      },
    )
    self.assertTrue((folder / "speed.png").exists())
