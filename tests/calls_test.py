"""Tests of how many calls run, and of how they stop."""

import asyncio
import threading
import unittest

import grpc
from absl.testing import absltest

from serving import calls
from serving import errors
from tests import running_server


class CallsTest(unittest.IsolatedAsyncioTestCase, absltest.TestCase):
  def _calls(self, limit=1, shed=True):
    made = calls.Calls(limit, shed)
    self.addCleanup(made.close)
    return made

  def _job(self):
    """Returns a job that runs until its event, or it is stopped."""
    begun, end = threading.Event(), threading.Event()
    self.addCleanup(end.set)

    def job(interrupt):
      begun.set()
      stopped = threading.Event()
      with interrupt.stopping_by(stopped.set):
        while not end.wait(0.01):
          if stopped.is_set():
            interrupt.check()
      return "done"

    return job, begun, end

  async def _wait(self, condition):
    for _ in running_server.attempts():
      if condition():
        return
      await asyncio.sleep(0.01)

  async def test_returns_what_the_job_does(self):
    self.assertEqual(await self._calls().run(lambda _: 5), 5)
    with self.assertRaises(ZeroDivisionError):
      await self._calls().run(lambda _: 1 // 0)

  async def test_sheds(self):
    made = self._calls()
    job, begun, end = self._job()
    running = asyncio.create_task(made.run(job))
    await self._wait(begun.is_set)
    with self.assertRaisesRegex(
      errors.ServingError, "Server Threadpool Exhausted"
    ) as caught:
      await made.run(lambda _: 5)
    self.assertEqual(caught.exception.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
    end.set()
    self.assertEqual(await running, "done")
    self.assertEqual(await made.run(lambda _: 5), 5)

  async def test_queues(self):
    made = self._calls(shed=False)
    job, begun, end = self._job()
    running = asyncio.create_task(made.run(job))
    await self._wait(begun.is_set)
    waiting = asyncio.create_task(made.run(lambda _: 5))
    self.assertFalse(waiting.done())
    end.set()
    self.assertEqual(await waiting, 5)
    self.assertEqual(await running, "done")

  async def test_cancelling_stops_the_job(self):
    made = self._calls()
    job, begun, _ = self._job()
    running = asyncio.create_task(made.run(job))
    await self._wait(begun.is_set)
    running.cancel()
    await made.wait_until_idle()
    self.assertTrue(running.cancelled())

  async def test_what_is_cancelled_while_it_waits_does_not_run(self):
    made = self._calls(shed=False)
    job, begun, end = self._job()
    running = asyncio.create_task(made.run(job))
    await self._wait(begun.is_set)
    ran = []
    waiting = asyncio.create_task(made.run(ran.append))
    await asyncio.sleep(0)
    waiting.cancel()
    with self.assertRaises(asyncio.CancelledError):
      await waiting
    await asyncio.sleep(0.05)
    end.set()
    await running
    await made.wait_until_idle()
    self.assertEqual(ran, [])

  async def test_drains(self):
    made = self._calls()
    job, begun, end = self._job()
    running = asyncio.create_task(made.run(job))
    await self._wait(begun.is_set)
    made.drain()
    with self.assertRaisesRegex(errors.ServingError, "stopping") as caught:
      await made.run(lambda _: 5)
    self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
    idle = asyncio.create_task(made.wait_until_idle())
    await asyncio.sleep(0.1)
    self.assertFalse(idle.done())
    end.set()
    await idle
    self.assertEqual(await running, "done")

  async def test_waits_for_what_is_loading(self):
    tries = []

    def job(_):
      tries.append(1)
      if len(tries) < 3:
        raise errors.StillLoadingError("Not yet.")
      return 5

    self.assertEqual(await self._calls().run(job), 5)
    tries.clear()
    # Not for longer than its caller would.
    with self.assertRaisesRegex(errors.ServingError, "Not yet"):
      await self._calls().run(job, patience=0.0)


if __name__ == "__main__":
  absltest.main()
