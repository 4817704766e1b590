"""One run of the soak test: everything at once, then restarts."""

import contextlib
import os
import sys
import time

import numpy as np
import tqdm

from tests import running_server
from tests import server_process
from tests import soak_callers
from tests import soak_clients
from tests import soak_counts
from tests import soak_faults
from tests import soak_held
from tests import soak_world

# Room for all clients at once, and for what dead ones have left for a moment.
_SLOTS = 24
_REST_SLOTS = 12
# On each port.
_IN_FLIGHT = (3, 3)


class Run:
  """A server, its clients and what happens to them.

  Attributes:
    world: What they share; `world.counts` is what came of it.
    samples: Memory, threads and open files, with loads and seconds.
    exits: Exit status of each server that was asked to stop.
  """

  def __init__(self, folder: str, seed: str, flags=()):
    """Writes the models and starts the server.

    Args:
      folder: For everything.
      seed: Of all that happens.
      flags: Further ones of the server's.
    """
    self.world = soak_world.World(folder, seed)
    self.samples = []
    self.exits = []
    self._flags = [
      "--model_config_file_poll_wait_seconds=1",
      "--allow_version_labels_for_unavailable_models",
      f"--grpc_max_threads={_SLOTS}",
      f"--rest_api_num_threads={_REST_SLOTS}",
      "--rest_api_timeout_in_ms=0",
      f"--shutdown_grace_seconds={running_server.PATIENCE}",
      *flags,
    ]
    self._configurer = soak_faults.Configurer(self.world)
    self._start()
    try:
      self._wait_for_models()
      self._checkers, self._parts = self._make_parts()
    except BaseException:
      self.world.process.kill()
      raise

  def go_on(self, seconds: float, loads: int = 0) -> None:
    """Lets everything happen.

    Args:
      seconds: For how long.
      loads: How many versions have to be loaded, however long that takes.
    """
    for part in (*self._checkers, *self._parts):
      part.start()
    started = time.monotonic()
    # A log file should not hold a thousand bars.
    interval = 0.5 if sys.stderr.isatty() else 15.0
    with tqdm.tqdm(
      total=round(seconds), unit=" s", desc="soak", mininterval=interval
    ) as bar:
      while True:
        time.sleep(0.5)
        passed = time.monotonic() - started
        self.samples.append(
          self.world.process.usage()
          | {"loads": self.world.process.loads, "seconds": passed}
        )
        bar.set_postfix(self._progress(passed), refresh=False)
        bar.update(min(bar.total, int(passed)) - bar.n)
        if passed >= seconds and self.world.process.loads >= loads:
          return
        if not all(part.is_alive() for part in self._parts):
          return  # One has failed, and has said so.

  def settle(self) -> None:
    """Ends what happens to models, and the calls that do not behave."""
    self.world.stopping.set()
    for part in (*self._parts, *self._checkers):
      part.join(2.0 * running_server.PATIENCE)
      if part.is_alive():
        self.world.counts.failed(part.name, "It does not end.")

  def free_slots(self) -> None:
    """Checks that nothing keeps the server busy, and that all slots are free.

    A call that was left running, or a place that it has not given back, would
    show here.
    """
    self._until_idle()
    if "--enable_batching" in self._flags:
      return  # Its calls run together, in one place.
    with contextlib.closing(soak_clients.Grpc(self.world.process)) as client:
      # One is left for who asks how many run.
      self._take(client, _SLOTS - 1, 0)
      self._take(client, 0, _REST_SLOTS)
    self._until_idle()

  def restart(self) -> None:
    """Stops the server while it is asked: calls in flight are answered."""
    self.world.stopping.clear()
    self._checkers = self._make_checkers()
    for part in self._checkers:
      part.start()
    self._until_heard()
    with contextlib.closing(soak_clients.Grpc(self.world.process)) as client:
      held = self._in_flight(client)
      self.world.outage.may_be(soak_counts.DOWN)
      self.world.process.terminate()
      held.count("in flight at SIGTERM")
    self.exits.append(self.world.process.wait())
    self.world.process.kill()
    self._start(self.world.process.port, self.world.process.rest_port)
    self._wait_for_models()
    # A connection may learn of it later than we do.
    self._until_heard()
    self.world.outage.may_be()
    self._until_heard()
    self.world.stopping.set()
    for part in self._checkers:
      part.join(running_server.PATIENCE)

  def stop(self) -> None:
    """Ends the server, whatever happens."""
    self.world.stopping.set()
    self.world.process.kill()

  def _start(self, port=0, rest_port=-1):
    self._configurer.write()
    self.world.process = server_process.ServerProcess(
      os.path.join(self.world.folder, "errors.txt"),
      [f"--model_config_file={self._configurer.path}", *self._flags],
      port,
      rest_port,
    )

  def _wait_for_models(self):
    with contextlib.closing(self.world.process.channel()) as channel:
      for name, model in self.world.models.items():
        for version in model.truth.since(-1) - {soak_counts.ABSENT}:
          if name != "labelled":
            self.world.wait_until_available(channel, name, version)
      for truth in self.world.labels.values():
        (version,) = truth.since(-1)
        self.world.wait_until_available(channel, "labelled", version)

  def _make_parts(self):
    world = self.world
    self._configurer.connect()
    return self._make_checkers(), [
      soak_callers.Patient(world, "gRPC", soak_clients.Grpc),
      soak_callers.Patient(world, "REST", soak_clients.Rest),
      soak_callers.Hasty(world),
      soak_callers.Impatient(world),
      soak_callers.Killer(world),
      soak_faults.Swapper(world, "steady", 0.5),
      soak_faults.Swapper(world, "slow", 3.0),
      soak_faults.Mender(world),
      self._configurer,
    ]

  def _make_checkers(self):
    return [
      soak_callers.Checker(self.world, kind, client, number)
      for kind, client in (
        ("gRPC", soak_clients.Grpc),
        ("REST", soak_clients.Rest),
      )
      for number in range(2)
    ]

  def _progress(self, passed):
    counts = self.world.counts
    return {
      "calls/s": round(counts.total() / passed),
      "loads": self.world.process.loads,
      "MB": round(self.samples[-1]["memory"]),
      "wrong": counts.total("wrong"),
      "failed": counts.total("failed"),
    }

  def _in_flight(self, client):
    """Returns calls that all run, for some seconds yet."""
    for seconds in (2.0, 4.0, 8.0, 16.0, 32.0):
      held = soak_held.Held(
        self.world,
        client,
        *_IN_FLIGHT,
        "wait",
        seconds=np.array([seconds, seconds], np.float32),
      )
      if held.all_run() or "--enable_batching" in self._flags:
        break
      # On a busy machine the first are over before the last have begun.
      held.count("in flight")
    return held

  def _take(self, client, calls, rest_calls):
    """Waits until so many endless calls can run at once."""
    for _ in running_server.attempts():
      held = soak_held.Held(self.world, client, calls, rest_calls, "spin")
      try:
        # What a dead client has left is gone in a moment.
        if held.all_run():
          held.release()
          held.count("all slots at once")
          return
      finally:
        held.cancel()

  def _until_idle(self):
    """An endless call takes a whole CPU, or what others leave of it."""
    for _ in running_server.attempts():
      if self.world.process.load_on_cpu(0.5) < 0.1:
        return

  def _until_heard(self):
    for part in self._checkers:
      part.heard.clear()
    for part in self._checkers:
      if not part.heard.wait(running_server.PATIENCE):
        self.world.counts.failed(part.name, "It is not answered any more.")
