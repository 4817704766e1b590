"""How many calls run at once, how they stop, and when no more may begin."""

import asyncio
import math
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

import grpc

from serving import errors
from serving import interrupts

_Result = TypeVar("_Result")
# A call for a model that is loading for the first time waits for it: for half
# of its own time, and not longer than this, in seconds.
_LONGEST_WAIT = 10.0
_PAUSE = 0.05


class Calls:
  """Runs jobs in threads: all of them belong to one event loop."""

  def __init__(self, limit: int, shed: bool):
    """Creates the threads.

    Args:
      limit: How many jobs may run at once.
      shed: Whether further ones are refused, and do not wait.
    """
    self._limit = limit
    self._shed = shed
    self._pool = futures.ThreadPoolExecutor(limit, "call")
    # Whoever stops a job must not wait for one.
    self._stoppers = futures.ThreadPoolExecutor(4, "stop")
    self._running = 0
    self._in_flight = 0
    self._draining = False

  async def run(
    self,
    job: Callable[[interrupts.Interrupt], _Result],
    patience: float = math.inf,
  ) -> _Result:
    """Runs a job; if the caller is cancelled, the job is stopped.

    Args:
      job: Raises ServingError, and stops when its argument says so.
      patience: Seconds that the caller would wait.

    Raises:
      ServingError: As of the job; or there are too many, or no more may begin.
    """
    if self._draining:
      raise errors.unavailable("The server is stopping.")
    self._in_flight += 1
    try:
      loop = asyncio.get_running_loop()
      end = loop.time() + min(_LONGEST_WAIT, patience / 2.0)
      while True:
        try:
          return await self._run_once(job)
        except errors.StillLoadingError:
          if loop.time() >= end or self._draining:
            raise
          await asyncio.sleep(_PAUSE)
    finally:
      self._in_flight -= 1

  def drain(self) -> None:
    """Refuses calls from now on."""
    self._draining = True

  async def wait_until_idle(self) -> None:
    """Returns when the last call that was let in is answered."""
    while self._in_flight or self._running:
      await asyncio.sleep(_PAUSE)

  def close(self) -> None:
    """Lets the threads end."""
    self._pool.shutdown(wait=False, cancel_futures=True)
    self._stoppers.shutdown(wait=False)

  async def _run_once(self, job):
    if self._shed and self._running >= self._limit:
      raise errors.ServingError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted"
      )
    interrupt = interrupts.Interrupt()

    def check_and_run():
      # It may have waited for a thread, and longer than its caller did.
      interrupt.check()
      return job(interrupt)

    loop = asyncio.get_running_loop()
    self._running += 1
    future = loop.run_in_executor(self._pool, check_and_run)
    future.add_done_callback(self._done)
    try:
      return await asyncio.shield(future)
    except asyncio.CancelledError:
      # It may take a moment, and this thread has other calls.
      loop.run_in_executor(self._stoppers, interrupt.set)
      raise

  def _done(self, future):
    self._running -= 1
    if not future.cancelled():
      future.exception()  # Else it is reported, if nobody asks any more.
