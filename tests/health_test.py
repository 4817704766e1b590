"""Tests of liveness and readiness, of the server and of each model."""

import os
import threading

import grpc
from absl.testing import absltest
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc

from tests import running_server
from tests import serving_models

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _check(running, name):
  stub = health_pb2_grpc.HealthStub(running.channel)
  return stub.Check(
    health_pb2.HealthCheckRequest(service=name),
    timeout=running_server.PATIENCE,
  ).status


def _wait_for(running, **statuses):
  for _ in running_server.attempts():
    if all(_check(running, name) == statuses[name] for name in statuses):
      return


class HealthTest(running_server.TestCase, absltest.TestCase):
  flags = {"enable_grpc_healthcheck_service": True}

  def test_of_the_server_and_of_a_model(self):
    services = "PredictionService", "tensorflow.serving.PredictionService"
    names = "", "readiness", "liveness", "demo", *services
    # Health follows the states of models after a moment.
    _wait_for(self.running, **dict.fromkeys(names, _SERVING))
    self.assert_refused(
      grpc.StatusCode.NOT_FOUND, "", _check, self.running, "other"
    )

  def test_follows_the_models(self):
    base_path = self.create_tempdir().full_path
    with self.serving(**self.flags, model_base_path=base_path) as running:
      for name in ("", "readiness", "demo"):
        self.assertEqual(_check(running, name), _NOT_SERVING, name)
      self.assertEqual(_check(running, "liveness"), _SERVING)
      folder = os.path.join(base_path, "1")
      serving_models.write(folder + ".tmp")
      os.rename(folder + ".tmp", folder)
      _wait_for(running, demo=_SERVING, readiness=_SERVING)
      os.rename(folder, folder + ".tmp")
      _wait_for(running, demo=_NOT_SERVING, readiness=_NOT_SERVING)

  def test_one_model_does_not_cut_off_the_others(self):
    other = self.create_tempdir().full_path
    os.symlink(os.path.join(self.base_path, "2"), os.path.join(other, "1"))
    config = serving_models.config(demo=self.base_path, other=other)
    path = self.create_tempfile(content=config).full_path
    with self.serving(**self.flags, model_config_file=path) as running:
      _wait_for(running, demo=_SERVING, other=_SERVING, readiness=_SERVING)
      os.remove(os.path.join(other, "1"))
      _wait_for(running, demo=_SERVING, other=_NOT_SERVING, readiness=_SERVING)

  def test_says_that_the_server_is_stopping(self):
    running = self.start(**self.flags)
    _wait_for(running, **{"": _SERVING})
    stub = health_pb2_grpc.HealthStub(running.channel)
    statuses = stub.Watch(
      health_pb2.HealthCheckRequest(), timeout=running_server.PATIENCE
    )
    self.assertEqual(next(statuses).status, _SERVING)
    # With a grace period, or the stream may end before its last message.
    stopping = threading.Thread(
      target=running.server.stop, args=[running_server.PATIENCE]
    )
    stopping.start()
    self.assertEqual(next(statuses).status, _NOT_SERVING)
    statuses.cancel()
    stopping.join()
    running.stop()
