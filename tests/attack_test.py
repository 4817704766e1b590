"""Careless and hostile use of a server by clients that are not ours.

`make attack` repeats each kind for its share of MINUTES and writes a table:
codes, memory, and how long a bystander waits: another process, which samples
four images repeatedly. Real attackers have their own machines: here they have a
lower priority than the server and the bystander, so that they do not take their
cores. The suite runs each kind once, and checks the codes.
"""

import collections
import contextlib
import functools
import gzip
import io
import logging
import os
import socket
import threading
import time

import grpc
import httpx
import numpy as np
import pandas as pd
from absl.testing import absltest
from PIL import Image
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests import bystander as bystanders
from tests import exported_run
from tests import running_server
from tests import server_process
from tests import serving_models

_MINUTES = float(os.environ.get("ATTACK_MINUTES", "0"))
# A folder of versions; by default that of a tiny run.
_MODEL = os.environ.get("ATTACK_MODEL", "")
_FOLDER = os.environ.get("ATTACK_FOLDER", "")
_ATTACKERS = 3 if _MINUTES else 1
_LOWER_PRIORITY = 10
# Limits, relative to the memory and the waiting time without attacks.
_MOST_MEMORY, _MOST_WAITING = 1.2, 3.0
_PREDICT = "/v1/models/default:predict"
_MOST_MESSAGE, _MOST = 16 << 20, 100 << 20  # Bytes of a message and a body.
_LARGE = _MOST if _MINUTES else 12 << 20


# httpx logs a line for every request, which would hide the table.
logging.getLogger("httpx").setLevel(logging.WARNING)


