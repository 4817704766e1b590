"""Times the server, and alternatives to it.

  python -m benchmarks.serving --saved_model=runs/demo/export/1

A trivial model shows the cost of a call, and `sample` of an export (16 rows)
the share of that cost for a real model. `plain_servers` are the peers; `sample`
is compared with a program that loads the SavedModel itself, too.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import grpc
import numpy as np
import psutil
import tensorflow as tf
from absl import flags
from tensorflow_serving.apis import predict_pb2

from benchmarks import load
from benchmarks import timing
from lc_keras import plotting
from serving import export
from serving import latent_client

_SAVED_MODEL = flags.DEFINE_string(
  "saved_model", None, "An export, whose `sample` is asked."
)
_ROUNDS = flags.DEFINE_integer("rounds", timing.ROUNDS, "Measurements of each.")
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Duration of each load.")
_CALLS = flags.DEFINE_integer("calls", 12, "Calls of `sample` a measurement.")
_ROWS = 16
_CROWD, _CROWD_SECONDS, _CROWD_DEADLINE = 64, 4.0, 20.0
_METHOD = "tensorflow.serving.PredictionService/Predict"
_PATIENCE = 300.0
_CONFIG = """\
model_config_list {
  config { name: "trivial" base_path: "%s" model_platform: "tensorflow" }
  config { name: "faces" base_path: "%s" model_platform: "tensorflow" }
}
"""


class _Server:
  """A server in another process, until the end of a `with` block."""

  def __init__(self, module: str, *arguments: str):
    self._process = subprocess.Popen(
      [sys.executable, "-m", module, *arguments],
      stdout=subprocess.PIPE,
      text=True,
      cwd=timing.ROOT,
      env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    ports = {}
    has_rest = any("rest_api_port" in argument for argument in arguments)
    for line in self._process.stdout:
      if found := re.search(r"Serving (\w+) on port (\d+)", line):
        ports[found[1]] = found[2]
      if "gRPC" in ports and ("HTTP" in ports or not has_rest):
        break
    # Further output must not fill the pipe.
    threading.Thread(target=self._process.stdout.read, daemon=True).start()
    self.address = f"127.0.0.1:{ports['gRPC']}"
    self.grpc = f"grpc://{self.address}/{_METHOD}"
    self.rest = f"http://127.0.0.1:{ports.get('HTTP')}/v1/models/"
    channel = grpc.insecure_channel(self.address, load.CHANNEL)
    self._predict = channel.unary_unary(f"/{_METHOD}")

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._process.kill()
    self._process.wait()

  @property
  def cpu_seconds(self) -> float:
    times = psutil.Process(self._process.pid).cpu_times()
    return times.user + times.system

  def predict(self, request: bytes) -> bytes:
    return self._predict(request, timeout=_PATIENCE, wait_for_ready=True)

  def wait_for(self, request: bytes) -> None:
    """Waits until a model is loaded and answers."""
    end = time.monotonic() + _PATIENCE
    while True:
      try:
        self.predict(request)
        return
      except grpc.RpcError as error:
        if time.monotonic() > end:
          raise
        if error.code() != grpc.StatusCode.UNAVAILABLE:
          raise


def _write_trivial(folder):
  """Writes a SavedModel that multiplies two numbers a row by two."""
  module = tf.Module()
  module.factor = tf.Variable(2.0)
  module.multiply = tf.function(
    lambda x: {"y": module.factor * x},
    [tf.TensorSpec([None, 2], tf.float32, "x")],
    autograph=False,
  )
  key = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
  tf.saved_model.save(module, folder, {key: module.multiply})


def _request(model, signature, inputs):
  """Returns a request of gRPC and one of REST, as bytes."""
  request = predict_pb2.PredictRequest()
  request.model_spec.name = model
  request.model_spec.signature_name = signature
  for name, value in inputs.items():
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
  columns = {name: value.tolist() for name, value in inputs.items()}
  rest = {"signature_name": signature, "inputs": columns}
  return request.SerializeToString(), json.dumps(rest).encode()


def _requests(path):
  """Returns 16 requests, as arrays by the names of `sample`'s inputs."""
  with open(os.path.join(path, export.MANIFEST), encoding="utf-8") as file:
    count = len(json.load(file)["attributes"])
  # One attribute a row: two could be exclusive.
  attributes = np.eye(count, dtype=np.float32)[np.arange(_ROWS) % count]
  return {
    "attributes": attributes,
    "mask": attributes,
    "seed": np.arange(_ROWS),
  }


def _measure_trivial(targets):
  """Returns loads, and microseconds of CPU a call, by server and clients."""
  loads, cpu = {}, {}
  for _ in range(_ROUNDS.value):
    for clients in (1, 4):
      for name, (server, url, body) in targets.items():
        before = server.cpu_seconds
        one = load.run(url, body, clients, _SECONDS.value, warm_up=0.0)
        used = (
          1e6 * (server.cpu_seconds - before) / max(1, sum(one.codes.values()))
        )
        loads.setdefault((name, clients), []).append(one)
        cpu.setdefault((name, clients), []).append(used)
  return loads, cpu


