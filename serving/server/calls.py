"""Counts the calls that run, and limits them."""

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from serving.server import errors

# A call for a model that loads for the first time tries again after PAUSE, for
# half of its own time and not longer than LONGEST_WAIT, in seconds.
LONGEST_WAIT = 30.0
PAUSE = 0.05


class Calls:
  """Counts the calls that run, in any thread."""

  def __init__(self, limit: int | None = None):
    """Starts at zero.

    Args:
      limit: How many may run at once; None means any number.
    """
    self._limit = limit
    self._changed = threading.Condition()
    self._running = 0
    self._draining = False

  @property
  def running(self) -> int:
    """How many are running."""
    return self._running

  @contextlib.contextmanager
  def admitted(self) -> Iterator[None]:
    """Admits a call for the length of a block.

    Raises:
      ServingError: Too many calls run, or the server stops.
    """
    with self._changed:
      if self._draining:
        raise errors.unavailable("The server is stopping.")
      if self._limit is not None and self._running >= self._limit:
        raise errors.ServingError(
          grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted"
        )
      self._running += 1
    try:
      yield
    finally:
      with self._changed:
        self._running -= 1
        if not self._running:
          self._changed.notify_all()

  def drain(self) -> None:
    """Admits no more calls from now on."""
    with self._changed:
      self._draining = True

  def wait_until_idle(self, timeout: float) -> bool:
    """Waits for the end of the last call; returns whether it came."""
    with self._changed:
      return self._changed.wait_for(lambda: not self._running, timeout)


def end_of_waiting(patience: float) -> float:
  """Returns the time at which a caller stops waiting for a model.

  In seconds of `time.monotonic`.
  """
  return time.monotonic() + min(LONGEST_WAIT, patience / 2.0)
