"""Models, truth, counts and clients that the parts of a soak test share.

A model returns y = factor * x + version: the answer shows the version, and the
factor identifies the model.
"""

import abc
import collections
import contextlib
import dataclasses
import http.client
import json
import os
import random
import shutil
import struct
import threading
import traceback

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests import running_server
from tests import server_process
from tests import serving_models

# States in place of a version: the model is not served, the server is down.
ABSENT, DOWN = "absent", "down"
_FACTORS = {"steady": 2.0, "slow": 3.0, "mended": 5.0, "labelled": 7.0}
_FACTORS |= {"guest": 11.0}
# Placeholders in the template, whose bytes occur nowhere else in it.
_FACTOR, _VERSION = 123456.7, 987654.3
# Size of a version's weights, a megabyte: leaks are then visible.
_BALLAST = 2**18
_STATUSES = {
  404: "NOT_FOUND",
  429: "RESOURCE_EXHAUSTED",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
}
# gRPC returns CANCELLED for a call that arrives while the port is closed,
# before the client notices.
_WHILE_DOWN = ("UNAVAILABLE", "CANCELLED")
_MOST_EXAMPLES = 20


class Truth:
  """The versions that may answer, now and since earlier times.

  A part that changes the served versions calls `may_be` with the states before
  and after, makes the change, waits until the server has followed, and calls it
  with the new state. A call may be answered by any state that was possible
  between its beginning and its end.
  """

  def __init__(self, *versions):
    self._states = [frozenset(versions)]

  def may_be(self, *versions) -> None:
    """Records the states that are possible from now on."""
    self._states.append(frozenset(versions))

  def begin(self) -> int:
    """Returns the argument of `since` for a call that begins."""
    return len(self._states) - 1

  def since(self, begin: int) -> frozenset:
    """Returns all states that were possible since `begin`."""
    return frozenset().union(*self._states[begin:])


class Counts:
  """Counts calls by kind and outcome: right, expected, wrong, failed."""

  def __init__(self):
    self._lock = threading.Lock()
    self._counter = collections.Counter()
    self.examples = []

  def add(self, kind: str, outcome: str, text: str = "") -> None:
    """Counts a call; the text of an expected failure is its code."""
    with self._lock:
      if outcome in ("wrong", "failed"):
        if len(self.examples) < _MOST_EXAMPLES:
          self.examples.append(f"{outcome}: {kind}: {text}")
        text = ""
      self._counter[kind, outcome, text] += 1

  def total(self, outcome: str | None = None) -> int:
    """Returns the number of calls, of one outcome or of all."""
    with self._lock:
      return sum(
        number
        for (_, one, _), number in self._counter.items()
        if outcome in (None, one)
      )

  def table(self) -> str:
    """Returns the counts as text."""
    with self._lock:
      return "\n".join(
        f"{kind:24} {number:8} {outcome} {text}".rstrip()
        for (kind, outcome, text), number in sorted(self._counter.items())
      )


class Template:
  """A SavedModel whose copies, with two numbers replaced, are versions."""

  def __init__(self, folder: str):
    """Saves it in a folder."""
    _save(folder)
    self._files = {}
    for parent, _, names in os.walk(folder):
      for name in names:
        path = os.path.join(parent, name)
        with open(path, "rb") as file:
          self._files[os.path.relpath(path, folder)] = file.read()
    del self._files["fingerprint.pb"]

  def files(self, factor: float, version: int) -> dict[str, bytes]:
    """Returns the files of a version, in the order of a copy."""
    proto = self._files["saved_model.pb"]
    for mark, value in ((_FACTOR, factor), (_VERSION, version)):
      proto = proto.replace(struct.pack("<f", mark), struct.pack("<f", value))
    return {"saved_model.pb": proto} | {
      name: content
      for name, content in self._files.items()
      if name != "saved_model.pb"
    }


