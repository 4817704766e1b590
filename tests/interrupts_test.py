"""Tests that one run of a graph stops, and that others do not."""

import os
import threading
from unittest import mock

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from serving.server import errors
from serving.server import interrupts
from serving.server import predictor
from serving.server import servables
from tests import running_server
from tests import serving_models

_X = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.5]], np.float32)
_SLOTS = 2


class InterruptsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = os.path.join(self.create_tempdir().full_path, "1")
    serving_models.write(folder)
    self.servable = servables.Servable("demo", 1, folder, watched_runs=_SLOTS)
    self.addCleanup(self.servable.close)

  def _ask(self, signature, interrupt=None, filters=(), **inputs):
    inputs = inputs or {"row": np.array([5, 7, 9])}
    request = serving_models.request(signature, filters=filters, **inputs)
    return predictor.answer(self.servable, request, interrupt)[1]

  def _spin(self):
    """Starts an endless run; returns what stops it, and its thread."""
    interrupt, caught = interrupts.Interrupt(), []

    def run():
      try:
        self._ask("spin", interrupt)
      except errors.ServingError as error:
        caught.append(error.code)

    before = self._ask("ticks")["ticks"][0]
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in running_server.attempts():
      if self._ask("ticks")["ticks"][0] > before:
        return interrupt, thread, caught

  def test_stops_one_run_and_no_other(self):
    first, first_thread, caught = self._spin()
    second, second_thread, _ = self._spin()
    first.set()
    first_thread.join(running_server.PATIENCE)
    self.assertEqual(caught, [grpc.StatusCode.CANCELLED])
    self.assertTrue(second_thread.is_alive())
    second.set()
    second_thread.join(running_server.PATIENCE)
    self.assertFalse(second_thread.is_alive())

  def test_slots_can_be_used_again(self):
    for _ in range(2 * _SLOTS):
      interrupt, thread, _ = self._spin()
      interrupt.set()
      thread.join(running_server.PATIENCE)
      self.assertFalse(thread.is_alive())
    for _ in range(2 * _SLOTS):
      made = self._ask("", interrupts.Interrupt(), x=_X)
      np.testing.assert_array_equal(made["y"], 2 * _X)

  def test_endless_runs_starve_nobody(self):
    # More than there are threads in any pool of TensorFlow's here.
    spinning = [self._spin() for _ in range(_SLOTS)]
    np.testing.assert_array_equal(self._ask("", x=_X)["y"], 2 * _X)
    for interrupt, thread, _ in spinning:
      interrupt.set()
      thread.join(running_server.PATIENCE)

  def test_all_slots_share_what_is_prepared_for_a_signature(self):
    with mock.patch.object(
      servables, "_Callable", wraps=servables._Callable
    ) as prepared:
      for _ in range(2 * _SLOTS):
        self._ask("", interrupts.Interrupt(), x=_X)
    self.assertEqual(prepared.call_count, 1)

  def test_what_signatures_answer_is_watched_from_the_start(self):
    # A graph that has grown is looked through anew: it must not, at calls.
    with mock.patch.object(
      interrupts.Watches, "_add_release", side_effect=AssertionError
    ):
      self._ask("", interrupts.Interrupt(), x=_X)
      self._ask("ticks", interrupts.Interrupt())

  def test_a_signature_may_name_what_is_not_there(self):
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

  def test_what_is_set_before_does_not_begin(self):
    interrupt = interrupts.Interrupt()
    interrupt.set()
    self.assertTrue(interrupt.is_set)
    with self.assertRaisesRegex(errors.ServingError, "cancelled"):
      self._ask("spin", interrupt)

  def test_what_is_set_afterwards_harms_nobody(self):
    for _ in range(2 * _SLOTS):
      interrupt = interrupts.Interrupt()
      self._ask("", interrupt, x=_X)
      interrupt.set()

  def test_more_runs_than_slots_are_answered(self):
    spinning = [self._spin() for _ in range(_SLOTS)]
    made = self._ask("", interrupts.Interrupt(), x=_X)
    np.testing.assert_array_equal(made["y"], 2 * _X)
    for interrupt, thread, _ in spinning:
      interrupt.set()
      thread.join(running_server.PATIENCE)

  def test_errors_of_the_graph_stay_what_they_are(self):
    rows = np.array([1, -2])
    for _ in range(2 * _SLOTS):
      with self.assertRaisesRegex(errors.ServingError, "must not be negative"):
        self._ask("add", interrupts.Interrupt(), a=rows, b=rows)
    made = self._ask("add", interrupts.Interrupt(), a=-rows + 2, b=rows)
    np.testing.assert_array_equal(made["sum"], [2, 2])

  @parameterized.parameters("sum", "difference")
  def test_some_outputs(self, name):
    rows = np.array([1, 2])
    made = self._ask("add", interrupts.Interrupt(), [name], a=rows, b=rows)
    self.assertEqual(list(made), [name])

  def test_stopping_by_ends_with_its_block(self):
    interrupt, calls = interrupts.Interrupt(), []
    with interrupt.stopping_by(lambda: calls.append(1)):
      pass
    interrupt.set()
    self.assertEmpty(calls)
    with self.assertRaises(errors.ServingError):
      with interrupt.stopping_by(lambda: calls.append(2)):
        self.fail("It was set before.")


if __name__ == "__main__":
  absltest.main()
