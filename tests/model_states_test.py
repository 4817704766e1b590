"""Tests of decisions by the states of models."""

import time
from unittest import mock

import grpc
from absl.testing import absltest

from serving.server import errors
from serving.server import model_configs
from serving.server import model_states
from tests import running_server

_State = running_server.State
_ERROR = errors.ServingError(grpc.StatusCode.DATA_LOSS, "It is broken.")


def _model():
  return model_states.Model(model_configs.ModelConfig(name="demo"))


def _loading(model, retries=5):
  return [number for number, _ in model.to_load(retries)]


class ModelStatesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    # A fixed clock.
    self.enter_context(mock.patch.object(time, "monotonic", return_value=0.0))

  def test_pauses_become_longer(self):
    model = _model()
    model.aspire({1: "/1"})
    version = model.versions[1]
    pauses = []
    for _ in range(6):
      version.state = _State.LOADING
      version.fail(_ERROR, longest_pause=10.0)
      self.assertTrue(version.failed)
      pauses.append(version.next_attempt)
    self.assertEqual(pauses, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0])
    self.assertEqual(model.next_attempt(6), version.next_attempt)
    # No attempts remain.
    self.assertEqual(model.next_attempt(5), float("inf"))
    version.next_attempt = 0.0
    self.assertEqual((_loading(model, 6), _loading(model, 5)), ([1], []))

  def test_a_change_of_its_files_starts_anew(self):
    model = _model()
    model.aspire({1: "/1"})
    version = model.versions[1]
    version.files = {"a": (1, 2)}
    version.fail(_ERROR, longest_pause=3600.0)
    model.aspire({1: "/1"}, {1: {"a": (1, 2)}})
    self.assertEqual(_loading(model), [])
    model.aspire({1: "/1"}, {1: {"a": (1, 3)}})
    self.assertEqual(_loading(model), [1])
    version = model.versions[1]
    self.assertEqual((version.attempts, version.error), (0, None))

  def test_settles(self):
    model = _model()
    model.scanned = True
    model.aspire({1: "/1"})
    # An unloading version that is wanted again will be loaded.
    for state in (_State.START, _State.UNLOADING, _State.END, _State.LOADING):
      model.versions[1].state = state
      model.settle()
      self.assertFalse(model.settled)
    model.versions[1].fail(_ERROR, longest_pause=0.0)
    model.settle()
    self.assertTrue(model.settled)
    self.assertIn("version: 1 due to error: It is broken.", model.why())
    model.versions[1].state = _State.LOADING
    model.settle()
    self.assertTrue(model.settled)

  def test_without_versions(self):
    model = _model()
    model.aspire({})
    model.settle()
    self.assertFalse(model.settled)
    model.scanned = True
    model.settle()
    self.assertTrue(model.settled)
    self.assertIn("No versions found under", model.why())

  def test_remembers_the_last_versions_only(self):
    model = _model()
    for number in range(1, 201):
      model.aspire({number: f"/{number}"})
      version = model.versions[number]
      version.state = _State.LOADING
      version.succeed(None)
      version.state = _State.END
    model.aspire({200: "/200"})
    self.assertLess(len(model.versions), 100)
    self.assertIn(199, model.versions)
