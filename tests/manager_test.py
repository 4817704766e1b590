"""Tests of the choice of versions, of labels, and of reloading."""

import contextlib
from unittest import mock

import grpc

from serving.server import errors
from serving.server import interrupts
from tests import pretended_models
from tests import running_server


class ManagerTest(pretended_models.TestCase):
  def test_serves_the_newest(self):
    self.add(2, 10, 9)
    started = self.start()
    self.assertEqual(self.states(started), {10: "AVAILABLE"})
    self.assertEqual(self.answers(started), 10)
    self.assertEqual(self.answers(started, version=10), 10)
    self.refuses(
      started,
      grpc.StatusCode.NOT_FOUND,
      r"^Servable not found for request: Specific\(demo, 9\)$",
      version=9,
    )

  def test_calls_in_flight_keep_their_version(self):
    self.add(1)
    started = self.start()
    with started.use(pretended_models.spec()) as servable:
      self.add(2)
      self.wait_for_states(started, {2: "AVAILABLE", 1: "UNLOADING"})
      self.assertFalse(servable.closed)
      self.refuses(started, grpc.StatusCode.NOT_FOUND, "Specific", version=1)
    self.wait_for_states(started, {2: "AVAILABLE", 1: "END"})
    self.assertTrue(servable.closed)

  def test_says_that_it_is_still_loading(self):
    self.add(1)
    gate = self.gate(1)
    started = self.start(wait=False)
    self.wait_for_states(started, {1: "LOADING"})
    for name in ("demo", "other"):
      self.refuses(
        started, grpc.StatusCode.UNAVAILABLE, "still being loaded", name=name
      )
    gate.set()
    self.wait_for_states(started, {1: "AVAILABLE"})
    self.assertEqual(self.answers(started), 1)
    self.assertTrue(started.wait_until_settled(running_server.PATIENCE))
    self.refuses(
      started, grpc.StatusCode.NOT_FOUND, r"Latest\(other\)", name="other"
    )

  def test_a_version_that_loads_beside_another_is_waited_for(self):
    self.add(1, 2)
    self.add(3, broken=True)
    gate = self.gate(2)
    config = self.config()
    model = config.model_config_list.config[0]
    model.model_version_policy.all.SetInParent()
    model.version_labels["canary"] = 2
    started = self.start(config, allow_unavailable_labels=True, max_retries=0)
    self.wait_for_states(started, {3: "END", 2: "LOADING", 1: "AVAILABLE"})
    self.assertEqual(self.answers(started), 1)
    for asked in ({"version": 2}, {"label": "canary"}):
      self.refuses(
        started,
        grpc.StatusCode.UNAVAILABLE,
        "^Version 2 of model demo is still being loaded.$",
        **asked,
      )
    for version in (3, 4):
      self.refuses(
        started, grpc.StatusCode.NOT_FOUND, "Specific", version=version
      )
    gate.set()
    self.wait_for_states(started, {3: "END", 2: "AVAILABLE", 1: "AVAILABLE"})
    self.assertEqual(self.answers(started, label="canary"), 2)

  def test_a_version_that_loads_in_place_of_a_broken_one_is_waited_for(self):
    self.add(1)
    self.add(2, broken=True)
    gate = self.gate(1)
    started = self.start(wait=False, max_retries=0)
    self.wait_for_states(started, {2: "END", 1: "LOADING"})
    self.refuses(
      started,
      grpc.StatusCode.UNAVAILABLE,
      "^Model demo is still being loaded.$",
    )
    gate.set()
    self.wait_for_states(started, {2: "END", 1: "AVAILABLE"})
    self.assertEqual(self.answers(started), 1)

  def test_labels(self):
    self.add(1, 2)
    text = (
      'model_config_list { config { name: "demo" base_path: "PATH/demo" '
      'model_platform: "tensorflow" model_version_policy { all {} } LABELS } }'
    )

    def config(**labels):
      entries = [
        f'version_labels {{ key: "{key}" value: {value} }}'
        for key, value in labels.items()
      ]
      return self.config(text.replace("LABELS", " ".join(entries)))

    with self.assertRaisesRegex(
      errors.ServingError,
      "^Request to assign label to version 1 of model demo, which is not "
      "currently available for inference$",
    ) as caught:
      self.start(config(stable=1))
    self.assertEqual(caught.exception.code, grpc.StatusCode.FAILED_PRECONDITION)
    started = self.start(config())
    self.wait_for_states(started, {2: "AVAILABLE", 1: "AVAILABLE"})
    started.reload(config(stable=1, canary=2))
    self.assertEqual(self.answers(started, label="stable"), 1)
    self.assertEqual(self.answers(started, label="canary"), 2)
    with self.assertRaisesRegex(errors.ServingError, "version 3 of model demo"):
      started.reload(config(stable=3))
    self.assertEqual(self.answers(started, label="stable"), 1)
    started.reload(config(stable=2))
    self.assertEqual(self.answers(started, label="stable"), 2)
    self.refuses(
      started,
      grpc.StatusCode.INVALID_ARGUMENT,
      "^Unrecognized servable version label: canary$",
      label="canary",
    )

    allowing = self.start(config(stable=1), allow_unavailable_labels=True)
    # It counts as settled with any of the versions.
    self.wait_for_states(allowing, {2: "AVAILABLE", 1: "AVAILABLE"})
    self.assertEqual(self.answers(allowing, label="stable"), 1)
    allowing.reload(config(stable=1, next=3))
    self.refuses(
      allowing,
      grpc.StatusCode.NOT_FOUND,
      r"Specific\(demo, 3\)",
      label="next",
    )
    with self.assertRaisesRegex(errors.ServingError, "version 4 of model demo"):
      allowing.reload(config(stable=4))

  def test_reload_adds_and_removes(self):
    self.add(1)
    self.add(1, name="other")
    started = self.start()
    started.reload(self.config(names=("other",)))
    self.assertEqual(self.answers(started, name="other"), 1)
    self.wait_for_states(started, {1: "END"})
    self.refuses(started, grpc.StatusCode.NOT_FOUND, r"Latest\(demo\)")
    self.assertEqual(started.available(), {"other": [1]})
    started.reload(self.config())
    self.assertEqual(self.answers(started), 1)

  def test_reload_says_what_could_not_be_loaded(self):
    self.add(1)
    self.add(1, name="other", broken=True)
    started = self.start()
    with self.assertRaisesRegex(
      errors.ServingError, "2 model.s. did not become available: .*other.*It is"
    ) as caught:
      started.reload(self.config(names=("demo", "other", "third")))
    self.assertEqual(caught.exception.code, grpc.StatusCode.UNKNOWN)
    self.assertIn("No versions found under", caught.exception.text)
    self.assertEqual(self.answers(started), 1)

  def test_reload_behind_another_one_can_be_interrupted(self):
    self.add(1)
    self.add(1, name="other")
    gate = self.gate(1, name="other")
    started = self.start()
    interrupt = interrupts.Interrupt()
    both = self.config(names=("demo", "other"))
    with self.reloading(started, both) as failures:
      self.wait_for(lambda: ("other", 1) in self.loads)
      with self.assertRaises(errors.ServingError) as caught:
        # Sets the interrupt while the reload waits for the lock.
        with mock.patch.object(interrupt, "check", wraps=interrupt.check) as it:
          it.side_effect = lambda: (interrupt.set(), mock.DEFAULT)[1]
          started.reload(self.config(), interrupt)
      gate.set()
    self.assertEqual(caught.exception.code, grpc.StatusCode.CANCELLED)
    self.assertEmpty(failures)
    # The interrupted reload has changed nothing.
    self.assertEqual(self.states(started, "other"), {1: "AVAILABLE"})

  def test_reload_can_be_interrupted(self):
    self.add(1)
    self.add(1, name="other")
    gate = self.gate(1, "other")
    started = self.start()
    interrupt = interrupts.Interrupt()
    both = self.config(names=("demo", "other"))
    with self.reloading(started, both, interrupt) as failures:
      self.wait_for_states(started, {1: "LOADING"}, "other")
      interrupt.set()
    self.assertEqual(failures, ["The call was cancelled."])
    gate.set()
    self.wait_for_states(started, {1: "AVAILABLE"}, "other")

  def test_a_model_that_comes_back_before_it_is_unloaded(self):
    self.add(1)
    started = self.start()
    with started.use(pretended_models.spec()) as servable:
      started.reload(self.config(names=()))
      self.wait_for_states(started, {1: "UNLOADING"})
      started.reload(self.config())
      self.assertEqual(self.answers(started), 1)
    self.assertFalse(servable.closed)
    self.assertLen(self.loads, 1)

  def test_a_model_that_comes_back_while_it_is_unloaded(self):
    self.add(1)
    # Without polling of the folders.
    started = self.start(poll_wait=0)
    gate = self.keep_closing(started)
    started.reload(self.config(names=()))
    self.wait_for_states(started, {1: "UNLOADING"})
    with self.reloading(started, self.config()) as failures:
      self.wait_for(lambda: "demo" in started.available())
      self.refuses(started, grpc.StatusCode.UNAVAILABLE, "still being loaded")
      gate.set()
    self.assertEmpty(failures)
    self.assertEqual(self.answers(started), 1)
    self.assertLen(self.loads, 2)

  def test_a_model_elsewhere_is_not_the_one_that_is_unloaded(self):
    self.add(1)
    self.add(1, name="other")
    started = self.start()
    config = self.config()
    config.model_config_list.config[0].base_path += "/../other"
    with contextlib.ExitStack() as call:
      call.enter_context(started.use(pretended_models.spec()))
      started.reload(self.config(names=()))
      self.wait_for_states(started, {1: "UNLOADING"})
      with self.reloading(started, config) as failures:
        self.wait_for(lambda: "demo" in started.available())
        call.close()
    self.assertEmpty(failures)
    with started.use(pretended_models.spec()) as servable:
      self.assertIn("other", servable.path)

  def test_a_model_that_comes_back_while_folders_are_looked_at(self):
    # A scan that began before the model was added does not count.
    self.add(1)
    self.add(1, name="other")
    started = self.start(self.config(names=("demo", "other")))
    started.reload(self.config(names=("other",)))
    self.wait_for_states(started, {1: "END"})
    with self.scanning() as (scanning, gate):
      scanning.wait(running_server.PATIENCE)
      with self.reloading(started, self.config()) as failures:
        self.wait_for(lambda: "demo" in started.available())
        gate.set()
    self.assertEmpty(failures)
    self.assertEqual(self.answers(started), 1)
