"""Clients of one process: each asks, waits for the answer, and asks again.

`load` starts it. It imports no TensorFlow: many of them fit on a machine, and
what is measured is the server.
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable

import grpc
from absl import app
from absl import flags

_URL = flags.DEFINE_string(
  "url",
  None,
  "What to ask: grpc://host:port/package.Service/Method, or http://...",
  required=True,
)
_BODY = flags.DEFINE_string(
  "body", None, "File with the message that is sent.", required=True
)
_CLIENTS = flags.DEFINE_integer(
  "clients", 1, "How many, each with a connection and a thread.", lower_bound=1
)
_DEADLINE = flags.DEFINE_float(
  "deadline", 30.0, "Seconds that a call may take.", lower_bound=0.0
)
# HTTP's statuses by the names that gRPC has for the same.
_STATUSES = {
  200: "OK",
  400: "INVALID_ARGUMENT",
  404: "NOT_FOUND",
  429: "RESOURCE_EXHAUSTED",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
}
# What a server does with a call may take a moment beyond its deadline.
_GRACE = 10.0


def _grpc(url, body, deadline):
  """Returns what makes one call and returns the name of its code."""
  channel = grpc.insecure_channel(
    url.netloc,
    [
      # Else all channels of a process share one connection.
      ("grpc.use_local_subchannel_pool", 1),
      ("grpc.max_receive_message_length", -1),
      ("grpc.max_send_message_length", -1),
    ],
  )
  method = channel.unary_unary(url.path)

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


def _ask(call: Callable[[], str], begin: float, end: float, records: list):
  """Calls until the end; notes code, start and end of each call."""
  while (started := time.monotonic()) < end:
    code = call()
    # What comes before is to warm up.
    if started >= begin:
      records.append((code, started, time.monotonic()))


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  url = urllib.parse.urlparse(_URL.value)
  with open(_BODY.value, "rb") as file:
    body = file.read()
  connect = _grpc if url.scheme == "grpc" else _http
  calls = [connect(url, body, _DEADLINE.value) for _ in range(_CLIENTS.value)]
  print("ready", flush=True)
  # The clocks of all processes are one.
  begin, end = map(float, sys.stdin.readline().split())
  records = [[] for _ in calls]
  threads = [
    threading.Thread(target=_ask, args=(call, begin, end, own), daemon=True)
    for call, own in zip(calls, records)
  ]
  for thread in threads:
    thread.start()
  last = end + _DEADLINE.value + _GRACE
  for thread in threads:
    thread.join(max(0.0, last - time.monotonic()))
  stuck = sum(thread.is_alive() for thread in threads)
  json.dump({"records": records, "stuck": stuck}, sys.stdout)


if __name__ == "__main__":
  app.run(_run)
