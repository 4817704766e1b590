"""A client that repeats a call: `python -m tests.bystander ADDRESS FILE`.

FILE has a serialised PredictRequest. Prints a line for each call: its start
(time.monotonic), its seconds, its code.
"""

import contextlib
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import grpc

METHOD = "/tensorflow.serving.PredictionService/Predict"
_PATIENCE = 120.0
_OPTIONS = [("grpc.max_receive_message_length", -1)]


class Call(NamedTuple):
  """One call: its start by time.monotonic, its seconds and its code."""

  begun: float
  seconds: float
  code: str


class Bystander:
  """The client in a separate process, which waits for the server only."""

  def __init__(self, address: str, file: str):
    """Starts it."""
    self._calls: list[Call] = []
    self._changed = threading.Condition()
    self._child = subprocess.Popen(
      [sys.executable, "-m", "tests.bystander", address, file],
      stdout=subprocess.PIPE,
      text=True,
    )
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()

  def calls(self, begun: float, ended: float, least: int = 1) -> list[Call]:
    """Returns the calls that began between two times, or `least` after them."""

    def found():
      within = [one for one in self._calls if begun <= one.begun]
      return [one for one in within if one.begun <= ended] or within[:least]

    with self._changed:
      if not self._changed.wait_for(found, _PATIENCE):
        raise AssertionError("The bystander has no answer.")
      return found()

  def stop(self) -> None:
    """Ends it."""
    self._child.kill()
    self._child.wait()
    self._reader.join()
    self._child.stdout.close()

  def _read(self):
    for line in self._child.stdout:
      begun, seconds, code = line.split()
      with self._changed:
        self._calls.append(Call(float(begun), float(seconds), code))
        self._changed.notify_all()


def main() -> None:
  """Repeats the call until the process is ended."""
  address, file = sys.argv[1:]
  with open(file, "rb") as opened:
    request = opened.read()
  with grpc.insecure_channel(address, _OPTIONS) as channel:
    ask = channel.unary_unary(METHOD)
    while True:
      begun, code = time.monotonic(), "OK"
      try:
        ask(request, timeout=_PATIENCE)
      except grpc.RpcError as error:
        code = error.code().name
      print(begun, time.monotonic() - begun, code, flush=True)


if __name__ == "__main__":
  with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
    main()
