"""Puts a server under load and says how it answered.

A closed loop: each client has one call on its way. Clients are in processes of
their own, since those that share an interpreter wait for each other.
"""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
# More clients than this are threads of these processes.
_PROCESSES = 8
_PATIENCE = 60.0
_PERCENTILES = (50, 90, 99)


@dataclasses.dataclass(frozen=True)
class Target:
  """What is asked.

  Attributes:
    url: grpc://host:port/package.Service/Method, or http://host:port/path.
    body: The message that is sent.
  """

  url: str
  body: bytes


@dataclasses.dataclass(frozen=True)
class Load:
  """What clients saw.

  Attributes:
    clients: How many they were.
    seconds: For how long they began calls.
    latencies: Seconds of each call that was answered with OK, sorted.
    refused: Seconds of each other call, sorted.
    codes: Number of calls by code.
    least: The fewest OKs that one client got.
    stuck: Clients whose last call never ended.
  """

  clients: int
  seconds: float
  latencies: np.ndarray
  refused: np.ndarray
  codes: Mapping[str, int]
  least: int
  stuck: int

  @property
  def rate(self) -> float:
    """Calls a second that were answered with OK."""
    return len(self.latencies) / self.seconds

  @property
  def longest(self) -> float:
    """Seconds of the longest call, whatever came of it."""
    every = np.concatenate([self.latencies, self.refused])
    return float(every.max(initial=0.0))

  def percentile(self, percent: float) -> float:
    """Returns what so many percent of the OKs took at most, in seconds."""
    if not len(self.latencies):
      return float("nan")
    return float(np.percentile(self.latencies, percent))

  def summary(self) -> dict:
    """Returns it for a file; milliseconds, None if nothing was answered."""
    answered = len(self.latencies) > 0
    return {
      "clients": self.clients,
      "calls_per_second": self.rate,
      **{
        f"p{percent}_ms": 1e3 * self.percentile(percent) if answered else None
        for percent in _PERCENTILES
      },
      "longest_ms": 1e3 * self.longest,
      "codes": dict(sorted(self.codes.items())),
      "least_ok_of_a_client": self.least,
      "stuck": self.stuck,
    }


def once(target: Target) -> bytes:
  """Makes one call of REST, with a connection of its own; returns the answer.

  Raises:
    OSError: It was not answered with OK.
  """
  with urllib.request.urlopen(
    urllib.request.Request(target.url, target.body), timeout=_PATIENCE
  ) as answer:
    return answer.read()


def run(
  target: Target,
  clients: int,
  seconds: float,
  warm_up: float = 0.5,
  deadline: float = 30.0,
) -> Load:
  """Has clients ask a server for a while.

  Args:
    target: What they ask.
    clients: How many, each with a connection of its own.
    seconds: How long they begin calls that count.
    warm_up: How long they begin calls before that.
    deadline: Seconds that a call may take.

  Raises:
    RuntimeError: A process of clients failed.
  """
  count = min(clients, _PROCESSES)
  sizes = [len(part) for part in np.array_split(np.arange(clients), count)]
  with contextlib.ExitStack() as stack:
    file = stack.enter_context(tempfile.NamedTemporaryFile())
    file.write(target.body)
    file.flush()
    processes = []
    for size in sizes:
      command = [sys.executable, "-m", "benchmarks.load_client"]
      command += [f"--url={target.url}", f"--body={file.name}"]
      command += [f"--clients={size}", f"--deadline={deadline}"]
      process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
      )
      processes.append(stack.enter_context(process))
      stack.callback(process.kill)
    for process in processes:
      if process.stdout.readline() != "ready\n":
        raise RuntimeError("A process of clients could not begin.")
    begin = time.monotonic() + warm_up
    for process in processes:
      process.stdin.write(f"{begin} {begin + seconds}\n")
      process.stdin.flush()
    written = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
      raise RuntimeError("A process of clients failed.")
  return _merge([json.loads(text) for text in written], clients, seconds)


def _merge(parts, clients, seconds):
  of_clients = [records for part in parts for records in part["records"]]
  codes, taken = {}, {True: [], False: []}
  for code, started, ended in (row for rows in of_clients for row in rows):
    codes[code] = codes.get(code, 0) + 1
    taken[code == "OK"].append(ended - started)
  return Load(
    clients=clients,
    seconds=seconds,
    latencies=np.sort(np.array(taken[True], float)),
    refused=np.sort(np.array(taken[False], float)),
    codes=codes,
    least=min(sum(row[0] == "OK" for row in rows) for rows in of_clients),
    stuck=sum(part["stuck"] for part in parts),
  )


def together(loads: Sequence[Load]) -> Load:
  """Returns loads of the same kind as one."""
  codes = {}
  for load in loads:
    for code, count in load.codes.items():
      codes[code] = codes.get(code, 0) + count
  return Load(
    clients=loads[0].clients,
    seconds=sum(load.seconds for load in loads),
    latencies=np.sort(np.concatenate([load.latencies for load in loads])),
    refused=np.sort(np.concatenate([load.refused for load in loads])),
    codes=codes,
    least=min(load.least for load in loads),
    stuck=sum(load.stuck for load in loads),
  )
