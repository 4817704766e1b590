"""Tests that a seed determines all that a run leaves, and of doing it again."""

import contextlib
import importlib
import json
import pathlib
import subprocess
from unittest import mock

import keras
from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras import files
from lc_keras.models import storage
from tests import testing
from trainers import code_version
from trainers import programs
from trainers import recorded
from trainers import reproduce
from trainers import runs

# Before anything starts TensorFlow.
testing.two_logical_cpus()

_ROOT = pathlib.Path(__file__).parents[1]
_FUNCTIONS = {"data": "prepare", "latents": "encode", "evaluate": "evaluate"}
# Config, and more flags.
_JOBS = (
  ("data", ()),
  ("vae", ("--seed=3", "--replicas=1", "--steps_per_epoch=2")),
  ("latents", ()),
  ("classifier", ("--seed=4", "--steps_per_epoch=2")),
  ("evaluate", ("--systems=prior",)),
)
_TRAINED = ("vae", "classifier")


def _job(name, *arguments):
  """Does what `python -m trainers.<name>` does."""
  # Layers are named, and their names saved, as in a process of their own.
  keras.utils.clear_session()
  module = importlib.import_module(f"trainers.{name}")
  values = flags.FlagValues()
  module.define_flags(values)
  # Flagfiles name each other from the root folder.
  with contextlib.chdir(_ROOT):
    values([name, *arguments])
  return getattr(module, _FUNCTIONS.get(name, "train"))(values)


def _in_this_process(self, name, dash_m, module, *arguments):
  """Stands in for `Programs.run`, which starts TensorFlow anew every time."""
  del self, name, dash_m
  _job(module.removeprefix("trainers."), *arguments)


class ReproduceTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.results = self.folder / "run" / "report" / "results.json"

  def _settings(self, *arguments):
    values = flags.FlagValues()
    reproduce.define_flags(values)
    values(
      [
        "reproduce",
        f"--results={self.results}",
        f"--run_dir={self.folder / 'again'}",
        f"--data_dir={self.folder / 'data'}",
        *arguments,
      ]
    )
    return values

  def test_the_same_flags_make_the_same_bytes(self):
    for config, more in _JOBS:
      _job(
        config,
        f"--flagfile=configs/tiny/{config}.cfg",
        f"--run_dir={self.folder / 'run'}",
        f"--data_dir={self.folder / 'data'}",
        *more,
      )
    report = json.loads(self.results.read_text())

    with self.subTest("the report says what it comes from"):
      known = report["provenance"]
      self.assertContainsSubset(
        {"lc_keras", "python", "tensorflow", "keras", "numpy"},
        known["versions"],
      )
      self.assertIn("commit", known)
      self.assertGreater(known["hardware"]["memory_gib"], 0)
      self.assertEqual(
        list(known["data"]),
        ["train", "validation", "test", "balanced", "latents"],
      )
      self.assertIn("--seed=4", known["stages"]["classifier"]["flags"])
      self.assertIn("--replicas=1", known["stages"]["vae"]["flags"])
      self.assertNotIn(str(self.folder), json.dumps(known["stages"]))

    with mock.patch.object(programs.Programs, "run", _in_this_process):
      verdicts = reproduce.reproduce(self._settings())

    with self.subTest("every figure is equal"):
      self.assertGreater(len(verdicts), 100)
      self.assertEqual(set(verdicts.values()), {recorded.EQUAL})
      self.assertContainsSubset(
        {"reconstruction/natural/weighted_f1", "prior/fidelity/fid"}, verdicts
      )

    with self.subTest("all weights are equal, byte by byte"):
      for stage in _TRAINED:
        first, again = (
          files.checksum(str(self.folder / name / stage / storage.WEIGHTS))
          for name in ("run", "again")
        )
        self.assertEqual(first, again, stage)
      told = json.loads((self.folder / "again/reproduction.json").read_text())
      self.assertEmpty(
        [line for line in told["differences"] if "no commit" not in line]
      )

    with self.subTest("what differs is told"):
      known["versions"]["keras"] = "2.0"
      known["data"]["test"] = "another"
      natural = report["systems"]["prior"]["natural"]
      natural["accuracy"] = -1.0
      natural["intervals"]["accuracy"] = [-1.1, -0.9]
      self.results.write_text(json.dumps(report))
      with mock.patch.object(programs.Programs, "run", _in_this_process):
        verdicts = reproduce.reproduce(self._settings())
      self.assertEqual(verdicts["prior/natural/accuracy"], recorded.DIFFERS)
      told = json.loads((self.folder / "again/reproduction.json").read_text())
      self.assertIn("versions: keras was 2.0", " ".join(told["differences"]))
      self.assertIn("data: test was another", " ".join(told["differences"]))


