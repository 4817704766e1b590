"""A server in the process of a test, with clients for its sockets."""

import contextlib
import json
import os
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import grpc
import numpy as np
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving import server
from tests import serving_models

# Seconds. No call takes one, but a busy machine may be slow.
PATIENCE = 120.0
_ROWS = np.array([5, 7, 9])
State = get_model_status_pb2.ModelVersionStatus.State


class RunningServer:
  """A server on free ports, with stubs.

  Attributes:
    server: The server.
    predictions: Stub of PredictionService.
    models: Stub of ModelService.
  """

  def __init__(self, wait=True, credentials=None, **flags):
    """Starts it, with flags besides the ports; with TLS by credentials only.

    If `wait`, waits until its models are loaded or have failed.
    """
    self._tls = credentials is not None
    self.server = server.Server(
      server.Options(**{"port": 0, "rest_api_port": -1} | flags)
    )
    self.address = f"localhost:{self.server.port}"
    arguments = [("grpc.max_receive_message_length", -1)]
    if credentials is None:
      self.channel = grpc.insecure_channel(self.address, arguments)
    else:
      self.channel = grpc.secure_channel(self.address, credentials, arguments)
    self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(
      self.channel
    )
    self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
    if wait and not self.server.manager.wait_until_settled(PATIENCE):
      raise AssertionError("The models do not load.")

  def predict(self, *args, timeout=PATIENCE, **kwargs):
    """Sends a request as `serving_models.request` makes it."""
    made = serving_models.request(*args, **kwargs)
    return self.predictions.Predict(made, timeout=timeout)

  def states(self, name="demo"):
    """Returns the state of each version, newest first; {} if unknown."""
    return {
      status.version: (State.Name(status.state), status.status)
      for status in statuses(self.models, name)
    }

  def wait_for(self, state, version, name="demo"):
    """Waits until a version has a state, and returns its status."""
    for _ in attempts():
      now, status = self.states(name).get(version, (None, None))
      if now == state:
        return status

  def http(self, path, body=None, headers=(), method=None, context=None):
    """Sends a request; returns the status, the headers and the body."""
    scheme = "https" if self._tls else "http"
    if isinstance(body, dict):
      body = json.dumps(body).encode()
    sent = urllib.request.Request(
      f"{scheme}://localhost:{self.server.rest_port}{path}",
      body,
      dict(headers),
      method=method,
    )
    try:
      with urllib.request.urlopen(
        sent, timeout=PATIENCE, context=context
      ) as answer:
        return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
      with error:
        return error.code, error.headers, error.read()

  def json(self, path, body=None, **kwargs):
    """Sends a request; returns the status and the parsed JSON."""
    status, _, answer = self.http(path, body, **kwargs)
    return status, json.loads(answer)

  def stop(self, grace=0.0):
    """Ends it."""
    self.channel.close()
    self.server.stop(grace)


class TestCase(unittest.TestCase):
  """A test case with one server: model demo, versions 2 and 10.

  `flags` are those of the server; None starts no server.
  """

  flags = {}

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.base_path = cls.enterClassContext(tempfile.TemporaryDirectory())
    for version, factor in (("2", 3.0), ("010", 2.0)):
      serving_models.write(os.path.join(cls.base_path, version), factor)
    for other in (".tmp-11", "latest", "-3", "12.tmp"):
      os.makedirs(os.path.join(cls.base_path, other))
    if cls.flags is not None:
      cls.running = cls.start(**cls.flags)
      cls.addClassCleanup(cls.running.stop)

  @classmethod
  def start(cls, **flags):
    """Starts a server of `demo`."""
    return RunningServer(
      **{"model_name": "demo", "model_base_path": cls.base_path} | flags
    )

  @contextlib.contextmanager
  def serving(self, **flags):
    """Yields another server of `demo`."""
    running = self.start(**flags)
    try:
      yield running
    finally:
      running.stop()

  def assert_refused(self, code, text, method, *args, **kwargs):
    """Asserts that a call fails with a text; returns the error's details."""
    with self.assertRaises(grpc.RpcError) as caught:
      method(*args, **kwargs)
    self.assertEqual(caught.exception.code(), code)
    self.assertStartsWith(caught.exception.details(), text)
    return caught.exception.details()

  def spin(self, running, rows=_ROWS):
    """Starts an endless call, and waits until it runs."""
    spinning = running.predictions.Predict.future(
      serving_models.request("spin", row=rows), timeout=PATIENCE
    )
    self.addCleanup(spinning.cancel)
    before = aside(running, "ticks")["ticks"][0]
    for _ in attempts():
      if aside(running, "ticks")["ticks"][0] > before:
        return spinning


def statuses(models, name):
  """Returns the status of each version, newest first; none if unknown."""
  request = get_model_status_pb2.GetModelStatusRequest(
    model_spec=model_pb2.ModelSpec(name=name)
  )
  try:
    response = models.GetModelStatus(request, timeout=PATIENCE)
  except grpc.RpcError as error:
    if error.code() != grpc.StatusCode.NOT_FOUND:
      raise
    return ()
  return response.model_version_status


def aside(running, signature):
  """Calls the model without the socket, whose slots may be taken."""
  spec = model_pb2.ModelSpec(name="demo")
  with running.server.manager.use(spec) as servable:
    return servable.predict(signature, {"row": _ROWS})


def attempts():
  """Yields until the tests' patience ends, for repeated attempts."""
  end = time.monotonic() + PATIENCE
  while time.monotonic() < end:
    yield
    time.sleep(0.01)
  raise AssertionError("The server did not come to what was waited for.")
