"""Whether the server lives, whether it is ready, and which models are.

As gRPC's health service says it: the empty name, "readiness" and the names of
the services are the server as a whole, "liveness" is SERVING for as long as
there is anybody to say so, and every model has its own name.
"""

import threading

from grpc_health.v1 import health
from grpc_health.v1 import health_pb2

from serving.server import manager as manager_lib

_Status = health_pb2.HealthCheckResponse
_ALIVE = "liveness"
_READY = (
  "",
  "readiness",
  "tensorflow.serving.ModelService",
  "tensorflow.serving.PredictionService",
)


class Health:
  """Follows a manager."""

  def __init__(self, manager: manager_lib.Manager):
    self._manager = manager
    self._updating = threading.Lock()
    self._names: set[str] = set()
    self._was_ready = False
    self._draining = False
    self.servicer = health.HealthServicer()

  @property
  def ready(self) -> bool:
    """Whether calls should be sent here.

    To begin with, every model has to be there. What is added or broken later
    must not cut off the others.
    """
    available = self._manager.available()
    if all(available.values()):
      self._was_ready = True
      return not self._draining
    return self._was_ready and any(available.values()) and not self._draining

  def update(self) -> None:
    """Says what has become of the models."""
    # Of two at once, the later has to have the last word.
    with self._updating:
      available = self._manager.available()
      ready = self.ready
      statuses = {
        name: bool(versions) and not self._draining
        for name, versions in available.items()
      }
      statuses |= {name: ready for name in _READY} | {_ALIVE: True}
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
