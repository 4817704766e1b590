"""Asks a server over either port, and checks what it answers."""

import http.client
import json

import grpc
import numpy as np

from tests import running_server
from tests import server_process
from tests import serving_models
from tests import soak_counts
from tests import soak_models

_STATUSES = {
  404: "NOT_FOUND",
  429: "RESOURCE_EXHAUSTED",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
}
# CANCELLED is what gRPC itself says of a call that arrives while the port is
# being closed, before the client hears of that.
_WHILE_DOWN = ("UNAVAILABLE", "CANCELLED")


class Failure(Exception):
  """A call that was not answered: a code and a text."""

  def __init__(self, code: str, text: str):
    super().__init__(f"{code}: {text}")
    self.code = code


class Grpc:
  """Asks over gRPC."""

  def __init__(self, process: server_process.ServerProcess):
    self.channel = process.channel()
    self.stub = server_process.predictions(self.channel)

  def ask(self, model, x, signature="", timeout=None, where=None, **inputs):
    """Returns the version that is said to answer, and the answer.

    Args:
      model: Its name.
      x: The input.
      signature: Name of the signature.
      timeout: Seconds that it may take; None is the tests' patience.
      where: "version" or "label", and which.
      **inputs: Further ones.

    Raises:
      Failure: There is none.
    """
    request = serving_models.request(
      signature, name=model, x=x, **(where or {}), **inputs
    )
    try:
      response = self.stub.Predict(
        request, timeout=timeout or running_server.PATIENCE
      )
    except grpc.RpcError as error:
      raise Failure(error.code().name, error.details()) from error
    return answer_of(response, x)

  def close(self):
    """Ends the connection."""
    self.channel.close()


class Rest:
  """Asks over HTTP, as `Grpc` does; the version is not said."""

  def __init__(self, process: server_process.ServerProcess):
    self.connection = http.client.HTTPConnection(
      "localhost", process.rest_port, timeout=running_server.PATIENCE
    )

  def send(self, model, x, signature="", where=None, **inputs):
    """Sends a request, of which the answer is not read."""
    path = "".join(f"/{key}s/{value}" for key, value in (where or {}).items())
    body = {
      "signature_name": signature or "serving_default",
      "inputs": {"x": x.tolist()}
      | {name: value.tolist() for name, value in inputs.items()},
    }
    self.connection.request(
      "POST", f"/v1/models/{model}{path}:predict", json.dumps(body)
    )

  def ask(self, model, x, signature="", timeout=None, where=None, **inputs):
    """See `Grpc.ask`."""
    try:
      self.send(model, x, signature, where, **inputs)
    except (OSError, http.client.HTTPException) as error:
      self.close()
      raise Failure("UNAVAILABLE", repr(error)) from error
    return self.receive()

  def receive(self):
    """Returns the answer to what was sent, as `ask` does."""
    try:
      response = self.connection.getresponse()
      answer = json.loads(response.read())
    except (OSError, http.client.HTTPException) as error:
      self.close()
      raise Failure("UNAVAILABLE", repr(error)) from error
    if response.status != 200:
      code = _STATUSES.get(response.status, f"HTTP {response.status}")
      raise Failure(code, answer["error"])
    return None, answer["outputs"]

  def close(self):
    """Ends the connection."""
    self.connection.close()


def answer_of(response, x):
  """Returns what `Grpc.ask` does."""
  values = response.outputs["y"].float_val
  y = np.reshape(values, x.shape) if len(values) == x.size else values
  return response.model_spec.version.value, y


def rows(dice) -> np.ndarray:
  """Returns an input of some rows."""
  shape = dice.randint(1, 4), 2
  return np.array(
    [[dice.randint(-50, 50) for _ in range(shape[1])] for _ in range(shape[0])],
    np.float32,
  )


def check(
  world, kind, client, model, x, truth=None, expected=(), **asked
) -> bool:
  """Makes a call and counts what becomes of it.

  Args:
    world: The world.
    kind: Under which name it is counted.
    client: `Grpc` or `Rest`.
    model: The model.
    x: The input.
    truth: What may answer; None is what the model's newest version may be.
    expected: Codes of failures that may be.
    **asked: What else `ask` takes.

  Returns:
    Whether the right answer came.
  """
  truth = truth or model.truth
  up, begin = world.outage.begin(), truth.begin()
  try:
    said, y = client.ask(model.name, x, **asked)
  except Failure as failure:
    if (
      failure.code in expected
      or (
        failure.code == "NOT_FOUND" and soak_counts.ABSENT in truth.since(begin)
      )
      or (
        failure.code in _WHILE_DOWN
        and soak_counts.DOWN in world.outage.since(up)
      )
    ):
      world.counts.expected(kind, failure.code)
    else:
      world.counts.failed(kind, f"{model.name}, {asked}: {failure}")
    return False
  version = soak_models.version_of(x, y, model.factor)
  possible = truth.since(begin)
  if version in possible and said in (None, version):
    world.counts.right(kind)
    return True
  world.counts.wrong(
    kind,
    f"{model.name}, {asked}: version {said} is said to answer {y} to "
    f"{x.tolist()}, which is version {version}'s; possible: {possible}",
  )
  return False
