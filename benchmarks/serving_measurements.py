"""Measures servers beside each other: a trivial model, and `sample`."""

import contextlib
import dataclasses
import json
import os
import time

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from benchmarks import figures
from benchmarks import load
from benchmarks import served_models
from benchmarks import servers
from serving import export
from serving import latent_client

BATCH = 16
CROWD = 64
_TRIVIAL, _FACES = "trivial", "faces"
_CROWD_SECONDS, _CROWD_DEADLINE = 4.0, 20.0
_WARM_UP = 0.25
_CONFIG = """\
model_config_list {
  config { name: "%s" base_path: "%s" model_platform: "tensorflow" }
  config { name: "%s" base_path: "%s" model_platform: "tensorflow" }
}
"""


@dataclasses.dataclass
class Measurements:
  """What was measured; lists have an entry per round.

  Attributes:
    machine: On what.
    trivial: Loads of the trivial model, by server and number of clients.
    cpu: CPU seconds of the server per call, by the same.
    sample: Seconds of each call of `sample`, by way and round.
    crowds: What became of 64 clients, by what they asked.
  """

  machine: dict
  trivial: dict[tuple[str, int], list[load.Load]]
  cpu: dict[tuple[str, int], list[float]]
  sample: dict[str, list[list[float]]]
  crowds: dict[str, load.Load]


@dataclasses.dataclass
class _Models:
  """What is served, and what is asked of it.

  Attributes:
    config: A file that names both models.
    trivial: Folder of the trivial SavedModel.
    faces: Folder of the SavedModel whose `sample` is asked.
    x: What the trivial one is asked.
    wishes: What `sample` is asked, by input.
  """

  config: str
  trivial: str
  faces: str
  x: dict[str, np.ndarray]
  wishes: dict[str, np.ndarray]


@dataclasses.dataclass
class _Running:
  """The servers."""

  ours: servers.Process
  nothing: servers.Process
  naive: servers.Process
  naive_faces: servers.Process


def measure(
  folder: str, rounds: int, seconds: float, calls: int, saved_model: str | None
) -> Measurements:
  """Measures everything.

  Args:
    folder: An empty one, for models.
    rounds: How often everything is measured, in turn.
    seconds: How long a server is under one load.
    calls: Calls of `sample` that follow each other.
    saved_model: An export of ours; None makes one.
  """
  models = _write_models(folder, saved_model)
  trivial = _request(_TRIVIAL, "", models.x)
  sample = _request(_FACES, "sample", models.wishes)
  with contextlib.ExitStack() as stack:

    def start(asked, module, *args, **kwargs):
      process = stack.enter_context(servers.Process(module, *args, **kwargs))
      process.wait_for(asked)
      return process

    def start_peer(asked, *args):
      return start([asked], "benchmarks.peers", *args)

    running = _Running(
      ours=start(
        [trivial, sample],
        "serving.server",
        "--port=0",
        "--rest_api_port=-1",
        f"--model_config_file={models.config}",
        has_rest=True,
      ),
      nothing=start_peer(trivial, "--peer=nothing"),
      naive=start_peer(
        trivial, "--peer=naive", f"--saved_model={models.trivial}"
      ),
      naive_faces=start_peer(
        sample, "--peer=naive", f"--saved_model={models.faces}"
      ),
    )
    machine = figures.machine()
    ours = running.ours
    rest = {
      "trivial": ours.rest_target(_TRIVIAL, _json("serving_default", models.x)),
      "sample": ours.rest_target(_FACES, _json("sample", models.wishes)),
    }
    loads, cpu = _measure_trivial(
      {
        "ours": (ours, ours.grpc_target(trivial)),
        "REST": (ours, rest["trivial"]),
        "nothing": (running.nothing, running.nothing.grpc_target(trivial)),
        "naive": (running.naive, running.naive.grpc_target(trivial)),
      },
      rounds,
      seconds,
    )
    return Measurements(
      machine,
      loads,
      cpu,
      _measure_sample(running, models, sample, rest["sample"], rounds, calls),
      {
        name: load.run(target, CROWD, _CROWD_SECONDS, deadline=_CROWD_DEADLINE)
        for name, target in {
          "trivial, gRPC": ours.grpc_target(trivial),
          "trivial, REST": rest["trivial"],
          "sample, gRPC": ours.grpc_target(sample),
          "sample, REST": rest["sample"],
        }.items()
      },
    )


