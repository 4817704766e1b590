"""Load and faults: no wrong answer, no lost call, and no memory that grows.

`make soak` runs this for MINUTES and leaves pictures and figures in runs/soak;
the suite, for some seconds. A server as users run it is asked over both ports
while versions come, go and are broken, configurations change, clients are
killed, hang up and run out of time, and while it is stopped and started again.
"""

import contextlib
import os
import random
import threading
import time

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras import files
from lc_keras import plotting
from tests import running_server
from tests import server_process
from tests import soak_clients
from tests import soak_held
from tests import soak_report
from tests import soak_run
from tests import soak_world

_MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
_FOLDER = os.environ.get("SOAK_FOLDER", "")
_SEED = os.environ.get("SOAK_SEED", "")
# Of the server's: --enable_batching, for example.
_FLAGS = os.environ.get("SOAK_FLAGS", "").split()
_SECONDS = 60.0 * _MINUTES or 15.0
_LOADS = 200 if _MINUTES else 0
_RESTARTS = 5 if _MINUTES else 1
# What 200 loads may add. A version that is not let go of would be seen: its
# weights alone are a megabyte. Threads there are as many as there once were
# calls at the same time, which a machine that stands still for a second makes
# more; a load must not leave any.
_LIMITS = {"memory": 20.0, "threads": 20.0, "files": 4.0}
_UNITS = {"memory": " MB", "threads": "", "files": ""}
# Clients at once, answers that each has to get, and places for calls.
_CROWD, _ANSWERS, _PLACES = 64, 3, 3
_X = np.array([[1.0, 2.0]], np.float32)


class SoakTest(absltest.TestCase):
  def test_soak(self):
    seed = _SEED or str(random.randrange(10**6) if _MINUTES else 1)
    print(f"SOAK_SEED={seed}", flush=True)
    run = soak_run.Run(self.create_tempdir().full_path, seed, _FLAGS)
    self.addCleanup(run.stop)
    run.go_on(_SECONDS, _LOADS)
    run.settle()
    run.free_slots()
    for _ in range(_RESTARTS):
      run.restart()
    trends = {name: soak_report.trend(run.samples, name) for name in _LIMITS}
    self._report(seed, run, trends)

    counts = run.world.counts
    examples = "\n".join(counts.examples)
    self.assertEqual(counts.total("wrong"), 0, examples)
    self.assertEqual(counts.total("failed"), 0, examples)
    self.assertEqual(run.exits, [0] * _RESTARTS)
    self.assertNotIn("Traceback", run.world.process.errors())
    if _MINUTES:  # A minute says nothing of where memory goes.
      for name, limit in _LIMITS.items():
        self.assertLess(
          trends[name].growth,
          limit,
          soak_report.sentence(name, _UNITS[name], trends[name]),
        )

  def _report(self, seed, run, trends):
    folder = _FOLDER or self.create_tempdir().full_path
    os.makedirs(folder, exist_ok=True)
    plotting.save(
      soak_report.picture(run.samples), os.path.join(folder, "memory.png")
    )
    text = "\n".join(
      [
        f"seed {seed}, {run.samples[-1]['seconds']:.0f} s, "
        f"{run.samples[-1]['loads']} versions loaded, {_RESTARTS} restarts",
        run.world.counts.table(),
        *(
          soak_report.sentence(name, _UNITS[name], found)
          for name, found in trends.items()
        ),
      ]
    )
    files.write_json(os.path.join(folder, "samples.json"), run.samples)
    with open(os.path.join(folder, "report.txt"), "w") as file:
      file.write(text + "\n")
    print(f"\n{text}\nMore in {folder}.", flush=True)


class CrowdTest(parameterized.TestCase):
  """More clients at once than the server has places for."""

  def setUp(self):
    super().setUp()
    self.world = soak_world.World(self.create_tempdir().full_path, "1")
    self.model = self.world.models["slow"]
    self.world.process = server_process.ServerProcess(
      os.path.join(self.world.folder, "errors.txt"),
      [
        "--model_name=slow",
        f"--model_base_path={self.model.base_path}",
        f"--grpc_max_threads={_PLACES}",
        f"--rest_api_num_threads={_PLACES}",
        # All of them wait for a place, behind each other.
        "--rest_api_timeout_in_ms=0",
      ],
    )
    self.addCleanup(self.world.process.kill)
    self.client = soak_clients.Grpc(self.world.process)
    self.addCleanup(self.client.close)
    self.world.wait_until_available(self.client.channel, "slow", 1)

  @parameterized.parameters(soak_clients.Grpc, soak_clients.Rest)
  def test_each_is_answered_in_the_end(self, kind):
    # One place is left for all of them.
    held = soak_held.Held(self.world, self.client, _PLACES - 1, 0, "spin")
    self.assertTrue(held.all_run())
    clients = [
      threading.Thread(
        target=self._ask_until_answered, args=[kind], daemon=True
      )
      for _ in range(_CROWD)
    ]
    for thread in clients:
      thread.start()
    for thread in clients:
      thread.join(2.0 * running_server.PATIENCE)
      self.assertFalse(thread.is_alive())
    held.release()
    held.count("held")
    self._assert_answered(_CROWD * _ANSWERS + _PLACES - 1)
    if kind == soak_clients.Grpc:
      self.assertIn("RESOURCE_EXHAUSTED", self.world.counts.table())
    # And afterwards, with all places free.
    with contextlib.closing(kind(self.world.process)) as client:
      self.assertTrue(self._ask(client))
    held = soak_held.Held(self.world, self.client, _PLACES - 1, _PLACES, "spin")
    self.assertTrue(held.all_run())
    held.release()
    held.count("held")
    self._assert_answered(_CROWD * _ANSWERS + 3 * _PLACES - 1)

  def _ask_until_answered(self, kind):
    with contextlib.closing(kind(self.world.process)) as client:
      answers = 0
      # Over HTTP, calls wait for a place instead.
      expected = ("RESOURCE_EXHAUSTED",) if kind == soak_clients.Grpc else ()
      while answers < _ANSWERS:
        if self._ask(client, expected=expected):
          answers += 1
        elif self.world.counts.total("failed"):
          return
        else:
          time.sleep(0.02)

  def _ask(self, client, **expected):
    seconds = np.array([0.01], np.float32)
    return soak_clients.check(
      self.world,
      "crowd",
      client,
      self.model,
      _X,
      signature="wait",
      seconds=seconds,
      **expected,
    )

  def _assert_answered(self, number):
    counts = self.world.counts
    examples = "\n".join(counts.examples)
    self.assertEqual(counts.total("wrong"), 0, examples)
    self.assertEqual(counts.total("failed"), 0, examples)
    self.assertEqual(counts.total("right"), number)


if __name__ == "__main__":
  absltest.main()