class _Client:
  """A client of both ports. Each attack returns the code that it gets."""

  def __init__(self, server, seed=0):
    self._address = "localhost", server.rest_port
    self._channel = server.channel()
    self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
      self._channel
    )
    self._http = httpx.Client(
      base_url=f"http://localhost:{server.rest_port}", timeout=120.0
    )
    self._random = np.random.default_rng(seed)
    answer = self._http.get("/v1/models/default/metadata").json()
    signatures = answer["metadata"]["signature_def"]["signature_def"]

    def width(signature, name):
      tensor = signatures[signature]["inputs"][name]
      return int(tensor["tensor_shape"]["dim"][-1]["size"])

    self._latent_size = width("decode", "latents")
    self._attributes = width("sample", "attributes")

  def close(self):
    self._http.close()
    self._channel.close()

  def sample(self, rows):
    """Returns a request for so many images."""
    zeros = np.zeros([rows, self._attributes], np.float32)
    inputs = {"attributes": zeros, "mask": zeros, "seed": np.arange(rows)}
    return self._request("sample", **inputs)

  def rows_that_are_too_many(self):
    return self._code(self._stub.Predict, self.sample(2000), timeout=20.0)

  def messages_that_are_too_large(self):
    return self._message(80 << 20)

  def messages_that_are_large(self):
    return self._message(_MOST_MESSAGE - 1000)

  def rows_that_take_too_long(self):
    rows = self._random.choice([500, 1000])
    latents = self._random.normal(size=[rows, self._latent_size])
    return self._predict("decode", 0.5, latents=latents.astype(np.float32))

  def calls_that_are_cancelled(self):
    latents = np.zeros([1000, self._latent_size], np.float32)
    call = self._stub.Predict.future(self._request("decode", latents=latents))
    if _MINUTES:
      time.sleep(self._random.choice([0.0, 0.1]))  # The call may have begun.
    call.cancel()
    return call.code().name

  def values_that_are_wrong(self):
    wrong = np.full([3, self._latent_size], np.nan, np.float32)
    shape = np.zeros([3, 1], np.float32)
    latents = self._random.choice([0, 1, 2])
    return self._predict(
      "decode", 60.0, latents=(wrong, shape, shape.astype(np.int32))[latents]
    )

  def bytes_that_are_no_message(self):
    send = self._channel.unary_unary(bystanders.METHOD)
    return self._code(send, b"\xff" + self._random.bytes(1000), timeout=60.0)

  def tensors_that_say_they_are_huge(self):
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    for size in (10**6, 10**6):
      tensor.tensor_shape.dim.add(size=size)
    return self._predict("decode", 60.0, latents=tensor)

  def names_that_nobody_has(self):
    return self._predict("x" * 10_000, 60.0, x=np.zeros(1))

  def pictures_that_are_bombs(self):
    return self._transform(13_000)  # 169 million pixels in 20 KB.

  def pictures_that_are_large(self):
    return self._transform(7_000)  # 49 million.

  def bodies_that_inflate(self):
    return self._post(_zeros(), {"Content-Encoding": "gzip"})

  def bodies_that_inflate_to_large_ones(self):
    return self._post(_compressed(_LARGE), {"Content-Encoding": "gzip"})

  def bodies_that_are_large(self):
    return self._post(_numbers(_LARGE))

  def bodies_that_are_of_some_size(self):
    return self._post(_numbers(3 << 20))

  def bodies_that_are_deep(self):
    return self._post(b'{"instances": ' + b"[" * 10**6)

  def numbers_of_thousands_of_digits(self):
    return self._post(b'{"instances": [%s]}' % (b"9" * 10_000))

  def answers_that_are_large(self):
    rows = 500 if _MINUTES else 33
    row = b"[%s]" % b",".join([b"0"] * self._latent_size)
    return self._post(_DECODE + b"[%s]}" % b",".join([row] * rows))

  def paths_that_are_odd(self):
    return str(self._http.get("/%0d%0aSet-Cookie:%20x=1").status_code)

  def bodies_that_never_come(self):
    announced = f"POST {_PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: "
    with socket.create_connection(self._address, timeout=60.0) as connection:
      connection.sendall(f"{announced}{_MOST + 1}\r\n\r\n".encode())
      return connection.recv(12).decode().rpartition(" ")[2]

  def what_is_no_http(self):
    with socket.create_connection(self._address, timeout=60.0) as connection:
      connection.sendall(self._random.bytes(100) + b"\r\n\r\n")
      return connection.recv(12).decode().rpartition(" ")[2]

  def _message(self, size):
    # Two floats for each attribute, and a seed.
    request = self.sample(size // (8 * self._attributes + 8))
    return self._code(self._stub.Predict, request, timeout=20.0)

  def _transform(self, size):
    zeros = np.zeros([1, self._attributes], np.float32)
    return self._predict(
      "transform_encoded",
      60.0,
      image_bytes=np.array([_picture(size)], object),
      attributes=zeros,
      mask=zeros,
      seed=np.zeros(1, np.int64),
      strength=np.zeros(1, np.float32),
    )

  def _request(self, signature, **inputs):
    return serving_models.request(signature, name="default", **inputs)

  def _predict(self, signature, timeout, **inputs):
    request = self._request(signature, **inputs)
    return self._code(self._stub.Predict, request, timeout=timeout)

  def _code(self, method, request, **options):
    try:
      method(request, **options)
    except grpc.RpcError as error:
      return error.code().name
    return "OK"

  def _post(self, body, headers=None):
    try:
      answer = self._http.post(_PREDICT, content=body, headers=headers)
    except httpx.WriteError:  # The server has answered and closed early.
      return "413"
    return str(answer.status_code)


# Computed once: attackers can prepare their requests.
_DECODE = b'{"signature_name": "decode", "instances": '


@functools.cache
def _zeros():
  return gzip.compress(bytes(_MOST + 1), 1)


@functools.cache
def _numbers(size):
  return _DECODE + b"[" + b"1.25, " * ((size - 100) // 6) + b"1]}"


@functools.cache
def _compressed(size):
  return gzip.compress(_numbers(size), 1)


@functools.cache
def _picture(size):
  file = io.BytesIO()
  Image.new("1", (size, size)).save(file, "PNG")
  return file.getvalue()


_INVALID = {"INVALID_ARGUMENT"}
# Codes that each attack may get, besides `_ALWAYS` for too many calls.
_ATTACKS = {
  _Client.rows_that_are_too_many: _INVALID,
  _Client.messages_that_are_too_large: {"RESOURCE_EXHAUSTED"},
  _Client.messages_that_are_large: {"DEADLINE_EXCEEDED", *_INVALID},
  _Client.rows_that_take_too_long: {"DEADLINE_EXCEEDED", "OK"},
  _Client.calls_that_are_cancelled: {"CANCELLED"},
  _Client.values_that_are_wrong: _INVALID,
  _Client.bytes_that_are_no_message: _INVALID,
  _Client.tensors_that_say_they_are_huge: _INVALID,
  _Client.names_that_nobody_has: {"FAILED_PRECONDITION"},
  _Client.pictures_that_are_bombs: _INVALID,
  _Client.pictures_that_are_large: {"OK"},
  _Client.bodies_that_inflate: {"413"},
  _Client.bodies_that_inflate_to_large_ones: {"400", "429", "504"},
  _Client.bodies_that_are_large: {"400", "429", "504"},
  _Client.bodies_that_are_of_some_size: {"400"},
  _Client.bodies_that_are_deep: {"400"},
  _Client.numbers_of_thousands_of_digits: {"400"},
  _Client.answers_that_are_large: {"200", "504"},
  _Client.paths_that_are_odd: {"404"},
  _Client.bodies_that_never_come: {"413"},
  _Client.what_is_no_http: {"400"},
}
_ALWAYS = {"RESOURCE_EXHAUSTED"}


def _lower_priority():
  """Lowers the priority of this process, but not of its children."""
  priority = os.getpriority(os.PRIO_PROCESS, 0) + _LOWER_PRIORITY
  for thread in os.listdir("/proc/self/task"):  # Priorities are per thread.
    os.setpriority(os.PRIO_PROCESS, int(thread), priority)


class AttackTest(absltest.TestCase):
  def test_attack(self):
    base_path = _MODEL or os.path.dirname(exported_run.exported())
    folder = _FOLDER or self.create_tempdir().full_path
    os.makedirs(folder, exist_ok=True)
    log = os.path.join(folder, "errors.txt")
    with contextlib.suppress(FileNotFoundError):
      os.remove(log)  # The last run's.
    # The suite uses a few of the signatures, once each.
    flags = [] if _MINUTES else ["--noenable_model_warmup"]
    server = server_process.ServerProcess(
      log, [f"--model_base_path={base_path}", *flags]
    )
    self.addCleanup(server.kill)
    with server.channel() as channel:
      for _ in running_server.attempts():
        if "AVAILABLE" in server.states(channel, "default").values():
          break
    while _MINUTES and server.load_on_cpu(1.0) > 0.1:
      pass  # The server still warms up in the background.
    bystander = self._bystander(server, folder)
    if _MINUTES:
      _lower_priority()
    seconds = 60.0 * _MINUTES / (len(_ATTACKS) + 1)
    # First, the server allocates its buffers.
    self._attack(server, bystander, None, seconds / 2.0)
    start = server.usage()["memory"]
    rows = [self._attack(server, bystander, None, seconds)]
    for attack in _ATTACKS:
      rows.append(self._attack(server, bystander, attack, seconds))
    for _ in running_server.attempts():  # Memory is freed gradually.
      if server.usage()["memory"] < _MOST_MEMORY * start:
        break
    rows.append(self._attack(server, bystander, None, 0.0))
    bystander.stop()
    server.terminate()
    self.assertEqual(server.wait(), 0)
    said = server.errors()
    self.assertNotIn("Traceback", said, said[-2000:])
    if _MINUTES:
      table = pd.DataFrame(rows)
      table.to_csv(os.path.join(folder, "figures.csv"), index=False)
      print(f"Memory at the start: {start:.0f}")
      print(table.to_string(index=False), flush=True)
      alone = table["p99"][0]
      self.assertLess(table["p99"].max(), _MOST_WAITING * alone)

  def _bystander(self, server, folder):
    """Starts the bystander."""
    client = _Client(server)
    self.addCleanup(client.close)
    path = os.path.join(folder, "request")
    with open(path, "wb") as file:
      file.write(client.sample(4).SerializeToString())
    bystander = bystanders.Bystander(f"localhost:{server.port}", path)
    self.addCleanup(bystander.stop)
    return bystander

  def _attack(self, server, bystander, attack, seconds):
    """Attacks for a while, at least once; returns a row of the table."""
    counts = collections.Counter()
    begun = time.monotonic()
    end = begun + seconds

    def go_on(number):
      with contextlib.closing(_Client(server, number)) as client:
        while True:
          counts[attack(client)] += 1
          if time.monotonic() >= end:
            return

    attackers = [
      threading.Thread(target=go_on, args=[number])
      for number in range(_ATTACKERS if attack else 0)
    ]
    for attacker in attackers:
      attacker.start()
    peak = server.usage()["memory"]
    while time.monotonic() < end or any(one.is_alive() for one in attackers):
      time.sleep(0.1)
      peak = max(peak, server.usage()["memory"])
    for attacker in attackers:
      attacker.join()
    calls = bystander.calls(begun, time.monotonic())
    name = attack.__name__ if attack else "nothing"
    self.assertEqual({call.code for call in calls}, {"OK"}, name)
    unexpected = set(counts) - _ATTACKS.get(attack, set()) - _ALWAYS
    self.assertEmpty(unexpected, f"{name}: {dict(counts)}")
    waits = [1e3 * call.seconds for call in calls]
    row = {
      "attack": name.replace("_", " "),
      "codes": ", ".join(f"{code} {n}" for code, n in counts.items()),
      "p50": round(np.percentile(waits, 50), 1),
      "p99": round(np.percentile(waits, 99), 1),
      "most": round(max(waits), 1),
      "peak": round(peak),
      "memory": round(server.usage()["memory"]),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
  absltest.main()
