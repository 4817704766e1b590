"""The parts of a soak test: callers, some of which misbehave, and faults."""

import contextlib
import http.client
import os
import threading

import grpc
import numpy as np
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import model_service_pb2_grpc

from serving.server import model_configs
from tests import running_server
from tests import serving_models
from tests import soak_world

_DATA = "variables/variables.data-00000-of-00001"
_X = np.array([[1.0, 2.0], [-3.0, 4.0]], np.float32)


class Held:
  """Simultaneous calls of the model `slow`, on both ports."""

  def __init__(self, world, client, calls, rest_calls, signature, **inputs):
    """Sends them, with a signature, "spin" or "hold", and inputs besides x."""
    self._world = world
    self._client = client
    self._before = self._started()
    clients = [client] * calls
    clients += [soak_world.Rest(world.process) for _ in range(rest_calls)]
    self._calls = [
      (one, one.send("slow", _X, signature=signature, **inputs))
      for one in clients
    ]

  def all_run(self) -> bool:
    """Waits until all calls run; returns whether they do.

    If not, a call over gRPC has ended, or the server has no slot left to report
    how many run.
    """
    for _ in running_server.attempts():
      try:
        if self._started() >= self._before + len(self._calls):
          return True
      except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
          raise
        return False
      if any(call is not None and call.done() for _, call in self._calls):
        return False

  def release(self) -> None:
    """Ends calls of `spin`."""
    self._ask("release")

  def count(self, kind: str) -> None:
    """Waits for the answers, all of which must be right."""
    model = self._world.models["slow"]
    for client, call in self._calls:
      try:
        _, y = client.receive(call, _X)
        right = model.version_of(_X, y) in model.truth.since(-1)
        if right:
          self._world.counts.add(kind, "right")
        else:
          self._world.counts.add(kind, "wrong", str(y))
      # These must be answered, whatever happens to the server.
      except (soak_world.Failure, OSError, http.client.HTTPException) as error:
        self._world.counts.add(kind, "failed", f"lost: {error!r}")

  def cancel(self) -> None:
    """Cancels the calls that still run."""
    for client, call in self._calls:
      if call is None:
        client.close()
      else:
        call.cancel()

  def _started(self):
    return self._ask("started").outputs["started"].float_val[0]

  def _ask(self, signature):
    return self._client.stub.Predict(
      serving_models.request(signature, name="slow", x=_X[:1]),
      timeout=running_server.PATIENCE,
    )


class Checker(soak_world.Part):
  """Calls all models and checks the answers.

  Attributes:
    heard: Set at every right answer.
  """

  def __init__(self, world, kind, client, number):
    super().__init__(world, f"{kind} {number}")
    self.heard = threading.Event()
    self._kind = kind
    self._client = self.closing.enter_context(
      contextlib.closing(client(world.process))
    )
    models = world.models
    self._targets = [
      (models[name], None, None) for name in ("steady", "mended", "guest")
    ] + [
      (models["labelled"], truth, {"label": label})
      for label, truth in world.labels.items()
    ]

  def step(self):
    x, more = self.rows(), {}
    if self.random.random() < 0.1:
      # A slow call, during which versions are added and removed.
      model, truth, where = self.world.models["slow"], None, None
      seconds = np.full(len(x), self.random.uniform(0.0, 0.5), np.float32)
      more = {"signature": "wait", "seconds": seconds}
    else:
      model, truth, where = self.random.choice(self._targets)
    more["where"] = where
    if soak_world.check(
      self.world, self._kind, self._client, model, x, truth, **more
    ):
      self.heard.set()
    elif soak_world.DOWN in self.world.outage.since(-1):
      self.world.stopping.wait(0.05)