def _save(folder):
  module = tf.Module()
  module.ballast = tf.Variable(tf.zeros([_BALLAST]))
  module.gate = tf.Variable(0, dtype=tf.int64)
  module.started = tf.Variable(0, dtype=tf.int64)

  def answer(x, turns=()):
    with tf.control_dependencies(turns):
      y = tf.constant(_FACTOR) * x + tf.constant(_VERSION)
      return {"y": y + module.ballast[0]}

  def while_true(condition):
    with tf.control_dependencies([module.started.assign_add(1)]):
      return tf.while_loop(lambda turn: condition(), lambda turn: turn + 1, [0])

  def wait(x, seconds):
    """Returns after a while."""
    end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
    return answer(x, while_true(lambda: tf.timestamp() < end))

  def hold(x, path):
    """Returns when a file exists."""
    return answer(
      x,
      while_true(lambda: tf.equal(tf.size(tf.io.matching_files(path[0])), 0)),
    )

  def spin(x):
    """Returns after `release` is called."""
    begin = module.gate.read_value()
    with tf.control_dependencies([begin]):
      return answer(
        x, while_true(lambda: tf.equal(module.gate.read_value(), begin))
      )

  def release(x):
    with tf.control_dependencies([module.gate.assign_add(1)]):
      return {"x": tf.identity(x)}

  def started(x):
    """Returns the number of calls of `wait`, `hold` and `spin` so far."""
    began = tf.cast(module.started.read_value(), tf.float32)
    return {"started": began + tf.zeros_like(x)}

  rows = tf.TensorSpec([None, 2], tf.float32, "x")
  module.functions = {
    name: tf.function(function, [rows, *more], autograph=False)
    for name, function, *more in (
      ("serving_default", lambda x: answer(x)),
      ("wait", wait, tf.TensorSpec([None], tf.float32, "seconds")),
      ("hold", hold, tf.TensorSpec([None], tf.string, "path")),
      ("spin", spin),
      ("release", release),
      ("started", started),
    )
  }
  tf.saved_model.save(module, folder, module.functions)


def write(folder: str, name: str, content: bytes) -> None:
  """Writes one file of a version."""
  path = os.path.join(folder, name)
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, "wb") as file:
    file.write(content)


@dataclasses.dataclass
class Model:
  """A model; `truth` has the versions that may answer for the newest."""

  name: str
  base_path: str
  template: Template | None
  factor: float
  truth: Truth

  def files(self, version: int) -> dict[str, bytes]:
    """Returns the files of a version."""
    return self.template.files(self.factor, version)

  def publish(self, version: int) -> None:
    """Publishes a version by a rename."""
    aside = os.path.join(self.base_path, f".tmp-{version}")
    for name, content in self.files(version).items():
      write(aside, name, content)
    os.rename(aside, os.path.join(self.base_path, str(version)))

  def remove(self, version: int) -> None:
    """Removes a version by a rename."""
    aside = os.path.join(self.base_path, f".gone-{version}")
    os.rename(os.path.join(self.base_path, str(version)), aside)
    shutil.rmtree(aside)

  def version_of(self, x: np.ndarray, y) -> int | None:
    """Returns the version that answers y; None if none does."""
    y = np.asarray(y, np.float32)
    if y.shape != x.shape or not y.size:
      return None
    rest = y - self.factor * x
    version = rest.ravel()[0]
    return (
      int(version) if np.all(rest == version) and version % 1 == 0 else None
    )


class World:
  """The state that all parts share.

  Attributes:
    folder: Folder of all files.
    models: The models, by name.
    labels: By label of the model `labelled`, the truth.
    outage: Whether the server may be DOWN; DOWN is its only state then.
    counts: Counts of calls.
    process: The server, once it has started.
    stopping: Set when the parts should end.
  """

  def __init__(self, folder: str, seed: str):
    """Writes the models, version 1 of each and version 2 of `labelled`."""
    self.folder = folder
    template = Template(os.path.join(folder, "template"))
    self.models = {}
    for name, factor in _FACTORS.items():
      base_path = os.path.join(folder, name)
      self.models[name] = Model(name, base_path, template, factor, Truth(1))
      self.models[name].publish(1)
    self.models["labelled"].publish(2)
    self.labels = {"stable": Truth(1), "canary": Truth(2)}
    self.outage = Truth()
    self.counts = Counts()
    self.process: server_process.ServerProcess | None = None
    self.stopping = threading.Event()
    self._seed = seed

  def random(self, name: str) -> random.Random:
    """Returns a part's random number generator."""
    return random.Random(f"{self._seed}/{name}")

  def wait_for(self, channel, model: str, version: int, condition) -> None:
    """Waits until the state of a version is as it should be."""
    for _ in running_server.attempts():
      if condition(self.process.states(channel, model).get(version)):
        return

  def wait_until_available(self, channel, model: str, version: int) -> None:
    """Waits until a version can answer."""
    self.wait_for(channel, model, version, lambda state: state == "AVAILABLE")

  def wait_until_gone(self, channel, model: str, version: int) -> None:
    """Waits until a version cannot answer any more."""
    self.wait_for(channel, model, version, lambda state: state != "AVAILABLE")


