"""Calls that all run at the same time, on both ports, until they may end."""

import grpc
import numpy as np

from tests import running_server
from tests import serving_models
from tests import soak_clients
from tests import soak_world

_X = np.array([[1.0, 2.0], [-3.0, 4.0]], np.float32)
_MODEL = "slow"


class Held:
  """Some calls of the model `slow`, sent at once."""

  def __init__(
    self,
    world: soak_world.World,
    client: soak_clients.Grpc,
    calls: int,
    rest_calls: int,
    signature: str,
    **inputs,
  ):
    """Sends them.

    Args:
      world: The world.
      client: Asks for all that is asked over gRPC.
      calls: How many over gRPC.
      rest_calls: How many over HTTP.
      signature: "spin" or "wait".
      **inputs: Besides x.
    """
    self._world = world
    self._client = client
    self._before = self._started()
    request = serving_models.request(signature, name=_MODEL, x=_X, **inputs)
    self._calls = [
      _GrpcCall(
        client.stub.Predict.future(request, timeout=running_server.PATIENCE)
      )
      for _ in range(calls)
    ]
    self._rest_calls = [_RestCall(world.process) for _ in range(rest_calls)]
    for call in self._rest_calls:
      call.client.send(_MODEL, _X, signature, **inputs)

  def all_run(self) -> bool:
    """Waits until all have begun; returns whether they did.

    If not, one that was sent over gRPC has ended, or nobody may ask how many
    have begun.
    """
    number = len(self._calls) + len(self._rest_calls)
    for _ in running_server.attempts():
      try:
        if self._started() >= self._before + number:
          return True
      except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
          raise
        return False
      if any(call.future.done() for call in self._calls):
        return False

  def release(self) -> None:
    """Has those that would never end be answered."""
    self._ask("release")

  def count(self, kind: str) -> None:
    """Waits for the answers: each has to be there, and right."""
    model = self._world.models[_MODEL]
    for call in (*self._calls, *self._rest_calls):
      soak_clients.check(self._world, kind, call, model, _X)

  def cancel(self) -> None:
    """Goes away from what still runs."""
    for call in self._calls:
      call.future.cancel()
    for call in self._rest_calls:
      call.client.close()

  def _started(self):
    return self._ask("started").outputs["started"].float_val[0]

  def _ask(self, signature):
    return self._client.stub.Predict(
      serving_models.request(signature, name=_MODEL, x=_X[:1]),
      timeout=running_server.PATIENCE,
    )


class _GrpcCall:
  """Of which `soak_clients.check` only waits for the answer."""

  def __init__(self, future):
    self.future = future

  def ask(self, model, x):
    try:
      return soak_clients.answer_of(self.future.result(), x)
    except grpc.RpcError as error:
      # Whatever else happens to the server: this one has to be answered.
      raise soak_clients.Failure(
        "LOST", f"{error.code()}: {error.details()}"
      ) from error


class _RestCall:
  """The same over HTTP."""

  def __init__(self, process):
    self.client = soak_clients.Rest(process)

  def ask(self, model, x):
    try:
      return self.client.receive()
    except soak_clients.Failure as failure:
      raise soak_clients.Failure("LOST", str(failure)) from failure
    finally:
      self.client.close()
