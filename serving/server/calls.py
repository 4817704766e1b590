"""Counts the calls that run, and limits them."""

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from serving.server import errors
from serving.server import interrupts

# In seconds: a call for a model that loads for the first time is retried after
# PAUSE, for half of its own time and at most LONGEST_WAIT.
LONGEST_WAIT = 30.0
PAUSE = 0.05


class Calls:
  """Counts the calls that run, in any thread.

  Attributes:
    ended: Number of calls that have ended.
  """

  def __init__(self, limit: int | None = None, queue: int = 0):
    """Starts at zero; beyond `limit` running calls, `queue` calls may wait."""
    self._limit = limit
    self._queue = queue
    self._changed = threading.Condition()
    self._running = self._waiting = 0
    self._draining = False
    self.ended = 0

  @property
  def running(self) -> int:
    """Number of running calls."""
    return self._running

  @contextlib.contextmanager
  def admitted(
    self, interrupt: interrupts.Interrupt | None = None
  ) -> Iterator[None]:
    """Admits a call for the duration of a block; may wait first.

    Raises:
      ServingError: Too many calls run and wait, the server stops, or the
        interrupt was set.
    """
    with self._changed:
      if self._draining:
        raise errors.unavailable("The server is stopping.")
      if self._is_full():
        self._wait(interrupt)
      self._running += 1
    try:
      yield
    finally:
      with self._changed:
        self._running -= 1
        self.ended += 1
        self._changed.notify_all()

  def _is_full(self):
    return self._limit is not None and self._running >= self._limit

  def _wait(self, interrupt):
    if self._waiting >= self._queue:
      raise errors.ServingError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted"
      )
    self._waiting += 1
    try:
      # Polls, since a passed deadline does not notify. A call that waits
      # already is admitted, also when the server stops.
      while self._is_full():
        if interrupt is not None:
          interrupt.check()
        self._changed.wait(PAUSE)
    finally:
      self._waiting -= 1

  def drain(self) -> None:
    """Admits no more calls from now on."""
    with self._changed:
      self._draining = True

  def wait_until_idle(self, timeout: float) -> bool:
    """Waits until no call runs or waits; returns whether none does."""
    with self._changed:
      return self._changed.wait_for(
        lambda: not (self._running or self._waiting), timeout
      )


def end_of_waiting(patience: float) -> float:
  """Returns when a call with `patience` seconds left stops waiting for a model.

  By `time.monotonic`.
  """
  return time.monotonic() + min(LONGEST_WAIT, patience / 2.0)