class Part(threading.Thread, abc.ABC):
  """A thread that repeats a step until the world stops."""

  def __init__(self, world: World, name: str):
    super().__init__(name=name, daemon=True)
    self.closing = contextlib.ExitStack()
    self.world = world
    self.random = world.random(name)

  @abc.abstractmethod
  def step(self) -> None:
    """Does it once."""

  def run(self) -> None:
    """See base class."""
    try:
      while not self.world.stopping.is_set():
        self.step()
    # The server has not followed, or the test is wrong: neither may be hidden
    # as a successful run.
    except Exception:
      self.world.counts.add(self.name, "failed", traceback.format_exc())
    finally:
      self.closing.close()

  def pause(self, longest: float) -> None:
    """Waits for a random time, or until the world stops."""
    self.world.stopping.wait(self.random.uniform(0.0, longest))

  def rows(self) -> np.ndarray:
    """Returns an input of some rows."""
    return np.array(
      [
        [self.random.randint(-50, 50) for _ in range(2)]
        for _ in range(self.random.randint(1, 4))
      ],
      np.float32,
    )


class Failure(Exception):
  """A failed call: a code and a text."""

  def __init__(self, code: str, text: str):
    super().__init__(f"{code}: {text}")
    self.code = code


class Grpc:
  """A client over gRPC."""

  def __init__(self, process: server_process.ServerProcess):
    self.channel = process.channel()
    self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

  def send(self, model, x, signature="", timeout=None, where=None, **inputs):
    """Sends a request; `receive` takes what it returns.

    Args:
      model, x, signature: The request.
      timeout: Most seconds of the call; None is the tests' patience.
      where: "version" or "label", and its value.
      **inputs: Further inputs.
    """
    request = serving_models.request(
      signature, name=model, x=x, **(where or {}), **inputs
    )
    return self.stub.Predict.future(
      request, timeout=timeout or running_server.PATIENCE
    )

  def receive(self, call, x):
    """Returns the version in the response, and the answer.

    Raises:
      Failure: The call failed.
    """
    try:
      response = call.result()
    except grpc.RpcError as error:
      raise Failure(error.code().name, error.details()) from error
    except grpc.FutureCancelledError as error:
      raise Failure("CANCELLED", "") from error
    values = response.outputs["y"].float_val
    y = np.reshape(values, x.shape) if len(values) == x.size else values
    return response.model_spec.version.value, y

  def ask(self, model, x, **asked):
    """Sends and receives."""
    return self.receive(self.send(model, x, **asked), x)

  def close(self):
    """Ends the connection."""
    self.channel.close()


class Rest:
  """A client over HTTP, like `Grpc`; answers do not have a version."""

  def __init__(self, process: server_process.ServerProcess):
    self.connection = http.client.HTTPConnection(
      "localhost", process.rest_port, timeout=running_server.PATIENCE
    )

  def send(self, model, x, signature="", timeout=None, where=None, **inputs):
    """See `Grpc.send`."""
    path = "".join(f"/{key}s/{value}" for key, value in (where or {}).items())
    inputs = {"x": x} | inputs
    body = {
      "signature_name": signature or "serving_default",
      "inputs": {name: value.tolist() for name, value in inputs.items()},
    }
    self.connection.request(
      "POST", f"/v1/models/{model}{path}:predict", json.dumps(body)
    )

  def receive(self, call, x):
    """See `Grpc.receive`."""
    response = self.connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
      code = _STATUSES.get(response.status, f"HTTP {response.status}")
      raise Failure(code, answer["error"])
    return None, answer["outputs"]

  def ask(self, model, x, **asked):
    """Sends and receives."""
    try:
      return self.receive(self.send(model, x, **asked), x)
    except (OSError, http.client.HTTPException) as error:
      self.close()
      raise Failure("UNAVAILABLE", repr(error)) from error

  def close(self):
    """Ends the connection."""
    self.connection.close()


def check(
  world, kind, client, model, x, truth=None, expected=(), **asked
) -> bool:
  """Makes a call and counts its outcome; returns whether that was right.

  Args:
    kind: The name that it is counted under.
    client: `Grpc` or `Rest`.
    model, x: See `Grpc.send`.
    truth: The versions that may answer; None is the truth of the model.
    expected: Codes of failures that are allowed.
    **asked: See `Grpc.send`.
  """
  truth = truth or model.truth
  up, begin = world.outage.begin(), truth.begin()
  try:
    said, y = client.ask(model.name, x, **asked)
  except Failure as failure:
    may_be = (
      failure.code in expected
      or (failure.code == "NOT_FOUND" and ABSENT in truth.since(begin))
      or (failure.code in _WHILE_DOWN and DOWN in world.outage.since(up))
    )
    if may_be:
      world.counts.add(kind, "expected", failure.code)
    else:
      text = f"{model.name}, {asked}: {failure}"
      world.counts.add(kind, "failed", text)
    return False
  version, possible = model.version_of(x, y), truth.since(begin)
  right = version in possible and said in (None, version)
  world.counts.add(
    kind,
    "right" if right else "wrong",
    ""
    if right
    else f"{model.name}, {asked}: version {said} is said to answer {y} to "
    f"{x.tolist()}, which is version {version}'s; possible: {possible}",
  )
  return right
