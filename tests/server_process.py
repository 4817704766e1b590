"""A server in a separate process, as users run it."""

import contextlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

import grpc
import psutil
from tensorflow_serving.apis import model_service_pb2_grpc

from tests import running_server

_LOADED = re.compile(r"[^ ]+, version \d+: ")
_PORTS = {
  "port": re.compile(r"Serving gRPC on port (\d+)"),
  "rest_port": re.compile(r"Serving HTTP on port (\d+)"),
}
# Each client has its own connection, which reconnects at once.
_CHANNEL = [
  ("grpc.use_local_subchannel_pool", 1),
  ("grpc.initial_reconnect_backoff_ms", 100),
  ("grpc.max_reconnect_backoff_ms", 100),
  ("grpc.max_receive_message_length", -1),
]


class ServerProcess:
  """`python -m serving.server`.

  Attributes:
    port: Port of gRPC.
    rest_port: Port of HTTP.
    loads: Number of versions that it has loaded.
    stopping: Set when it has received the signal to stop.
  """

  def __init__(self, log: str, flags: Sequence[str], port=0, rest_port=-1):
    """Starts it, and waits until it has its ports; the log gets its stderr.

    By default the system picks the ports.
    """
    self.loads = 0
    self.port = self.rest_port = None
    self._log = log
    self.stopping = threading.Event()
    self._ready = threading.Event()
    command = [sys.executable, "-m", "serving.server", *flags]
    command += [f"--port={port}", f"--rest_api_port={rest_port}"]
    with open(log, "a") as errors:
      self._child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True
      )
    self._process = psutil.Process(self._child.pid)
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()
    self._ready.wait(running_server.PATIENCE)
    if self.rest_port is None:
      self.kill()
      raise AssertionError(f"The server does not start: {self.errors()}")

  def channel(self) -> grpc.Channel:
    """Returns a new connection, which is not shared."""
    return grpc.insecure_channel(f"localhost:{self.port}", _CHANNEL)

  def states(self, channel: grpc.Channel, name: str) -> dict[int, str]:
    """Returns the state of each version of a model; {} if it is unknown."""
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    return {
      status.version: running_server.State.Name(status.state)
      for status in running_server.statuses(models, name)
    }

  def usage(self) -> dict[str, float]:
    """Returns its memory in megabytes, its threads and its open files.

    The memory is that of the processes that it has started, too.
    """
    memory = self._process.memory_info().rss
    for child in self._process.children():
      with contextlib.suppress(psutil.NoSuchProcess):
        memory += child.memory_info().rss
    with self._process.oneshot():
      return {
        "memory": memory / 2**20,
        "threads": self._process.num_threads(),
        "files": self._process.num_fds(),
      }

  def load_on_cpu(self, seconds: float) -> float:
    """Returns the number of busy CPUs, measured over some seconds."""
    return self._process.cpu_percent(seconds) / 100.0

  def errors(self) -> str:
    """Returns its stderr."""
    with open(self._log) as file:
      return file.read()

  def terminate(self) -> None:
    """Asks it to stop."""
    self._child.send_signal(signal.SIGTERM)

  def wait(self) -> int:
    """Waits until it has stopped; returns its exit status."""
    return self._child.wait(running_server.PATIENCE)

  def kill(self) -> None:
    """Ends it."""
    self._child.kill()
    self._child.wait()
    self._reader.join()
    self._child.stdout.close()

  def _read(self):
    for line in self._child.stdout:
      self.loads += bool(_LOADED.match(line))
      if line.startswith("Stopping"):
        self.stopping.set()
      for name, pattern in _PORTS.items():
        if found := pattern.match(line):
          setattr(self, name, int(found[1]))
      if self.rest_port is not None:
        self._ready.set()
    self._ready.set()  # The process has ended: stop waiting.
