"""Health of a server and of each model, for gRPC's health service.

The empty name, "readiness" and the names of the services stand for the whole
server; "liveness" is always SERVING; every model has its own name.
"""

import threading

from grpc_health.v1 import health
from grpc_health.v1 import health_pb2

from serving.server import manager

_Status = health_pb2.HealthCheckResponse
_ALIVE = "liveness"
_READY = (
  "",
  "readiness",
  # TensorFlow Serving knows the short names.
  "ModelService",
  "PredictionService",
  "tensorflow.serving.ModelService",
  "tensorflow.serving.PredictionService",
)


class Health:
  """Health by the states of a manager's models.

  Attributes:
    servicer: gRPC's health service.
  """

  def __init__(self, models: manager.Manager):
    self._models = models
    self._updating = threading.Lock()
    self._names: set[str] = set()
    self._was_ready = False
    self._draining = False
    self.servicer = health.HealthServicer()

  @property
  def ready(self) -> bool:
    """Whether the server should receive calls.

    At first, all models must be available. After that, one available model is
    enough: a model that is added or fails later does not cut off the others.
    """
    available = self._models.available()
    if all(available.values()):
      self._was_ready = True
      return not self._draining
    return self._was_ready and any(available.values()) and not self._draining

  def update(self) -> None:
    """Updates the health service from the states of the models."""
    # One at a time, so that the later of two updates takes effect last.
    with self._updating:
      statuses = {
        name: bool(versions) and not self._draining
        for name, versions in self._models.available().items()
      }
      statuses |= dict.fromkeys(_READY, self.ready) | {_ALIVE: True}
      for name, serving in statuses.items():
        self.servicer.set(
          name, _Status.SERVING if serving else _Status.NOT_SERVING
        )
      for name in self._names - set(statuses):
        self.servicer.set(name, _Status.SERVICE_UNKNOWN)
      self._names = set(statuses)

  def drain(self) -> None:
    """Reports that the server is about to stop."""
    self._draining = True
    self.update()