class Impatient(soak_world.Part):
  """Makes calls with short deadlines, cancels calls, and disconnects."""

  def __init__(self, world):
    super().__init__(world, "impatient")
    self._client = self.closing.enter_context(
      contextlib.closing(soak_world.Grpc(world.process))
    )

  def step(self):
    steps = [self._hasty] * 8 + [self._deadline, self._cancel, self._hang_up]
    self.random.choice(steps)()

  def _check(self, kind, model, **asked):
    return soak_world.check(
      self.world,
      kind,
      self._client,
      self.world.models[model],
      self.rows(),
      expected=("DEADLINE_EXCEEDED", "CANCELLED"),
      **asked,
    )

  def _hasty(self):
    timeout = 0.0005 * 400.0 ** self.random.random()
    self._check("gRPC in a hurry", "steady", timeout=timeout)

  def _deadline(self):
    timeout = self.random.uniform(0.02, 0.5)
    self._check(
      "gRPC endless, deadline", "slow", signature="spin", timeout=timeout
    )

  def _send(self, client):
    # A call that ends soon may be over before it is cancelled.
    signature = self.random.choice(["", "spin"])
    call = client.send("slow", self.rows(), signature=signature)
    self.pause(self.random.choice([0.005, 0.3]))
    return call

  def _cancel(self):
    call = self._send(self._client)
    call.cancel()
    code = call.code()
    if code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.OK):
      self.world.counts.add("gRPC cancelled", "expected", code.name)
    else:
      self.world.counts.add("gRPC cancelled", "failed", call.details())

  def _hang_up(self):
    kind = self.random.choice([soak_world.Grpc, soak_world.Rest])
    client = kind(self.world.process)
    self._send(client)
    client.close()
    self.world.counts.add(f"{kind.__name__} hung up", "expected")


class Swapper(soak_world.Part):
  """Publishes versions, and removes the newest or older ones."""

  def __init__(self, world, model, longest_pause):
    super().__init__(world, f"swaps of {model}")
    self._model = world.models[model]
    self._channel = self.closing.enter_context(world.process.channel())
    self._versions = [1]
    self._newest = 1
    self._longest_pause = longest_pause

  def step(self):
    steps = [self._swap] * 4 + [lambda: self._swap(3), self._regret]
    if len(self._versions) > 1:
      steps.append(self._roll_back)
    self.random.choice(steps)()
    # Sometimes only the version in service remains.
    while len(self._versions) > self.random.randint(1, 3):
      self._model.remove(self._versions.pop(0))
    self.pause(self._longest_pause)

  def _swap(self, number=1, regretted=()):
    old = self._versions[-1]
    new = [self._newest + 1 + i for i in range(number)]
    self._model.truth.may_be(old, *regretted, *new)
    for version in new:
      self._model.publish(version)
    self.world.wait_until_available(self._channel, self._model.name, new[-1])
    self._model.truth.may_be(new[-1])
    self._newest = new[-1]
    self._versions += new

  def _regret(self):
    self._newest += 1
    self._model.truth.may_be(self._versions[-1], self._newest)
    self._model.publish(self._newest)
    self.pause(1.5)
    self._model.remove(self._newest)
    # The server may not have seen it: only the next version is definite.
    self._swap(regretted=[self._newest])

  def _roll_back(self):
    withdrawn = self._versions.pop()
    self._model.truth.may_be(withdrawn, self._versions[-1])
    self._model.remove(withdrawn)
    self.world.wait_until_gone(self._channel, self._model.name, withdrawn)
    self._model.truth.may_be(self._versions[-1])


class Mender(soak_world.Part):
  """Copies broken versions in place, and repairs or removes them."""

  def __init__(self, world):
    super().__init__(world, "broken versions")
    self._model = world.models["mended"]
    self._channel = self.closing.enter_context(world.process.channel())
    self._good = self._newest = 1

  def step(self):
    self._newest += 1
    model, newest = self._model, self._newest
    folder = os.path.join(model.base_path, str(newest))
    whole = model.files(newest)
    broken, content = self.random.choice(
      [
        ("saved_model.pb", b"no SavedModel"),
        ("saved_model.pb", whole["saved_model.pb"][:-1000]),
        (_DATA, whole[_DATA][:1000]),
        (_DATA, b"\x55" + whole[_DATA][1:]),
        ("variables/variables.index", b""),
      ]
    )
    # The broken file is copied last: the server scans versions meanwhile.
    for name, right in sorted(whole.items(), key=lambda one: one[0] == broken):
      soak_world.write(folder, name, content if name == broken else right)
    self.world.counts.add(self.name, "expected", broken)
    self.world.wait_for(
      self._channel, model.name, newest, lambda state: state == "END"
    )
    self.pause(1.0)
    if self.random.random() < 0.5:
      model.remove(newest)
      return
    model.truth.may_be(self._good, newest)
    soak_world.write(folder, broken, whole[broken])
    self.world.wait_until_available(self._channel, model.name, newest)
    model.truth.may_be(newest)
    model.remove(self._good)
    self._good = newest
    self.pause(1.0)


