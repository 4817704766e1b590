"""Load and faults: no wrong answer, no lost call, no growth of memory.

`make soak` runs this for MINUTES and writes pictures and figures to runs/soak;
the suite runs it for some seconds. A server, started as by users, is called
over both ports while versions are added, removed and broken, configurations
change, clients disconnect and miss deadlines, and while it is restarted.
"""

import contextlib
import os
import random
import time
import types

import numpy as np
import pandas as pd
from absl.testing import absltest
from absl.testing import parameterized
from scipy import stats

from lc_keras import files
from tests import running_server
from tests import server_process
from tests import soak_parts
from tests import soak_world

_MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
_FOLDER = os.environ.get("SOAK_FOLDER", "")
_SEED = os.environ.get("SOAK_SEED", "")
# Flags of the server, such as --enable_batching.
_FLAGS = os.environ.get("SOAK_FLAGS", "").split()
_SECONDS = 60.0 * _MINUTES or 5.0
_LOADS = 200 if _MINUTES else 0
_RESTARTS = 5 if _MINUTES else 1
# Most growth in 200 loads. A version that is not freed would be detected: its
# weights alone are a megabyte. The number of threads is that of the most
# simultaneous calls, which increases when the machine stalls.
_LIMITS = {"memory": 20.0, "threads": 20.0, "files": 4.0}
# Share of the loads during which buffers, threads and caches are filled.
_WARM_UP = 0.25
# Slots for all clients at once, and briefly for calls of dead clients.
_SLOTS, _REST_SLOTS = 24, 12
_X = np.array([[1.0, 2.0]], np.float32)