class OrderTest(absltest.TestCase):
  def test_stages_are_run_after_what_they_need(self):
    lines = dict.fromkeys(("report", "flow", "latents", "vae", "judge"), "")
    lines["mine"] = "--distance_weight=0.1 --stage=mine"
    self.assertEqual(
      reproduce.order(lines),
      [
        ("vae", "vae"),
        ("latents", "latents"),
        ("flow", "flow"),
        ("mine", "actor"),
        ("report", "evaluate"),
      ],
    )

  def test_nothing_is_run_if_no_flags_were_recorded(self):
    with self.assertRaisesRegex(runs.UserError, "not recorded"):
      reproduce.order({})


class RecordedTest(parameterized.TestCase):
  def _read(self, results, run=None):
    path = self.create_tempfile().full_path
    pathlib.Path(path).write_text(json.dumps(results))
    return recorded.read(path, run)

  @parameterized.parameters(
    (0.5, recorded.EQUAL),
    (0.59, recorded.NOISE),
    (0.61, recorded.DIFFERS),
  )
  def test_an_interval_says_what_noise_is(self, now, verdict):
    before = self._read(
      {
        "systems": {
          "a": {"natural": {"f1": 0.5, "intervals": {"f1": [0.4, 0.6]}}}
        },
        "provenance": {},
      }
    )
    verdicts = recorded.compare(
      before, {"a/natural/f1": recorded.Figure(now)}, 0.0
    )
    self.assertEqual(verdicts, {"a/natural/f1": verdict})

  def test_without_an_interval_the_tolerance_does(self):
    before = self._read({"systems": {"a": {"x": 2.0}}, "provenance": {}})
    for now, verdict in ((2.1, recorded.NOISE), (2.3, recorded.DIFFERS)):
      verdicts = recorded.compare(before, {"a/x": recorded.Figure(now)}, 0.1)
      self.assertEqual(verdicts, {"a/x": verdict})
    self.assertEqual(recorded.compare(before, {}, 0.1)["a/x"], "missing")

  def test_times_and_rows_are_no_figures(self):
    before = self._read(
      {
        "systems": {
          "a": {
            "cost": {"milliseconds": 3.0, "steps": 1},
            "training": {"seconds": 9.0},
            "failures": [{"row": 1}],
          }
        },
        "provenance": {},
      }
    )
    self.assertEqual(list(before.figures), ["a/cost/steps"])

  def test_an_older_report_is_told_what_it_lacks(self):
    before = self._read(
      {"systems": {}, "provenance": {"versions": {"keras": "3"}}}
    )
    lacks = "; ".join(before.lacks)
    for word in ("commit", "hardware", "data", "flags", "python"):
      self.assertIn(word, lacks)

  def test_published_summaries_say_how_to_run_them_again(self):
    for path in sorted((_ROOT / "docs/results").glob("*.json")):
      if path.name == "labels.json":
        with self.assertRaisesRegex(runs.UserError, "no figures of systems"):
          recorded.read(str(path))
        continue
      with self.subTest(path.name):
        before = recorded.read(str(path))
        self.assertIn("the commit", before.lacks)
        self.assertNotEmpty(before.figures)
        stages = dict(reproduce.order(before.flags))
        self.assertEqual(stages["actor_0.1"], "actor")
        with self.assertRaisesRegex(runs.UserError, "not 'none'"):
          recorded.read(str(path), "none")


class CommitTest(absltest.TestCase):
  def test_knows_the_commit_and_whether_files_were_changed(self):
    folder = self.create_tempdir().full_path

    def git(*arguments):
      identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
      subprocess.run(
        ["git", "-C", folder, *identity, *arguments],
        check=True,
        capture_output=True,
      )

    path = pathlib.Path(folder) / "code.py"
    path.write_text("1")
    code_version.commit.cache_clear()
    self.assertIsNone(code_version.commit(folder))
    git("init")
    git("add", "code.py")
    git("commit", "-m", "First")
    code_version.commit.cache_clear()
    self.assertFalse(code_version.commit(folder)["dirty"])
    self.assertLen(code_version.commit(folder)["commit"], 40)
    path.write_text("2")
    code_version.commit.cache_clear()
    self.assertTrue(code_version.commit(folder)["dirty"])

  def test_another_repository_around_the_code_is_not_its_own(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    subprocess.run(["git", "-C", folder, "init"], check=True)
    (folder / "inner").mkdir()
    self.assertIsNone(code_version.commit(str(folder / "inner")))


if __name__ == "__main__":
  absltest.main()
