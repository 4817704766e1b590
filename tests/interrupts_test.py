"""Tests that an interrupt stops one run of a graph, and no other run."""

import os
import threading
from unittest import mock

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest

from serving.server import errors
from serving.server import interrupts
from serving.server import servables
from tests import running_server
from tests import serving_models

_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)
_ROWS = {"row": np.array([5, 7, 9])}
_SLOTS = 2


class InterruptsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = os.path.join(self.create_tempdir().full_path, "1")
    serving_models.write(folder)
    self.servable = servables.Servable("demo", 1, folder, watched_runs=_SLOTS)
    self.addCleanup(self.servable.close)

  def _double(self, interrupt=None):
    made = self.servable.predict(
      "serving_default", {"x": _X}, interrupt=interrupt
    )
    np.testing.assert_array_equal(made["y"], 2 * _X)

  def _ticks(self):
    return self.servable.predict("ticks", _ROWS)["ticks"][0]

  def _spin(self):
    """Starts an endless run; returns a function that stops it and its thread.

    The function returns the code that the run ended with.
    """
    interrupt, caught = interrupts.Interrupt(), []

    def run():
      try:
        self.servable.predict("spin", _ROWS, interrupt=interrupt)
      except errors.ServingError as error:
        caught.append(error.code)

    def stop():
      interrupt.set()
      thread.join(running_server.PATIENCE)
      self.assertEqual(caught, [grpc.StatusCode.CANCELLED])

    before = self._ticks()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in running_server.attempts():
      if self._ticks() > before:
        return stop, thread

  def test_stops_one_run_and_no_other(self):
    stop_first, _ = self._spin()
    stop_second, second = self._spin()
    stop_first()
    self.assertTrue(second.is_alive())
    stop_second()

  def test_slots_can_be_used_again(self):
    for _ in range(2 * _SLOTS):
      stop, _ = self._spin()
      stop()
    for _ in range(2 * _SLOTS):
      self._double()

  def test_endless_runs_in_all_slots_starve_nobody(self):
    # More than the threads of any of TensorFlow's pools here.
    spinning = [self._spin() for _ in range(_SLOTS)]
    self._double()
    for stop, _ in spinning:
      stop()

  def test_signatures_are_prepared_once(self):
    # TensorFlow prunes a changed graph again: calls must not change it.
    with mock.patch.object(
      interrupts.Watches, "_add_release", side_effect=AssertionError
    ):
      for _ in range(2 * _SLOTS):
        self._double()
    self.assertLen(self.servable._callables, 1)

  def test_a_signature_may_name_a_missing_tensor(self):
    session = tf.compat.v1.Session(graph=tf.Graph())
    self.addCleanup(session.close)
    with session.graph.as_default():
      tf.constant(3.0, name="there")
    watches = interrupts.Watches(session, 1, [["gone:0"], ["there:0"]])
    with watches.watching(["there:0"], interrupts.Interrupt()) as watch:
      self.assertNotEmpty(watch.targets)
    with self.assertRaises(KeyError):
      with watches.watching(["gone:0"], interrupts.Interrupt()):
        pass

  def test_a_run_that_is_stopped_before_it_begins(self):
    interrupt = interrupts.Interrupt()
    interrupt.set()
    self.assertTrue(interrupt.is_set)
    with self.assertRaisesRegex(errors.ServingError, "cancelled"):
      self.servable.predict("spin", _ROWS, interrupt=interrupt)

  def test_a_run_that_is_stopped_after_its_end(self):
    for _ in range(2 * _SLOTS):
      interrupt = interrupts.Interrupt()
      self._double(interrupt)
      interrupt.set()

  def test_errors_of_the_graph_arrive_and_free_their_slot(self):
    rows = np.array([1, -2])
    for _ in range(2 * _SLOTS):
      with self.assertRaisesRegex(errors.ServingError, "must not be negative"):
        self.servable.predict("add", {"a": rows, "b": rows})
    # A selection of outputs that was not prepared.
    inputs = {"a": 2 - rows, "b": rows}
    made = self.servable.predict("add", inputs, ["sum"])
    np.testing.assert_array_equal(made["sum"], [2, 2])

  def test_stopping_by_ends_with_its_block(self):
    interrupt, calls = interrupts.Interrupt(), []
    with interrupt.stopping_by(lambda: calls.append(1)):
      pass
    interrupt.set()
    self.assertEmpty(calls)
    with self.assertRaises(errors.ServingError):
      with interrupt.stopping_by(lambda: calls.append(2)):
        self.fail("It was set before.")
