"""Puts a server under load by clients that send one call after the other.

Each client has one call in flight. Clients run in several processes, since
those that share an interpreter wait for each other; the processes do not import
TensorFlow, so that many fit on a machine.
"""

import argparse
import contextlib
import dataclasses
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence

import grpc
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
# More clients than this are threads of these processes.
_PROCESSES = 8
# Seconds that a server may take beyond a call's deadline.
_GRACE = 10.0
# Messages of any size; each client has its own connection.
CHANNEL = [
  ("grpc.use_local_subchannel_pool", 1),
  ("grpc.max_receive_message_length", -1),
  ("grpc.max_send_message_length", -1),
]
# gRPC's names of HTTP's statuses.
_STATUSES = {
  200: "OK",
  400: "INVALID_ARGUMENT",
  404: "NOT_FOUND",
  429: "RESOURCE_EXHAUSTED",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
}


@dataclasses.dataclass(frozen=True)
class Load:
  """The results of a load.

  Attributes:
    seconds: Seconds during which clients began calls.
    latencies: Seconds of each call that was answered with OK.
    codes: Number of calls by code; a call that never ended is "STUCK".
    longest: Seconds of the longest call, whatever its code.
  """

  seconds: float
  latencies: np.ndarray
  codes: Mapping[str, int]
  longest: float

  @property
  def rate(self) -> float:
    """Calls a second that were answered with OK."""
    return len(self.latencies) / self.seconds

  def summary(self) -> dict:
    """Returns the results as JSON values, in milliseconds."""
    percentiles = {
      f"p{percent}_ms": 1e3 * float(np.percentile(self.latencies, percent))
      for percent in (50, 90, 99)
      if len(self.latencies)
    }
    return {
      "calls_per_second": self.rate,
      **percentiles,
      "longest_ms": 1e3 * self.longest,
      "codes": dict(sorted(self.codes.items())),
    }


def run(
  url: str,
  body: bytes,
  clients: int,
  seconds: float,
  warm_up: float = 0.5,
  deadline: float = 30.0,
) -> Load:
  """Runs clients that call a server for a while.

  Args:
    url: grpc://host:port/package.Service/Method, or http://host:port/path.
    body: The message of every call.
    clients: Number of clients; each has its own connection.
    seconds: Seconds during which clients begin calls that count.
    warm_up: Seconds of calls before that.
    deadline: Most seconds of a call.

  Raises:
    RuntimeError: A process of clients failed.
  """
  count = min(clients, _PROCESSES)
  with contextlib.ExitStack() as stack:
    file = stack.enter_context(tempfile.NamedTemporaryFile())
    file.write(body)
    file.flush()
    processes = []
    for part in np.array_split(np.arange(clients), count):
      command = [sys.executable, "-m", "benchmarks.load", url, file.name]
      process = subprocess.Popen(
        [*command, str(len(part)), str(deadline)],
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
    written = []
    for process in processes:
      process.stdin.write(f"{begin} {begin + seconds}\n")
      process.stdin.flush()
    for process in processes:
      written += json.loads(process.communicate()[0])
  return _summed(written, seconds)


def together(loads: Sequence[Load]) -> Load:
  """Merges the results of loads of one kind."""
  codes = {}
  for load in loads:
    for code, count in load.codes.items():
      codes[code] = codes.get(code, 0) + count
  return Load(
    sum(load.seconds for load in loads),
    np.concatenate([load.latencies for load in loads]),
    codes,
    max(load.longest for load in loads),
  )


def _summed(calls, seconds):
  codes = {}
  for code, _ in calls:
    codes[code] = codes.get(code, 0) + 1
  return Load(
    seconds,
    np.array([taken for code, taken in calls if code == "OK"], float),
    codes,
    max((taken for _, taken in calls), default=0.0),
  )


def _grpc(url, body, deadline):
  """Returns a function that makes one call and returns the name of its code."""
  method = grpc.insecure_channel(url.netloc, CHANNEL).unary_unary(url.path)

  def call():
    try:
      method(body, timeout=deadline, wait_for_ready=True)
    except grpc.RpcError as error:
      return error.code().name
    return "OK"

  return call


def _http(url, body, deadline):
  connection = http.client.HTTPConnection(url.netloc, timeout=deadline)

  def call():
    try:
      connection.request("POST", url.path, body)
      answer = connection.getresponse()
      answer.read()
    except TimeoutError:
      connection.close()
      return "DEADLINE_EXCEEDED"
    except (OSError, http.client.HTTPException):
      connection.close()
      return "UNAVAILABLE"
    return _STATUSES.get(answer.status, "UNKNOWN")

  return call


def _ask(call, begin, end, calls):
  while (started := time.monotonic()) < end:
    code = call()
    if started >= begin:
      calls.append((code, time.monotonic() - started))


def _main():
  parser = argparse.ArgumentParser(description="Clients of one process.")
  parser.add_argument("url", type=urllib.parse.urlparse)
  parser.add_argument("body", type=pathlib.Path)
  parser.add_argument("clients", type=int)
  parser.add_argument("deadline", type=float)
  args = parser.parse_args()
  connect = _grpc if args.url.scheme == "grpc" else _http
  body = args.body.read_bytes()
  clients = [
    connect(args.url, body, args.deadline) for _ in range(args.clients)
  ]
  print("ready", flush=True)
  # time.monotonic is the same clock in all processes.
  begin, end = map(float, sys.stdin.readline().split())
  calls = []
  threads = [
    threading.Thread(target=_ask, args=(call, begin, end, calls), daemon=True)
    for call in clients
  ]
  for thread in threads:
    thread.start()
  last = end + args.deadline + _GRACE
  for thread in threads:
    thread.join(max(0.0, last - time.monotonic()))
  stuck = sum(thread.is_alive() for thread in threads)
  json.dump(calls + [("STUCK", last - begin)] * stuck, sys.stdout)


if __name__ == "__main__":
  _main()
