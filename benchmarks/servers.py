"""The servers of a benchmark, in processes of their own."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import grpc
import psutil
from tensorflow_serving.apis import predict_pb2

from benchmarks import load

_METHOD = "tensorflow.serving.PredictionService/Predict"
_PATIENCE = 300.0


class Process:
  """A server that runs until the end of a `with` block.

  Attributes:
    port: Where gRPC is.
    rest_port: Where HTTP is; None if nowhere.
  """

  def __init__(self, module: str, *arguments: str, has_rest: bool = False):
    """Starts it and waits for its ports.

    Args:
      module: The program.
      *arguments: Its flags.
      has_rest: Whether it says where HTTP is, too.

    Raises:
      RuntimeError: It ended.
    """
    self._process = subprocess.Popen(
      [sys.executable, "-m", module, *arguments],
      stdout=subprocess.PIPE,
      text=True,
      cwd=load.ROOT,
      env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    self.port = self._read_port("gRPC")
    self.rest_port = self._read_port("HTTP") if has_rest else None
    # Whatever else it prints must not fill the pipe.
    threading.Thread(target=self._process.stdout.read, daemon=True).start()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._process.kill()
    self._process.wait()

  @property
  def cpu_seconds(self) -> float:
    """What it has used so far."""
    times = psutil.Process(self._process.pid).cpu_times()
    return times.user + times.system

  def grpc_target(self, request: predict_pb2.PredictRequest) -> load.Target:
    """Returns a call of Predict."""
    url = f"grpc://127.0.0.1:{self.port}/{_METHOD}"
    return load.Target(url, request.SerializeToString())

  def rest_target(self, model: str, body: bytes) -> load.Target:
    """Returns a call of REST's predict."""
    url = f"http://127.0.0.1:{self.rest_port}/v1/models/{model}:predict"
    return load.Target(url, body)

  def predict(self, request: bytes) -> bytes:
    """Makes a call of Predict and returns the answer as it came."""
    return self._method(request, timeout=_PATIENCE, wait_for_ready=True)

  def wait_for(self, requests: Sequence[predict_pb2.PredictRequest]) -> None:
    """Waits until it answers requests; models may have to load first."""
    self._channel = grpc.insecure_channel(
      f"127.0.0.1:{self.port}",
      [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
      ],
    )
    self._method = self._channel.unary_unary(f"/{_METHOD}")
    end = time.monotonic() + _PATIENCE
    for request in requests:
      while True:
        try:
          self.predict(request.SerializeToString())
          break
        except grpc.RpcError as error:
          if (
            error.code() != grpc.StatusCode.UNAVAILABLE
            or time.monotonic() > end
          ):
            raise

  def _read_port(self, name):
    for line in self._process.stdout:
      if found := re.search(rf"Serving {name} on port (\d+)", line):
        return int(found[1])
    raise RuntimeError(f"{' '.join(self._process.args)} ended.")
