"""Tests of study and commands: the commands, and their order."""

import json
import os
import pathlib
import signal
import sys
import threading
import time
from unittest import mock

from absl import flags
from absl.testing import parameterized

from tests import programs
from trainers import commands
from trainers import preemption
from trainers import study


class _CommandsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.commands = []
    self.exit_code = 0
    self.enter_context(
      mock.patch.object(commands.subprocess, "Popen", self._start)
    )

  def _start(self, command, env=None, **streams):
    self.assertEqual(command[0], sys.executable)
    self.commands.append(command[1:])
    self.environment = env

    def wait():
      self.started_before_a_wait = len(self.commands)
      return self.exit_code

    return mock.Mock(**{"wait.side_effect": wait, "poll.return_value": 0})


class StudyTest(_CommandsTest):
  def _study(self, *arguments):
    programs.run(
      study,
      f"--run_dir={self.folder}",
      "--config_dir=configs/tiny",
      "--results=results.json",
      *arguments,
    )
    jobs = [(command[1], command[2:]) for command in self.commands]
    return [(job.removeprefix("trainers."), rest) for job, rest in jobs]

  def test_looks_at_pixels_once(self):
    once = "--once=conditional_vae,actor:actor_0"
    jobs = [job for job, _ in self._study("--seeds=3,7", once)]
    each = ["attributes", "realism", "flow", "linear", "actor"]
    self.assertEqual(
      jobs,
      ["data", "vae", "latents", "classifier"]
      + [*each, "conditional_vae", "actor", "evaluate"]
      + [*each, "evaluate", "summarize"],
    )

  def test_each_seed_has_a_run_that_shares_the_first_ones_model(self):
    ran = self._study("--seeds=3,7", "--jobs=attributes,linear")
    folders = [f"{self.folder}/seed_{seed}" for seed in (3, 7)]
    base = f"--base_run={folders[0]}"
    seen = {folder: [] for folder in folders}
    for job, arguments in ran[:-1]:
      (folder,) = (f for f in folders if f"--run_dir={f}" in arguments)
      self.assertEqual(base in arguments, folder == folders[1])
      seen[folder] += [a for a in arguments if a.startswith("--seed")]
      # A linear fit is deterministic, and has no such flag.
      if job in ("attributes", "evaluate"):
        self.assertTrue(seen[folder])
    self.assertEqual(
      seen, {folders[0]: ["--seed=3"] * 2, folders[1]: ["--seed=7"] * 2}
    )
    self.assertEqual(
      ran[-1],
      (
        "summarize",
        [f"--runs={folders[0]},{folders[1]}", "--out=results.json"],
      ),
    )

  def test_a_job_may_have_a_config_of_another_name(self):
    (_, arguments), *_ = self._study("--generator=vae:vae_blurry", "--jobs=")
    self.assertIn("--flagfile=configs/tiny/vae_blurry.cfg", arguments)

  @parameterized.parameters("", "one", "1,two")
  def test_refuses_what_are_no_seeds(self, seeds):
    with self.assertRaisesRegex(flags.IllegalFlagValueError, "whole numbers"):
      self._study(f"--seeds={seeds}")


class CommandsTest(_CommandsTest):
  def _commands(self):
    return commands.Commands(str(self.folder), "data", "configs/tiny")

  def test_notes_seconds_and_keeps_the_longest(self):
    clock = mock.patch.object(
      commands.time, "monotonic", side_effect=[0, 5, 10, 11]
    )
    with clock:
      self._commands().train("vae")
      # The second time, the job is finished and only prints a message.
      self._commands().train("vae")
    written = json.loads((self.folder / commands.SECONDS).read_text())
    self.assertEqual(written, {"vae": 5})

  @parameterized.parameters(
    (130, KeyboardInterrupt),
    (75, preemption.Terminated),
    (1, ValueError),
  )
  def test_stops_where_a_job_stops(self, code, error):
    self.exit_code = code
    with self.assertRaises(error):
      self._commands().train("vae")
    self.assertFalse((self.folder / commands.SECONDS).exists())

  def test_runs_jobs_side_by_side(self):
    run = self._commands()
    run.train_together("flow", "attributes")
    self.assertEqual(self.started_before_a_wait, 2)
    self.assertCountEqual(run.seconds, ["flow", "attributes"])
    threads = int(self.environment["TF_NUM_INTRAOP_THREADS"])
    self.assertEqual(threads, max(1, os.cpu_count() // 2))
    self.assertCountEqual(
      os.listdir(self.folder / "logs"), ["flow.txt", "attributes.txt"]
    )

  def test_one_of_several_fails(self):
    self.exit_code = 1
    with self.assertRaisesRegex(ValueError, "or in the file that it prints"):
      self._commands().train_together("flow", "attributes")


class StopTest(parameterized.TestCase):
  def test_a_job_that_is_told_to_stop_may_keep_what_it_has(self):
    # Its end takes longer than the 0.25 seconds of subprocess.run.
    folder = self.create_tempdir()
    kept = pathlib.Path(folder, "kept")
    slow = (
      "import pathlib, signal, sys, time\n"
      "def stop(*_):\n"
      "  time.sleep(0.5)\n"
      f"  pathlib.Path({str(kept)!r}).touch()\n"
      "  sys.exit(75)\n"
      "signal.signal(signal.SIGTERM, stop)\n"
      f"pathlib.Path({str(kept)!r} + '.begun').touch()\n"
      "signal.pause()\n"
    )
    run = commands.Commands(str(folder), "data", "configs/tiny")

    def tell():
      while not os.path.exists(f"{kept}.begun"):
        time.sleep(0.02)
      os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=tell).start()
    with preemption.raising(), self.assertRaises(preemption.Terminated):
      run.run("slow", "-c", slow)
    self.assertTrue(kept.exists())
