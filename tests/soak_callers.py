"""Those who call, all at once: some check every answer, some do not behave."""

import contextlib
import subprocess
import sys
import threading

import grpc
import numpy as np

from tests import running_server
from tests import serving_models
from tests import soak_clients
from tests import soak_counts
from tests import soak_world


class Checker(soak_world.Part):
  """Asks all models for what it can check.

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
    model, truth, where = self.random.choice(self._targets)
    if soak_clients.check(
      self.world,
      self._kind,
      self._client,
      model,
      soak_clients.rows(self.random),
      truth,
      where=where,
    ):
      self.heard.set()
    elif soak_counts.DOWN in self.world.outage.since(-1):
      self.world.stopping.wait(0.05)


class Patient(soak_world.Part):
  """Makes calls that take a while, over which versions come and go."""

  def __init__(self, world, kind, client):
    super().__init__(world, f"{kind} slow")
    self._client = self.closing.enter_context(
      contextlib.closing(client(world.process))
    )

  def step(self):
    x = soak_clients.rows(self.random)
    seconds = np.full(len(x), self.random.uniform(0.0, 0.5), np.float32)
    soak_clients.check(
      self.world,
      self.name,
      self._client,
      self.world.models["slow"],
      x,
      signature="wait",
      seconds=seconds,
    )
    self.pause(0.5)


class Hasty(soak_world.Part):
  """Gives calls so little time that some are answered and some are not."""

  def __init__(self, world):
    super().__init__(world, "gRPC in a hurry")
    self._client = self.closing.enter_context(
      contextlib.closing(soak_clients.Grpc(world.process))
    )

  def step(self):
    soak_clients.check(
      self.world,
      self.name,
      self._client,
      self.world.models["steady"],
      soak_clients.rows(self.random),
      expected=("DEADLINE_EXCEEDED",),
      timeout=0.0005 * 400.0 ** self.random.random(),
    )
    self.pause(0.01)


class Impatient(soak_world.Part):
  """Gives time to calls that would never end, or goes away from them."""

  def __init__(self, world):
    super().__init__(world, "endless")
    self._grpc = self.closing.enter_context(
      contextlib.closing(soak_clients.Grpc(world.process))
    )
    self._model = world.models["slow"]

  def step(self):
    self.random.choice([self._deadline, self._cancel, self._hang_up])()
    self.pause(0.5)

  def _deadline(self):
    soak_clients.check(
      self.world,
      "gRPC endless, deadline",
      self._grpc,
      self._model,
      soak_clients.rows(self.random),
      expected=("DEADLINE_EXCEEDED",),
      signature="spin",
      timeout=self.random.uniform(0.02, 0.5),
    )

  def _cancel(self):
    kind = "gRPC cancelled"
    # What is over soon may be over before it is cancelled.
    signature = self.random.choice(["", "spin"])
    call = self._grpc.stub.Predict.future(
      serving_models.request(
        signature, name="slow", x=soak_clients.rows(self.random)
      ),
      timeout=running_server.PATIENCE,
    )
    self.pause(self.random.choice([0.005, 0.3]))
    call.cancel()
    try:
      call.result()
    except (grpc.RpcError, grpc.FutureCancelledError):
      code = call.code()
      if code == grpc.StatusCode.CANCELLED:
        self.world.counts.expected(kind, code.name)
      else:
        self.world.counts.failed(kind, f"{code}: {call.details()}")
    else:
      self.world.counts.right(kind)

  def _hang_up(self):
    client = soak_clients.Rest(self.world.process)
    signature = self.random.choice(["", "spin"])
    client.send("slow", soak_clients.rows(self.random), signature)
    self.pause(self.random.choice([0.005, 0.3]))
    client.close()
    self.world.counts.expected("REST hung up", "nobody waits")


class Killer(soak_world.Part):
  """Kills other processes while they call."""

  def __init__(self, world):
    super().__init__(world, "client killed")

  def step(self):
    x = np.ones([1, 2], np.float32)
    requests = [
      serving_models.request(signature, name=name, x=x)
      .SerializeToString()
      .hex()
      for signature, name in (("spin", "slow"), ("", "steady"))
    ]
    process = self.world.process
    command = [sys.executable, "-m", "tests.soak_victim"]
    command += [str(process.port), str(process.rest_port), *requests]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
      said = child.stdout.readline()
      self.pause(0.5)
      child.kill()
    if said.strip() == b"calling":
      self.world.counts.expected(self.name, "SIGKILL")
    else:
      self.world.counts.failed(self.name, "It has not called.")
    self.pause(3.0)