def _measure_sample(ways):
  """Returns the median milliseconds of a call, by kind of call and round."""
  taken = {name: [] for name in ways}
  for _ in range(_ROUNDS.value):
    for name, call in ways.items():
      call()  # Warms up caches after another kind of call.
      seconds = []
      for _ in range(_CALLS.value):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
      taken[name].append(1e3 * np.median(seconds))
  return taken


def _in_process(path, inputs):
  """Returns a function that calls the SavedModel in this process."""
  sample = tf.saved_model.load(path).signatures["sample"]

  def call():
    outputs = sample(
      **{key: tf.constant(value) for key, value in inputs.items()}
    )
    return {name: value.numpy() for name, value in outputs.items()}

  return call


def _post(url, body):
  with urllib.request.urlopen(url, body, timeout=_PATIENCE) as answer:
    return answer.read()


def _read(answer):
  response = predict_pb2.PredictResponse.FromString(answer)
  return {k: tf.make_ndarray(v) for k, v in response.outputs.items()}


def _draw(loads):
  """Draws latencies by percentile."""
  chart, axes = plotting.panels(1)
  axis = np.ravel(axes)[0]
  percents = np.array([0.0, 50.0, 90.0, 99.0])
  for ((name, clients), rounds), style in zip(loads.items(), plotting.styles()):
    latencies = load.together(rounds).latencies
    axis.plot(
      # 90 and 99 percent are equally spaced.
      -np.log10(1.0 - percents / 100.0),
      1e3 * np.percentile(latencies, percents),
      label=f"{name}, {clients} at once",
      **style,
    )
  axis.set_xticks(-np.log10(1.0 - percents / 100.0), percents)
  axis.set(xlabel="percent of calls that take no longer", yscale="log")
  axis.set_ylabel("milliseconds, of a trivial call")
  axis.legend()
  return plotting.drawn(chart)


def _measure():
  if not _SAVED_MODEL.value:
    sys.exit("Error: no --saved_model: `make demo` trains and exports one.")
  faces = os.path.abspath(_SAVED_MODEL.value)
  machine = timing.machine()
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    _write_trivial(str(folder / "trivial/1"))
    (folder / "faces").mkdir()
    (folder / "faces/1").symlink_to(faces)
    config = folder / "models.config"
    config.write_text(_CONFIG % (folder / "trivial", folder / "faces"))
    x, rest_x = _request("trivial", "", {"x": np.zeros([1, 2], np.float32)})
    inputs = _requests(faces)
    sample, rest_sample = _request("faces", "sample", inputs)

    def start(request, *command):
      server = stack.enter_context(_Server(*command))
      server.wait_for(request)
      return server

    ours = start(
      *(x, "serving.server", "--port=0", "--rest_api_port=-1"),
      f"--model_config_file={config}",
    )
    ours.wait_for(sample)
    plain = "benchmarks.plain_servers"
    empty = start(x, plain)
    naive = start(x, plain, str(folder / "trivial/1"))
    naive_faces = start(sample, plain, faces)
    client = stack.enter_context(
      latent_client.LatentClient(ours.address, "faces")
    )
    rest_trivial_url = f"{ours.rest}trivial:predict"
    rest_sample_url = f"{ours.rest}faces:predict"
    loads, cpu = _measure_trivial(
      {
        "ours": (ours, ours.grpc, x),
        "ours, REST": (ours, rest_trivial_url, rest_x),
        "naive": (naive, naive.grpc, x),
        "empty answers": (empty, empty.grpc, x),
      }
    )
    asked = inputs.values()
    sampled = _measure_sample(
      {
        "in process": _in_process(faces, inputs),
        "LatentClient": lambda: client.sample(*asked),
        "LatentClient, PNG": lambda: client.sample(*asked, ["image_bytes"]),
        "naive": lambda: _read(naive_faces.predict(sample)),
        "REST": lambda: _post(rest_sample_url, rest_sample),
      }
    )
    crowds = {
      name: load.run(
        *(url, body, _CROWD, _CROWD_SECONDS), deadline=_CROWD_DEADLINE
      )
      for name, url, body in (
        ("trivial", ours.grpc, x),
        ("trivial, REST", rest_trivial_url, rest_x),
        ("sample", ours.grpc, sample),
        ("sample, REST", rest_sample_url, rest_sample),
      )
    }
  rows = [
    timing.row(
      f"a trivial call, {clients} at once",
      "calls/s",
      {
        name: [one.rate for one in rounds]
        for (name, at_once), rounds in loads.items()
        if at_once == clients
      },
    )
    for clients in (1, 4)
  ]
  # Milliseconds: a ratio above 1 is slower than in process.
  rows += [
    timing.row(
      f"sample of {_ROWS}, {way}",
      "ms",
      {way: taken, "in process": sampled["in process"]},
    )
    for way, taken in sampled.items()
    if way != "in process"
  ]
  timing.report(
    "serving",
    rows,
    machine,
    picture=_draw(loads),
    loads={
      f"{name}, {clients} at once": load.together(rounds).summary()
      for (name, clients), rounds in loads.items()
    },
    cpu_us_a_call={
      f"{name}, {clients} at once": timing.spread(used)
      for (name, clients), used in cpu.items()
    },
    crowds={
      f"{name}, {_CROWD} at once": crowd.summary()
      for name, crowd in crowds.items()
    },
  )


if __name__ == "__main__":
  timing.run(_measure)
