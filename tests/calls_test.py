"""Tests of how many calls run, and of when no more may begin."""

import math
import threading
import time

import grpc
from absl.testing import absltest

from serving.server import calls
from serving.server import errors
from tests import running_server


class CallsTest(absltest.TestCase):
  def test_counts(self):
    made = calls.Calls()
    with made.admitted(), made.admitted():
      self.assertEqual(made.running, 2)
    with self.assertRaises(ZeroDivisionError), made.admitted():
      1 / 0  # noqa: B018
    self.assertEqual(made.running, 0)

  def test_refuses_what_is_too_much(self):
    made = calls.Calls(1)
    with made.admitted():
      with self.assertRaisesRegex(
        errors.ServingError, "Server Threadpool Exhausted"
      ) as caught:
        with made.admitted():
          self.fail("There was one.")
    self.assertEqual(caught.exception.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
    with made.admitted():
      pass

  def test_drains(self):
    made = calls.Calls()
    idle = threading.Thread(
      target=made.wait_until_idle, args=[running_server.PATIENCE]
    )
    with made.admitted():
      made.drain()
      with self.assertRaisesRegex(errors.ServingError, "stopping") as caught:
        with made.admitted():
          self.fail("No more were to be let in.")
      self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
      self.assertFalse(made.wait_until_idle(0.01))
      idle.start()
    idle.join(running_server.PATIENCE)
    self.assertFalse(idle.is_alive())

  def test_nobody_waits_for_ever(self):
    now = time.monotonic()
    self.assertLessEqual(calls.end_of_waiting(0.0), time.monotonic())
    self.assertGreaterEqual(
      calls.end_of_waiting(math.inf), now + calls.LONGEST_WAIT
    )


if __name__ == "__main__":
  absltest.main()