class SoakTest(absltest.TestCase):
  def test_soak(self):
    seed = _SEED or str(random.randrange(10**6) if _MINUTES else 1)
    print(f"SOAK_SEED={seed}", flush=True)
    self.world = soak_world.World(self.create_tempdir().full_path, seed)
    self.samples, exits = [], []
    self.configurer = soak_parts.Configurer(self.world)
    self._start()
    self.addCleanup(lambda: self.world.process.kill())
    self.addCleanup(self.world.stopping.set)
    self.configurer.connect()
    self._soak()
    self._check_slots()
    for _ in range(_RESTARTS):
      exits.append(self._restart())
    growth = self._report(seed)

    _assert_clean(self, self.world.counts)
    self.assertEqual(exits, [0] * _RESTARTS)
    self.assertNotIn("Traceback", self.world.process.errors())
    if _MINUTES:  # The suite is too short to measure the growth of memory.
      for name, limit in _LIMITS.items():
        self.assertLess(growth[name], limit, name)

  def _start(self, port=0, rest_port=-1):
    self.configurer.write()
    self.world.process = server_process.ServerProcess(
      os.path.join(self.world.folder, "errors.txt"),
      [
        f"--model_config_file={self.configurer.path}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models",
        f"--grpc_max_threads={_SLOTS}",
        f"--rest_api_num_threads={_REST_SLOTS}",
        "--rest_api_timeout_in_ms=0",
        f"--shutdown_grace_seconds={running_server.PATIENCE}",
        *_FLAGS,
      ],
      port,
      rest_port,
    )
    with self.world.process.channel() as channel:
      for name, model in self.world.models.items():
        truths = [model.truth]
        if name == "labelled":
          truths = self.world.labels.values()
        for truth in truths:
          for version in truth.since(-1) - {soak_world.ABSENT}:
            self.world.wait_until_available(channel, name, version)

  def _start_checkers(self):
    checkers = [
      soak_parts.Checker(self.world, kind.__name__, kind, number)
      for kind in (soak_world.Grpc, soak_world.Rest)
      for number in range(2)
    ]
    for part in checkers:
      part.start()
    return checkers

  def _end(self, parts):
    self.world.stopping.set()
    for part in parts:
      part.join(2.0 * running_server.PATIENCE)
      self.assertFalse(part.is_alive(), part.name)
    self.world.stopping.clear()

  def _soak(self):
    """Runs all parts for some time and some loads."""
    parts = [
      soak_parts.Impatient(self.world),
      soak_parts.Swapper(self.world, "steady", 0.5),
      soak_parts.Swapper(self.world, "slow", 3.0),
      soak_parts.Mender(self.world),
      self.configurer,
    ]
    checkers = self._start_checkers()
    for part in parts:
      part.start()
    begun = time.monotonic()
    while all(part.is_alive() for part in parts):  # Otherwise one has failed.
      time.sleep(0.5)
      process, seconds = self.world.process, time.monotonic() - begun
      sample = {"loads": process.loads, "seconds": seconds} | process.usage()
      self.samples.append(sample)
      if seconds >= _SECONDS and process.loads >= _LOADS:
        break
    self._end(parts + checkers)

  def _check_slots(self):
    """Checks that the server is idle, and that all slots are free.

    Detects calls that were left running, and slots that were not freed.
    """
    self._wait_until_idle()
    if "--enable_batching" in _FLAGS:
      return  # Its calls share one slot.
    with contextlib.closing(soak_world.Grpc(self.world.process)) as client:
      # One slot remains for the call that counts the others.
      for calls in ((_SLOTS - 1, 0), (0, _REST_SLOTS)):
        for _ in running_server.attempts():
          held = soak_parts.Held(self.world, client, *calls, "spin")
          # Calls of dead clients end in a moment.
          if held.all_run():
            held.release()
            held.count("all slots at once")
            break
          held.cancel()
    self._wait_until_idle()

  def _wait_until_idle(self):
    # An endless call would keep a CPU busy.
    for _ in running_server.attempts():
      if self.world.process.load_on_cpu(0.5) < 0.1:
        return

  def _restart(self):
    """Stops the server during calls, which are answered, and starts it again.

    Returns:
      Its exit status.
    """
    checkers = self._start_checkers()
    _wait_until_heard(checkers)
    process = self.world.process
    path = os.path.join(self.create_tempdir().full_path, "released")
    with contextlib.closing(soak_world.Grpc(process)) as client:
      # The server counts calls in a batch as one.
      calls = (1, 0) if "--enable_batching" in _FLAGS else (3, 3)
      held = soak_parts.Held(
        self.world, client, *calls, "hold", path=np.array([path, path])
      )
      self.assertTrue(held.all_run())
      self.world.outage.may_be(soak_world.DOWN)
      process.terminate()
      process.stopping.wait(running_server.PATIENCE)
      soak_world.write(os.path.dirname(path), "released", b"")
      held.count("in flight at SIGTERM")
    status = process.wait()
    process.kill()
    self._start(process.port, process.rest_port)
    # Connections may notice the restart later.
    _wait_until_heard(checkers)
    self.world.outage.may_be()
    _wait_until_heard(checkers)
    self._end(checkers)
    return status

  def _report(self, seed):
    """Writes tables and a picture; returns the growth in 200 loads by name."""
    folder = _FOLDER or self.create_tempdir().full_path
    os.makedirs(folder, exist_ok=True)
    frame = pd.DataFrame(self.samples)
    axes = frame.plot(
      x="loads", y=list(_LIMITS), subplots=True, style=".", figsize=(11, 7)
    )
    axes[0].figure.savefig(os.path.join(folder, "memory.png"))
    growth = {name: round(float(_growth(frame, name)), 2) for name in _LIMITS}
    text = (
      f"seed {seed}, {_RESTARTS} restarts; {frame.iloc[-1].to_dict()}\n"
      f"{self.world.counts.table()}\ngrowth in 200 loads: {growth}"
    )
    files.write_json(os.path.join(folder, "samples.json"), self.samples)
    with open(os.path.join(folder, "report.txt"), "w") as file:
      file.write(text + "\n")
    print(f"\n{text}\nMore in {folder}.", flush=True)
    return growth


