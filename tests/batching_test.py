"""Tests of calls that run together."""

import threading
from concurrent import futures

import grpc
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from serving.server import batching
from serving.server import batching_parameters
from serving.server import errors
from serving.server import interrupts
from tests import running_server
from tests import serving_models

_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)
# Seconds, longer than any test: calls wait until a batch is full.
_LONG = 3600.0


class _Servable:
  """Doubles its input, records batch sizes, and can be blocked by a gate."""

  name = "demo"

  def __init__(self):
    self.sizes = []
    self.gate = threading.Event()
    self.gate.set()
    self.stopped = threading.Event()

  def run(self, feeds, fetches, interrupt=None):
    x = feeds["x"]
    stopped = threading.Event()
    with interrupt.stopping_by(stopped.set):
      # Last: a test that sees the size may stop the run.
      self.sizes.append(len(x))
      while not self.gate.wait(0.01):
        if stopped.is_set():
          self.stopped.set()
          break
    interrupt.check()
    if (x < 0).any():
      raise errors.invalid_argument("x must not be negative")
    if "total" in fetches:
      return [x.sum()]
    return [2 * x, x.shape[1] * np.ones(len(x))]


class BatcherTest(parameterized.TestCase):
  def _batcher(self, **parameters):
    parameters = {"threads": 1, "timeout": _LONG} | parameters
    batcher = batching.Batcher(batching_parameters.Parameters(**parameters))
    self.addCleanup(batcher.close)
    self.servable = _Servable()
    return batcher

  def _submit(self, batcher, x, fetches=("y", "z"), interrupt=None):
    pool = futures.ThreadPoolExecutor(1)
    self.addCleanup(pool.shutdown, wait=False)
    feeds = {"x": np.asarray(x, np.float32)}
    return pool.submit(
      batcher.run, self.servable, feeds, list(fetches), interrupt
    )

  def _assert_doubled(self, future, x):
    y, *_ = future.result(running_server.PATIENCE)
    np.testing.assert_array_equal(y, 2 * np.array(x))

  def _assert_fails(self, text, future):
    with self.assertRaisesRegex(errors.ServingError, text):
      future.result(running_server.PATIENCE)

  def _wait_for_rows(self, batcher, rows):
    for _ in running_server.attempts():
      queues = list(batcher._queues.values())
      if sum(batch.rows for queue in queues for batch in queue) == rows:
        return

  def _wait_for_runs(self, number):
    for _ in running_server.attempts():
      if len(self.servable.sizes) >= number:
        return

  def test_rows_of_several_calls_come_together(self):
    batcher = self._batcher(max_batch_size=6)
    calls = [[[1.0]], [[2.0], [3.0]], [[4.0], [5.0], [6.0]]]
    for x, future in [(x, self._submit(batcher, x)) for x in calls]:
      self._assert_doubled(future, x)
    self.assertEqual(self.servable.sizes, [6])

  def test_a_call_waits_no_longer_than_the_timeout(self):
    batcher = self._batcher(timeout=0.01, max_batch_size=100)
    self._assert_doubled(self._submit(batcher, [[1.0]]), [[1.0]])
    self.assertEqual(self.servable.sizes, [1])

  def test_a_call_that_does_not_fit_starts_another_batch(self):
    batcher = self._batcher(max_batch_size=3)
    first = self._submit(batcher, [[1.0], [1.0]])
    self._wait_for_rows(batcher, 2)
    second = self._submit(batcher, [[2.0], [2.0], [2.0]])
    self._assert_doubled(first, [[1.0], [1.0]])
    self._assert_doubled(second, [[2.0], [2.0], [2.0]])
    self.assertEqual(self.servable.sizes, [2, 3])

  def test_other_shapes_and_outputs_stay_apart(self):
    batcher = self._batcher(max_batch_size=2)
    calls = [
      ([[1.0]], "yz"),
      ([[1.0, 2.0]], "yz"),
      ([[1.0, 2.0]], "zy"),
      ([[3.0]], "yz"),
      ([[3.0, 4.0]], "yz"),
      ([[3.0, 4.0]], "zy"),
    ]
    for future in [self._submit(batcher, *call) for call in calls]:
      future.result(running_server.PATIENCE)
    self.assertEqual(self.servable.sizes, [2, 2, 2])

  def test_sizes_are_filled_up(self):
    batcher = self._batcher(
      timeout=0.0, max_batch_size=8, allowed_sizes=(2, 4, 8)
    )
    for rows in (1, 2, 3, 5, 8):
      x = np.ones([rows, 1])
      self._assert_doubled(self._submit(batcher, x), x)
    self.assertEqual(self.servable.sizes, [2, 2, 4, 8, 8])

  def test_lengths_are_padded_if_asked_to(self):
    batcher = self._batcher(max_batch_size=2, pad=True)
    first = self._submit(batcher, [[1.0]])
    self._wait_for_rows(batcher, 1)
    second = self._submit(batcher, [[3.0, 4.0]])
    self._assert_doubled(first, [[1.0, 1.0]])
    self._assert_doubled(second, [[3.0, 4.0]])
    self.assertEqual(self.servable.sizes, [2])

  def test_large_calls_are_split_if_asked_to(self):
    batcher = self._batcher(max_batch_size=8, max_execution_batch_size=3)
    first = self._submit(batcher, [[1.0]])
    self._wait_for_rows(batcher, 1)
    x = np.arange(8.0)[:, None]
    large = self._submit(batcher, x)
    # The rest of the call is batched with other calls' rows.
    self._wait_for_rows(batcher, 2)
    last = self._submit(batcher, [[9.0]])
    self._assert_doubled(large, x)
    self._assert_doubled(first, [[1.0]])
    self._assert_doubled(last, [[9.0]])
    self.assertEqual(self.servable.sizes, [1, 3, 3, 3])
    self._assert_fails(
      "Task size 9 is larger", self._submit(batcher, np.ones([9, 1]))
    )

  def test_a_split_call_fails_and_stops_as_a_whole(self):
    batcher = self._batcher(
      timeout=0.0, max_batch_size=8, max_execution_batch_size=2
    )
    x = np.ones([7, 1])
    x[5] = -1.0
    self._assert_fails("must not be negative", self._submit(batcher, x))
    self._assert_fails(
      "0th dimension", self._submit(batcher, abs(x), ["total"])
    )
    # The call's other parts have left the queue, too.
    self._wait_for_rows(batcher, 0)
    self.servable.gate.clear()
    runs = len(self.servable.sizes)
    interrupt = interrupts.Interrupt()
    call = self._submit(batcher, abs(x), interrupt=interrupt)
    self._wait_for_runs(runs + 1)
    interrupt.set()
    self._assert_fails("cancelled", call)
    self.assertTrue(self.servable.stopped.wait(running_server.PATIENCE))

  def test_one_bad_call_does_not_hurt_the_others(self):
    batcher = self._batcher(max_batch_size=3)
    good = [self._submit(batcher, [[v]]) for v in (1.0, 2.0)]
    bad = self._submit(batcher, [[-1.0]])
    for value, future in zip((1.0, 2.0), good):
      self._assert_doubled(future, [[value]])
    self._assert_fails("must not be negative", bad)

  def test_outputs_without_rows(self):
    batcher = self._batcher(max_batch_size=2)
    made = [self._submit(batcher, [[v]], ["total"]) for v in (1.0, 2.0)]
    self.assertEqual([future.result() for future in made], [[1.0], [2.0]])

  def test_cancelled_calls(self):
    batcher = self._batcher(max_batch_size=2)
    first, second, third = (interrupts.Interrupt() for _ in range(3))
    # Cancelling one call of a batch does not affect the other.
    self.servable.gate.clear()
    cancelled = self._submit(batcher, [[1.0]], interrupt=second)
    kept = self._submit(batcher, [[2.0]], interrupt=third)
    self._wait_for_runs(1)
    second.set()
    self._assert_fails("cancelled", cancelled)
    self.assertFalse(self.servable.stopped.is_set())
    self.assertFalse(kept.done())
    # Cancelling the last call stops the batch.
    third.set()
    self.assertTrue(self.servable.stopped.wait(running_server.PATIENCE))
    self._assert_fails("cancelled", kept)
    # A waiting call that is cancelled does not run.
    self.servable.gate.set()
    waiting = self._submit(batcher, [[-1.0]], interrupt=first)
    self._wait_for_rows(batcher, 1)
    first.set()
    self._assert_fails("cancelled", waiting)
    self._assert_doubled(self._submit(batcher, [[2.0]]), [[2.0]])
    self.assertEqual(self.servable.sizes, [2, 1])

  def test_too_many_batches_are_refused(self):
    batcher = self._batcher(max_batch_size=1, max_enqueued_batches=2)
    self.servable.gate.clear()
    running = self._submit(batcher, [[1.0]])
    self._wait_for_runs(1)
    waiting = [self._submit(batcher, [[1.0]]) for _ in range(2)]
    self._wait_for_rows(batcher, 2)
    with self.assertRaisesRegex(errors.ServingError, "queue .* full") as caught:
      self._submit(batcher, [[1.0]]).result(running_server.PATIENCE)
    self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
    self.servable.gate.set()
    for future in [running, *waiting]:
      self._assert_doubled(future, [[1.0]])

  @parameterized.parameters(
    ({"x": _X}, "Task size 3 is larger than maximum input batch size 2"),
    ({"x": _X[:2], "y": _X[:1]}, "must have equal 0th-dimension size"),
    ({"x": np.float32(1)}, "must have at least one dimension"),
  )
  def test_refuses(self, feeds, text):
    batcher = self._batcher(max_batch_size=2)
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      batcher.run(self.servable, feeds, ["y"], None)
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

  def test_closing_refuses_calls_that_wait(self):
    batcher = self._batcher(max_batch_size=2)
    waiting = self._submit(batcher, [[1.0]])
    self._wait_for_rows(batcher, 1)
    batcher.close()
    self._assert_fails("stops", waiting)


class BatchingServerTest(running_server.TestCase, absltest.TestCase):
  """Real sockets and a real model; any_batching_test has an export's."""

  flags = None

  def _flags(self, text):
    path = self.create_tempfile(content=text).full_path
    return {"enable_batching": True, "batching_parameters_file": path}

  def test_deadlines_and_errors_are_those_of_one_call(self):
    flags = self._flags(
      "max_batch_size { value: 100 } batch_timeout_micros { value: 1000000 }"
    )
    with self.serving(**flags) as running:
      rows = np.array([1, 2])

      def send(timeout=running_server.PATIENCE, **rows):
        return running.predictions.Predict.future(
          serving_models.request("add", **rows), timeout=timeout
        )

      hasty = send(0.05, a=rows, b=rows)
      bad = send(a=-rows, b=rows)
      good = send(a=rows, b=rows)
      self.assertEqual(hasty.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
      self.assertEqual(bad.code(), grpc.StatusCode.INVALID_ARGUMENT)
      self.assertIn("a must not be negative", bad.details())
      self.assertEqual(list(good.result().outputs["sum"].int64_val), [2, 4])
