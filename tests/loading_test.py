"""Tests of loading, unloading and trying again."""

import os

import grpc

from tests import pretended_models


class LoadingTest(pretended_models.TestCase):
  def test_the_new_version_is_there_before_the_old_one_goes(self):
    self.add(1)
    started = self.start()
    gate = self.gate(2)
    self.add(2)
    self.wait_for_states(started, {2: "LOADING", 1: "AVAILABLE"})
    self.assertEqual(self.answers(started), 1)
    gate.set()
    self.wait_for_states(started, {2: "AVAILABLE", 1: "END"})
    self.assertEqual(self.answers(started), 2)

  def test_removing_the_newest_rolls_back(self):
    self.add(1, 2)
    started = self.start()
    gate = self.gate(1)
    self.remove(2)
    self.wait_for_states(started, {2: "AVAILABLE", 1: "LOADING"})
    self.assertEqual(self.answers(started), 2)
    gate.set()
    self.wait_for_states(started, {2: "END", 1: "AVAILABLE"})
    self.add(2)
    self.wait_for_states(started, {2: "AVAILABLE", 1: "END"})

  def test_a_missing_folder_unloads_nothing(self):
    self.add(1)
    started = self.start()
    os.rename(os.path.join(self.folder, "demo"), os.path.join(self.folder, "x"))
    self.wait_for_scans(3)
    self.assertEqual(self.answers(started), 1)

  def test_a_broken_version_blocks_nobody(self):
    self.add(1)
    self.add(1, name="other")
    started = self.start(
      self.config(names=("demo", "other")), retry_interval=0.01
    )
    self.add(2, broken=True)
    self.wait_for(lambda: self.loads.count(("demo", 2)) == 6)
    self.wait_for_states(started, {2: "END", 1: "AVAILABLE"})
    error = started.states(pretended_models.spec())[2].error
    self.assertEqual(error.code, grpc.StatusCode.DATA_LOSS)
    self.assertEqual(error.text, "It is broken.")
    self.assertEqual(self.answers(started), 1)
    self.add(3)
    self.add(2, name="other")
    self.wait_for_states(started, {3: "AVAILABLE", 2: "END", 1: "END"})
    self.wait_for_states(started, {2: "AVAILABLE", 1: "END"}, "other")

  def test_a_version_that_is_mended_is_served(self):
    self.add(1)
    self.add(2, broken=True)
    started = self.start(max_retries=0, retry_interval=3600.0)
    self.wait_for_states(started, {2: "END", 1: "AVAILABLE"})
    self.add(2)  # As when a copy is completed.
    self.wait_for_states(started, {2: "AVAILABLE", 1: "END"})
    self.assertIsNone(started.states(pretended_models.spec())[2].error)

  def test_retries_end(self):
    self.add(1, broken=True)
    started = self.start(max_retries=2, retry_interval=0.0)
    self.wait_for(lambda: len(self.loads) == 3)
    self.wait_for_scans(3)
    self.wait_for_states(started, {1: "END"})
    self.assertLen(self.loads, 3)

  def test_an_unexpected_error_is_one_of_the_version(self):
    self.add(1)
    self.load = lambda *_: 1 / 0
    started = self.start(max_retries=0)
    self.wait_for_states(started, {1: "END"})
    self.assertIn(
      "ZeroDivision", started.states(pretended_models.spec())[1].error.text
    )

  def test_a_model_that_is_removed_while_it_loads(self):
    self.add(1)
    self.add(1, name="other")
    gate = self.gate(1, "other")
    started = self.start(self.config(names=("demo", "other")), wait=False)
    self.wait_for_states(started, {1: "LOADING"}, "other")
    started.reload(self.config())
    gate.set()
    self.wait_for_states(started, {1: "END"}, "other")