def _wait_until_heard(checkers):
  for part in checkers:
    part.heard.clear()
  for part in checkers:
    if not part.heard.wait(running_server.PATIENCE):
      raise AssertionError(f"{part.name} is not answered any more.")


def _assert_clean(test, counts):
  examples = "\n".join(counts.examples)
  test.assertEqual(counts.total("wrong"), 0, examples)
  test.assertEqual(counts.total("failed"), 0, examples)


def _growth(frame, name):
  """Returns the growth of a quantity in 200 loads, after the warm-up.

  The smaller of two measures, since lasting growth shows in both: the slope by
  Theil and Sen, and the medians of the first and the last third.
  """
  loads = frame["loads"]
  first, last = loads.iloc[0], loads.iloc[-1]
  frame = frame[loads >= first + _WARM_UP * (last - first)]
  loads, values = frame["loads"], frame[name]
  span = loads.iloc[-1] - loads.iloc[0]
  if not span:  # A line needs two points.
    return 0.0
  with np.errstate(invalid="ignore"):  # For an unused interval.
    slope = stats.theilslopes(values, loads)[0]
  early = values[loads <= loads.iloc[0] + span / 3.0].median()
  late = values[loads >= loads.iloc[-1] - span / 3.0].median()
  return 200.0 * min(slope, (late - early) / (span * 2.0 / 3.0))


class CheckTest(parameterized.TestCase):
  """Tests that the soak test detects faults."""

  def setUp(self):
    super().setUp()
    self.counts = soak_world.Counts()
    self.truth = soak_world.Truth(1)

  def _assert_outcome(self, outcome, answer, **kwargs):
    def ask(*_):
      if isinstance(answer, Exception):
        raise answer
      return answer

    before = self.counts.total(outcome)
    soak_world.check(
      types.SimpleNamespace(counts=self.counts, outage=soak_world.Truth()),
      "kind",
      types.SimpleNamespace(ask=ask),
      soak_world.Model("demo", "", None, 2.0, self.truth),
      _X,
      **kwargs,
    )
    self.assertEqual(self.counts.total(outcome), before + 1)

  @parameterized.parameters(
    (1, [[3.0, 5.0]], "right"),
    (None, [[3.0, 5.0]], "right"),
    (2, [[3.0, 5.0]], "wrong"),  # Another version than reported.
    (2, [[4.0, 6.0]], "wrong"),  # There is no version 2.
    (1, [[3.0, 5.5]], "wrong"),
    (1, [[4.0, 7.0]], "wrong"),  # Another model's.
    (1, [3.0, 5.0], "wrong"),
  )
  def test_answers(self, said, y, outcome):
    self._assert_outcome(outcome, (said, y))
    self.assertLen(self.counts.examples, int(outcome == "wrong"))

  def test_failures(self):
    failure = soak_world.Failure("NOT_FOUND", "It is not there.")
    self._assert_outcome("failed", failure)
    self._assert_outcome("expected", failure, expected=("NOT_FOUND",))
    self.truth.may_be(1, soak_world.ABSENT)
    self._assert_outcome("expected", failure)

  def test_the_truth_changes_while_a_call_runs(self):
    begin = self.truth.begin()
    self.truth.may_be(1, 2)
    self.truth.may_be(3)
    self.assertEqual(self.truth.since(begin), {1, 2, 3})
    self.assertEqual(self.truth.since(self.truth.begin()), {3})

  @parameterized.parameters(0.0, 0.1, 1.0)
  def test_growth(self, per_load):
    loads = np.arange(400)
    noise = np.random.default_rng(0).uniform(0.0, 5.0, 400)
    warm_up = np.minimum(0, loads - 50)
    frame = pd.DataFrame(
      {"loads": loads, "memory": warm_up + per_load * loads + noise}
    )
    growth = _growth(frame, "memory")
    self.assertAlmostEqual(growth, 200.0 * per_load, delta=2.0)
    self.assertEqual(_growth(frame.assign(loads=3), "memory"), 0.0)


if __name__ == "__main__":
  absltest.main()