class Configurer(soak_world.Part):
  """Changes the served models, by the configuration file and by calls.

  Attributes:
    path: The configuration file.
  """

  def __init__(self, world):
    super().__init__(world, "configurations")
    self.path = os.path.join(world.folder, "models.config")
    self._versions, self._labels = [1, 2], {"stable": 1, "canary": 2}
    self._has_guest = True
    self.write()

  def connect(self):
    """Connects, once the server has started."""
    self._client = self.closing.enter_context(
      contextlib.closing(soak_world.Grpc(self.world.process))
    )
    self._stub = model_service_pb2_grpc.ModelServiceStub(self._client.channel)

  def step(self):
    steps = [self._move_labels, self._refused, self._damage, self._guest]
    self.random.choice([*steps, self._guest])()
    self.pause(1.0)

  def _config(self, *more, labels=None):
    names = ["labelled", "steady", "slow", "mended"]
    config = model_configs.ModelServerConfig()
    for name in (*names, *["guest"] * self._has_guest, *more):
      config.model_config_list.config.add(
        name=name,
        base_path=os.path.join(self.world.folder, name),
        model_platform="tensorflow",
      )
    labelled = config.model_config_list.config[0]
    labelled.model_version_policy.specific.versions.extend(self._versions)
    for label, version in (labels or self._labels).items():
      labelled.version_labels[label] = version
    return config

  def write(self):
    """Writes the current configuration."""
    self._in_file = self._config()
    self._replace(text_format.MessageToString(self._in_file))

  def _apply(self):
    """Applies the configuration; returns whether the server has followed."""
    by_file = self.random.random() < 0.5 and self._config() != self._in_file
    if by_file:
      self.write()
    else:
      self._call(self._config())
    text = "by the file" if by_file else "by a call"
    self.world.counts.add(self.name, "expected", text)
    return not by_file

  def _replace(self, text):
    with open(self.path + "~", "w") as file:
      file.write(text)
    os.replace(self.path + "~", self.path)

  def _call(self, config):
    request = model_management_pb2.ReloadConfigRequest(config=config)
    self._stub.HandleReloadConfigRequest(
      request, timeout=running_server.PATIENCE
    )

  def _move_labels(self):
    """Makes the canary stable, and a new version the canary."""
    old, stable = self._versions
    new = stable + 1
    model, channel = self.world.models["labelled"], self._client.channel
    model.publish(new)
    self._versions = [old, stable, new]
    self._apply()
    self.world.wait_until_available(channel, "labelled", new)
    self._labels = {"stable": stable, "canary": new}
    for label, version in self._labels.items():
      self.world.labels[label].may_be(version - 1, version)
    self._apply()
    for label, version in self._labels.items():
      for _ in running_server.attempts():
        asked = {"where": {"label": label}}
        if self._client.ask("labelled", _X, **asked)[0] == version:
          break
      self.world.labels[label].may_be(version)
    self._versions = [stable, new]
    self._apply()
    self.world.wait_until_gone(channel, "labelled", old)
    model.remove(old)

  def _guest(self):
    """Adds the guest model; or removes it, sometimes to add it at once."""
    truth, channel = self.world.models["guest"].truth, self._client.channel
    truth.may_be(1, soak_world.ABSENT)
    self._has_guest = not self._has_guest
    if not self._has_guest and self.random.random() < 0.5:
      self._call(self._config())
      self.pause(self.random.choice([0.0, 0.1]))
      self._has_guest = True
      self._call(self._config())
      self.world.counts.add(self.name, "expected", "gone and back")
    else:
      self._apply()
    if self._has_guest:
      self.world.wait_until_available(channel, "guest", 1)
    else:
      self.world.wait_until_gone(channel, "guest", 1)
    truth.may_be(1 if self._has_guest else soak_world.ABSENT)

  def _refused(self):
    """Sends wrong labels, a duplicate model, and one without versions."""
    for config, code in (
      (
        self._config(labels=self._labels | {"stable": 999}),
        "FAILED_PRECONDITION",
      ),
      (self._config("steady"), "INVALID_ARGUMENT"),
      (self._config("nowhere"), "UNKNOWN"),
    ):
      request = model_management_pb2.ReloadConfigRequest(config=config)
      call = self._stub.HandleReloadConfigRequest.future(
        request, timeout=running_server.PATIENCE
      )
      outcome = "expected" if call.code().name == code else "wrong"
      self.world.counts.add(self.name, outcome, str(call.code().name))
    self._call(self._config())  # Removes the model without versions.

  def _damage(self):
    """Makes the file unreadable for a while; nothing may change."""
    self._replace("model_config_list { config {")
    self.pause(2.5)
    self._replace(text_format.MessageToString(self._in_file))
    self.world.counts.add(self.name, "expected", "file damaged")
