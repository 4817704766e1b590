"""How many calls run at once, and when no more may begin."""

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from serving.server import errors

# A call for a model that is loading for the first time waits for it: for half
# of its own time, and not longer than this, in seconds.
LONGEST_WAIT = 30.0
PAUSE = 0.05


class Calls:
  """Counts the calls that are running, in any thread."""

  def __init__(self, limit: int | None = None):
    """Begins without any.

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
    """Lets a call in for the length of a block.

    Raises:
      ServingError: There are too many, or no more may begin.
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
    """Lets no more in from now on."""
    with self._changed:
      self._draining = True

  def wait_until_idle(self, timeout: float) -> bool:
    """Waits until the last one is answered; returns whether that happened."""
    with self._changed:
      return self._changed.wait_for(lambda: not self._running, timeout)


def end_of_waiting(patience: float) -> float:
  """Returns until when to wait for a model that loads, in monotonic seconds.

  Args:
    patience: Seconds that the caller would wait.
  """
  return time.monotonic() + min(LONGEST_WAIT, patience / 2.0)
