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
# Longer than any test: what waits for others waits until the batch is full.
_LONG = 3600.0


class _Servable:
  """Doubles, remembers how many rows came together, and can be held up."""

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
      # Not before: who has seen it may stop it.
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
    return batcher

  def _submit(self, batcher, servable, x, fetches=("y", "z"), interrupt=None):
    pool = futures.ThreadPoolExecutor(1)
    self.addCleanup(pool.shutdown, wait=False)
    feeds = {"x": np.asarray(x, np.float32)}
    return pool.submit(batcher.run, servable, feeds, list(fetches), interrupt)

  def _wait_for_rows(self, batcher, rows):
    for _ in running_server.attempts():
      queues = list(batcher._queues.values())
      if sum(batch.rows for queue in queues for batch in queue) == rows:
        return

  def test_rows_of_several_calls_come_together(self):
    servable, batcher = _Servable(), self._batcher(max_batch_size=6)
    calls = [[[1.0]], [[2.0], [3.0]], [[4.0], [5.0], [6.0]]]
    made = [self._submit(batcher, servable, x) for x in calls]
    for x, future in zip(calls, made):
      y, z = future.result(running_server.PATIENCE)
      np.testing.assert_array_equal(y, 2 * np.array(x))
      np.testing.assert_array_equal(z, np.ones(len(x)))
    self.assertEqual(servable.sizes, [6])

  def test_nobody_waits_longer_than_the_timeout(self):
    servable = _Servable()
    batcher = self._batcher(timeout=0.01, max_batch_size=100)
    self._submit(batcher, servable, [[1.0]]).result(running_server.PATIENCE)
    self.assertEqual(servable.sizes, [1])

  def test_what_does_not_fit_starts_another_batch(self):
    servable, batcher = _Servable(), self._batcher(max_batch_size=3)
    first = self._submit(batcher, servable, [[1.0], [1.0]])
    self._wait_for_rows(batcher, 2)
    second = self._submit(batcher, servable, [[2.0], [2.0], [2.0]])
    first.result(running_server.PATIENCE)
    second.result(running_server.PATIENCE)
    self.assertEqual(servable.sizes, [2, 3])

  def test_other_shapes_and_outputs_stay_apart(self):
    servable = _Servable()
    batcher = self._batcher(max_batch_size=2)
    made = [
      self._submit(batcher, servable, x, fetches)
      for x, fetches in (
        ([[1.0]], "yz"),
        ([[1.0, 2.0]], "yz"),
        ([[3.0]], "yz"),
        ([[3.0, 4.0]], "yz"),
      )
    ]
    for future in made:
      future.result(running_server.PATIENCE)
    self.assertEqual(servable.sizes, [2, 2])

  def test_sizes_are_filled_up(self):
    servable = _Servable()
    batcher = self._batcher(
      timeout=0.0, max_batch_size=8, allowed_sizes=(2, 4, 8)
    )
    for rows in (1, 2, 3, 5, 8):
      y, _ = self._submit(batcher, servable, np.ones([rows, 1])).result(
        running_server.PATIENCE
      )
      np.testing.assert_array_equal(y, np.full([rows, 1], 2.0))
    self.assertEqual(servable.sizes, [2, 2, 4, 8, 8])

  def test_large_calls_are_split_if_asked_to(self):
    servable = _Servable()
    batcher = self._batcher(max_batch_size=8, max_execution_batch_size=3)
    first = self._submit(batcher, servable, [[1.0]])
    self._wait_for_rows(batcher, 1)
    x = np.arange(8.0)[:, None]
    large = self._submit(batcher, servable, x)
    # What is left over comes together with others' rows.
    self._wait_for_rows(batcher, 2)
    last = self._submit(batcher, servable, [[9.0]])
    y, z = large.result(running_server.PATIENCE)
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(z, np.ones(8))
    for future in (first, last):
      future.result(running_server.PATIENCE)
    self.assertEqual(servable.sizes, [1, 3, 3, 3])
    with self.assertRaisesRegex(errors.ServingError, "Task size 9 is larger"):
      batcher.run(servable, {"x": np.ones([9, 1], np.float32)}, ["y", "z"])

  def test_a_split_call_fails_and_stops_as_a_whole(self):
    servable = _Servable()
    batcher = self._batcher(
      timeout=0.0, max_batch_size=8, max_execution_batch_size=2
    )
    x = np.ones([7, 1], np.float32)
    x[5] = -1.0
    with self.assertRaisesRegex(errors.ServingError, "must not be negative"):
      batcher.run(servable, {"x": x}, ["y", "z"])
    with self.assertRaisesRegex(errors.ServingError, "0th dimension"):
      batcher.run(servable, {"x": abs(x)}, ["total"])
    # Also what had been begun when it failed.
    self._wait_for_rows(batcher, 0)
    servable.gate.clear()
    before = len(servable.sizes)
    interrupt = interrupts.Interrupt()
    call = self._submit(batcher, servable, abs(x), interrupt=interrupt)
    for _ in running_server.attempts():
      if len(servable.sizes) > before:
        break
    interrupt.set()
    with self.assertRaisesRegex(errors.ServingError, "cancelled"):
      call.result(running_server.PATIENCE)
    self.assertTrue(servable.stopped.wait(running_server.PATIENCE))

  def test_lengths_are_padded_if_asked_to(self):
    servable = _Servable()
    batcher = self._batcher(max_batch_size=2, pad=True)
    first = self._submit(batcher, servable, [[1.0]])
    self._wait_for_rows(batcher, 1)
    second = self._submit(batcher, servable, [[3.0, 4.0]])
    np.testing.assert_array_equal(first.result()[0], [[2.0, 2.0]])
    np.testing.assert_array_equal(second.result()[0], [[6.0, 8.0]])
    self.assertEqual(servable.sizes, [2])

  def test_one_bad_call_does_not_hurt_the_others(self):
    servable, batcher = _Servable(), self._batcher(max_batch_size=3)
    good = [self._submit(batcher, servable, [[v]]) for v in (1.0, 2.0)]
    bad = self._submit(batcher, servable, [[-1.0]])
    for value, future in zip((1.0, 2.0), good):
      np.testing.assert_array_equal(future.result()[0], [[2 * value]])
    with self.assertRaisesRegex(errors.ServingError, "must not be negative"):
      bad.result()

  def test_outputs_that_are_no_rows(self):
    servable, batcher = _Servable(), self._batcher(max_batch_size=2)
    made = [
      self._submit(batcher, servable, [[v]], ["total"]) for v in (1.0, 2.0)
    ]
    self.assertEqual([future.result() for future in made], [[1.0], [2.0]])

  def test_a_cancelled_call_leaves_the_others_alone(self):
    servable, batcher = _Servable(), self._batcher(max_batch_size=2)
    servable.gate.clear()
    interrupt = interrupts.Interrupt()
    cancelled = self._submit(batcher, servable, [[1.0]], interrupt=interrupt)
    kept = self._submit(batcher, servable, [[2.0]])
    for _ in running_server.attempts():
      if servable.sizes:
        break
    interrupt.set()
    with self.assertRaisesRegex(errors.ServingError, "cancelled"):
      cancelled.result(running_server.PATIENCE)
    self.assertFalse(servable.stopped.is_set())
    servable.gate.set()
    np.testing.assert_array_equal(kept.result()[0], [[4.0]])
    self.assertEqual(servable.sizes, [2])

  def test_a_batch_that_nobody_waits_for_stops(self):
    servable, batcher = _Servable(), self._batcher(max_batch_size=2)
    servable.gate.clear()
    both = [interrupts.Interrupt() for _ in range(2)]
    made = [
      self._submit(batcher, servable, [[1.0]], interrupt=interrupt)
      for interrupt in both
    ]
    for _ in running_server.attempts():
      if servable.sizes:
        break
    for interrupt in both:
      interrupt.set()
    self.assertTrue(servable.stopped.wait(running_server.PATIENCE))
    for future in made:
      with self.assertRaisesRegex(errors.ServingError, "cancelled"):
        future.result(running_server.PATIENCE)

  def test_a_call_that_is_cancelled_while_it_waits_does_not_run(self):
    servable, batcher = _Servable(), self._batcher(max_batch_size=2)
    interrupt = interrupts.Interrupt()
    cancelled = self._submit(batcher, servable, [[-1.0]], interrupt=interrupt)
    self._wait_for_rows(batcher, 1)
    interrupt.set()
    with self.assertRaises(errors.ServingError):
      cancelled.result(running_server.PATIENCE)
    made = self._submit(batcher, servable, [[2.0]])
    np.testing.assert_array_equal(made.result()[0], [[4.0]])
    self.assertEqual(servable.sizes, [1])

  def test_too_many_batches_are_refused(self):
    servable = _Servable()
    batcher = self._batcher(max_batch_size=1, max_enqueued_batches=2)
    servable.gate.clear()
    running = self._submit(batcher, servable, [[1.0]])
    for _ in running_server.attempts():
      if servable.sizes:
        break
    waiting = [self._submit(batcher, servable, [[1.0]]) for _ in range(2)]
    self._wait_for_rows(batcher, 2)
    with self.assertRaisesRegex(
      errors.ServingError, "The batch scheduling queue .* is full"
    ) as caught:
      batcher.run(
        servable, {"x": np.ones([1, 1], np.float32)}, ["y", "z"], None
      )
    self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
    servable.gate.set()
    for future in [running, *waiting]:
      future.result(running_server.PATIENCE)

  def test_refuses(self):
    batcher = self._batcher(max_batch_size=2)
    for feeds, text in (
      ({"x": _X}, "Task size 3 is larger than maximum input batch size 2"),
      ({"x": _X[:2], "y": _X[:1]}, "must have equal 0th-dimension size"),
      ({"x": np.float32(1)}, "must have at least one dimension"),
    ):
      with self.assertRaisesRegex(errors.ServingError, text) as caught:
        batcher.run(_Servable(), feeds, ["y"], None)
      self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

  def test_closing_refuses_what_waits(self):
    batcher = self._batcher(max_batch_size=2)
    waiting = self._submit(batcher, _Servable(), [[1.0]])
    self._wait_for_rows(batcher, 1)
    batcher.close()
    with self.assertRaisesRegex(errors.ServingError, "stops"):
      waiting.result(running_server.PATIENCE)


