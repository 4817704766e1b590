"""Health of a server and of each model, as gRPC's health service has it.

The empty name, "readiness" and the names of the services stand for the whole
server; "liveness" is SERVING as long as there is an answer; every model has its
own name.
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
  """Follows a manager.

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
    """Whether calls should be sent here.

    At first, every model has to be available. A model that is added or broken
    later must not cut off the others.
    """
    available = self._models.available()
    if all(available.values()):
      self._was_ready = True
      return not self._draining
    return self._was_ready and any(available.values()) and not self._draining

  def update(self) -> None:
    """Takes over the states of the models."""
    # Of two updates at once, the later must have the last word.
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
    """Says that the server is about to stop."""
    self._draining = True
    self.update()