def _write_models(folder, saved_model):
  """Returns the models, and writes what there is not."""
  trivial = os.path.join(folder, _TRIVIAL)
  served_models.write_trivial(os.path.join(trivial, "1"))
  if saved_model is None:
    run_dir = os.path.join(folder, "run")
    served_models.write_run(run_dir)
    saved_model = export.export(run_dir, os.path.join(run_dir, "export"))
  faces = os.path.join(folder, _FACES)
  os.makedirs(faces)
  os.symlink(os.path.abspath(saved_model), os.path.join(faces, "1"))
  config = os.path.join(folder, "models.config")
  with open(config, "w", encoding="utf-8") as file:
    file.write(_CONFIG % (_TRIVIAL, trivial, _FACES, faces))
  return _Models(
    config,
    os.path.join(trivial, "1"),
    saved_model,
    {"x": np.zeros([1, 2], np.float32)},
    _wishes(saved_model),
  )


def _measure_trivial(targets, rounds, seconds):
  """Returns loads and CPU seconds per call, by server and clients."""
  loads, cpu = {}, {}
  warm_up = _WARM_UP * seconds
  for _ in range(rounds):
    for clients in (1, 4):
      for name, (process, target) in targets.items():
        before = process.cpu_seconds
        one = load.run(target, clients, seconds, warm_up)
        # The calls to warm up are not counted, but are as many a second.
        calls = (1.0 + _WARM_UP) * one.rate * seconds
        loads.setdefault((name, clients), []).append(one)
        cpu.setdefault((name, clients), []).append(
          (process.cpu_seconds - before) / max(1.0, calls)
        )
  return loads, cpu


def _measure_sample(running, models, request, rest, rounds, calls):
  """Returns seconds of each call, by way and round."""
  wishes = models.wishes
  sent = request.SerializeToString()
  ours, naive = running.ours, running.naive_faces
  with latent_client.LatentClient(f"127.0.0.1:{ours.port}", _FACES) as client:
    ways = {
      "in process": _in_process(models.faces, wishes),
      "ours, bytes": lambda: ours.predict(sent),
      "ours, LatentClient": lambda: client.sample(
        wishes["attributes"], wishes["mask"], wishes["seed"]
      ),
      # Pictures as PNG files, an eighth of what they are as numbers.
      "ours, LatentClient, PNG": lambda: client.sample(
        wishes["attributes"], wishes["mask"], wishes["seed"], ["image_bytes"]
      ),
      "naive, bytes": lambda: naive.predict(sent),
      "naive, to numpy": lambda: _read(naive.predict(sent)),
      "REST, bytes": lambda: load.once(rest),
    }
    taken = {name: [] for name in ways}
    for _ in range(rounds):
      for name, call in ways.items():
        call()  # What came before has left its mark on the caches.
        taken[name].append([_seconds(call) for _ in range(calls)])
  return taken


def _seconds(call):
  started = time.perf_counter()
  call()
  return time.perf_counter() - started


def _request(model, signature, inputs):
  request = predict_pb2.PredictRequest()
  request.model_spec.name = model
  request.model_spec.signature_name = signature
  for name, value in inputs.items():
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
  return request


def _json(signature, inputs):
  columns = {name: value.tolist() for name, value in inputs.items()}
  return json.dumps({"signature_name": signature, "inputs": columns}).encode()


def _wishes(path):
  """Returns 16 wishes, as arrays by the names that `sample` has for them."""
  with open(os.path.join(path, export.MANIFEST), encoding="utf-8") as file:
    count = len(json.load(file)["attributes"])
  attributes = np.zeros([BATCH, count], np.float32)
  attributes[np.arange(BATCH), np.arange(BATCH) % count] = 1.0
  # One attribute a row, the others open: never two that rule each other out.
  return {
    "attributes": attributes,
    "mask": attributes.copy(),
    "seed": np.arange(BATCH),
  }


def _in_process(path, inputs):
  """Returns what a program does that loads the SavedModel itself."""
  model = tf.saved_model.load(path)

  def call():
    asked = {name: tf.constant(value) for name, value in inputs.items()}
    outputs = model.signatures["sample"](**asked)
    return {name: value.numpy() for name, value in outputs.items()}

  return call


def _read(answer):
  """Returns what is in an answer as the naive would read it."""
  response = predict_pb2.PredictResponse.FromString(answer)
  return {k: tf.make_ndarray(v) for k, v in response.outputs.items()}
