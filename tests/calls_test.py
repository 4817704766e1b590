"""Tests of counting and limiting the calls that run."""

import math
import threading
import time

import grpc
from absl.testing import absltest

from serving.server import calls
from serving.server import errors
from serving.server import interrupts
from tests import running_server


class CallsTest(absltest.TestCase):
  def _assert_refused(self, made, code):
    with self.assertRaises(errors.ServingError) as caught:
      with made.admitted():
        self.fail("The call was admitted.")
    self.assertEqual(caught.exception.code, code)

  def test_counts_and_limits(self):
    made = calls.Calls(2)
    with made.admitted(), made.admitted():
      self.assertEqual(made.running, 2)
      self._assert_refused(made, grpc.StatusCode.RESOURCE_EXHAUSTED)
    with self.assertRaises(ZeroDivisionError), made.admitted():
      1 / 0  # noqa: B018
    self.assertEqual(made.running, 0)

  def test_calls_wait_in_a_queue(self):
    made = calls.Calls(1, queue=1)
    ended = []

    def call(interrupt):
      try:
        with made.admitted(interrupt):
          ended.append("admitted")
      except errors.ServingError as error:
        ended.append(error.code)

    def waiting(interrupt):
      thread = threading.Thread(target=call, args=[interrupt])
      thread.start()
      for _ in running_server.attempts():
        if made._waiting:
          return thread

    with made.admitted():
      late = interrupts.Interrupt()
      thread = waiting(late)
      self._assert_refused(made, grpc.StatusCode.RESOURCE_EXHAUSTED)
      late.set()
      thread.join()
      thread = waiting(None)
      made.drain()  # The thread waits already.
    thread.join()
    self.assertEqual(ended, [grpc.StatusCode.CANCELLED, "admitted"])
    self.assertTrue(made.wait_until_idle(0.0))

  def test_drains(self):
    made = calls.Calls()
    idle = threading.Thread(
      target=made.wait_until_idle, args=[running_server.PATIENCE]
    )
    with made.admitted():
      made.drain()
      self._assert_refused(made, grpc.StatusCode.UNAVAILABLE)
      self.assertFalse(made.wait_until_idle(0.0))
      idle.start()
    idle.join(running_server.PATIENCE)
    self.assertFalse(idle.is_alive())

  def test_waiting_ends(self):
    now = time.monotonic()
    self.assertLessEqual(calls.end_of_waiting(0.0), time.monotonic())
    self.assertGreaterEqual(
      calls.end_of_waiting(math.inf), now + calls.LONGEST_WAIT
    )