class BatchingServerTest(running_server.TestCase, parameterized.TestCase):
  """Over real sockets, with a real model."""

  flags = None

  def _parameters(self, text):
    path = self.create_tempfile(content=text).full_path
    return {"enable_batching": True, "batching_parameters_file": path}

  def test_rows_do_not_depend_on_their_neighbours(self):
    flags = self._parameters(
      "max_batch_size { value: 8 } batch_timeout_micros { value: 20000 }"
    )
    random = np.random.default_rng(0)
    with self.serving(**flags, grpc_max_threads=32) as running:

      def ask(seed):
        x = np.random.default_rng(seed).normal(size=[seed % 3 + 1, 2])
        x = x.astype(np.float32)
        response = running.predict(x=x)
        y = np.array(response.outputs["y"].float_val, np.float32)
        return np.array_equal(y.reshape(x.shape), 2 * x)

      with futures.ThreadPoolExecutor(12) as pool:
        self.assertTrue(all(pool.map(ask, random.permutation(60).tolist())))

  def test_deadlines_and_errors_are_those_of_one_call(self):
    flags = self._parameters(
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

  def test_a_cancelled_call_stops_the_graph(self):
    flags = self._parameters("num_batch_threads { value: 1 }")
    with self.serving(**flags) as running:
      self.spin(running).cancel()
      # The only thread comes free again.
      running.predict(x=_X)

  def test_a_full_queue_is_503(self):
    flags = self._parameters(
      "num_batch_threads { value: 1 } max_batch_size { value: 3 } "
      "max_enqueued_batches { value: 1 }"
    )
    with self.serving(**flags, grpc_max_threads=8) as running:
      self.spin(running)
      two = [
        running.predictions.Predict.future(
          serving_models.request(x=_X), timeout=running_server.PATIENCE
        )
        for _ in range(2)
      ]
      for _ in running_server.attempts():
        refused = [future for future in two if future.done()]
        if refused:
          break
      self.assertEqual(refused[0].code(), grpc.StatusCode.UNAVAILABLE)
      status, answer = running.json(
        "/v1/models/demo:predict", {"instances": _X.tolist()}
      )
      self.assertEqual(status, 503)
      self.assertIn("queue", answer["error"])
      running_server.aside(running, "stop")
      (waiting,) = [future for future in two if future is not refused[0]]
      self.assertIn("y", waiting.result().outputs)

  def test_a_bad_file(self):
    flags = self._parameters("max_batch_size { value: 0 }")
    with self.assertRaisesRegex(ValueError, "max_batch_size must be 1 or more"):
      self.start(**flags)


if __name__ == "__main__":
  absltest.main()
