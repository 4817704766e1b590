"""Tests of loading and unloading, with models that only pretend to be some."""

import os
import shutil
import threading

import grpc
from absl.testing import absltest
from absl.testing import parameterized
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2

from serving import errors
from serving import interrupts
from serving import loading
from serving import manager
from serving import model_configs
from serving import servables
from tests import running_server

_State = running_server.State


class _Servable:
  """What a test's loader returns."""

  def __init__(self, name, version, path):
    self.name, self.version, self.path = name, version, path
    self.closed = False

  def close(self):
    self.closed = True


def _spec(name="demo", version=None, label=None):
  spec = model_pb2.ModelSpec(name=name)
  if version is not None:
    spec.version.value = version
  if label is not None:
    spec.version_label = label
  return spec


class ManagerTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = self.create_tempdir().full_path
    self.loads = []
    self.gates = {}

  def _add(self, *versions, name="demo", broken=False):
    for version in versions:
      folder = os.path.join(self.folder, name, str(version))
      os.makedirs(folder, exist_ok=True)
      path = os.path.join(folder, "broken")
      if broken:
        with open(path, "w") as file:
          file.write("It is.")
      elif os.path.exists(path):
        os.remove(path)

  def _remove(self, version, name="demo"):
    shutil.rmtree(os.path.join(self.folder, name, str(version)))

  def _load(self, name, version, path):
    self.loads.append((name, version))
    if (name, version) in self.gates:
      self.gates[name, version].wait(running_server.PATIENCE)
    if os.path.exists(os.path.join(path, "broken")):
      raise servables.LoadError("It is broken.", grpc.StatusCode.DATA_LOSS)
    return _Servable(name, version, path)

  def _gate(self, version, name="demo"):
    """Makes a version load no sooner than it is told to."""
    gate = self.gates[name, version] = threading.Event()
    self.addCleanup(gate.set)
    return gate

  def _config(self, text=None, names=("demo",)):
    if text is not None:
      text = text.replace("PATH", self.folder)
      return text_format.Parse(text, model_configs.ModelServerConfig())
    config = model_configs.ModelServerConfig()
    for name in names:
      config.model_config_list.config.add(
        name=name,
        base_path=os.path.join(self.folder, name),
        model_platform="tensorflow",
      )
    return config

  def _start(self, config=None, wait=True, **settings):
    settings = {"poll_wait": 0.01, "retry_interval": 0.01} | settings
    started = manager.Manager(
      config or self._config(), self._load, loading.Settings(**settings)
    )
    self.addCleanup(started.close)
    if wait:
      self.assertTrue(started.wait_until_settled(running_server.PATIENCE))
    return started

  def _states(self, started, name="demo"):
    try:
      states = started.states(_spec(name))
    except errors.ServingError:
      return {}
    return {
      number: _State.Name(version.state) for number, version in states.items()
    }

  def _wait_for(self, condition):
    for _ in running_server.attempts():
      if condition():
        return

  def _wait_for_states(self, started, states, name="demo"):
    self._wait_for(lambda: self._states(started, name) == states)

  def _answers(self, started, **spec):
    with started.use(_spec(**spec)) as servable:
      return servable.version

  def _refuses(self, started, code, text, **spec):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      self._answers(started, **spec)
    self.assertEqual(caught.exception.code, code)

  def test_serves_the_newest(self):
    self._add(2, 10, 9)
    started = self._start()
    self.assertEqual(self._states(started), {10: "AVAILABLE"})
    self.assertEqual(self._answers(started), 10)
    self.assertEqual(self._answers(started, version=10), 10)
    self.assertTrue(started.ready())
    self._refuses(
      started,
      grpc.StatusCode.NOT_FOUND,
      r"^Servable not found for request: Specific\(demo, 9\)$",
      version=9,
    )

  @parameterized.parameters(
    ("all {}", {2, 9, 10}),
    ("latest { num_versions: 2 }", {9, 10}),
    ("specific { versions: 2 versions: 9 }", {2, 9}),
  )
  def test_policies(self, policy, numbers):
    self._add(2, 10, 9)
    started = self._start(
      self._config(
        'model_config_list { config { name: "demo" base_path: "PATH/demo" '
        'model_platform: "tensorflow" '
        f"model_version_policy {{ {policy} }} }} }}"
      )
    )
    self._wait_for_states(
      started, {n: "AVAILABLE" for n in sorted(numbers, reverse=True)}
    )
    self.assertEqual(self._answers(started), max(numbers))

  def test_the_new_version_is_there_before_the_old_one_goes(self):
    self._add(1)
    started = self._start()
    gate = self._gate(2)
    self._add(2)
    self._wait_for_states(started, {2: "LOADING", 1: "AVAILABLE"})
    self.assertEqual(self._answers(started), 1)
    gate.set()
    self._wait_for_states(started, {2: "AVAILABLE", 1: "END"})
    self.assertEqual(self._answers(started), 2)

  def test_calls_in_flight_keep_their_version(self):
    self._add(1)
    started = self._start()
    with started.use(_spec()) as servable:
      self._add(2)
      self._wait_for_states(started, {2: "AVAILABLE", 1: "UNLOADING"})
      self.assertFalse(servable.closed)
      self._refuses(started, grpc.StatusCode.NOT_FOUND, "Specific", version=1)
    self._wait_for_states(started, {2: "AVAILABLE", 1: "END"})
    self.assertTrue(servable.closed)

  def test_removing_the_newest_rolls_back(self):
    self._add(1, 2)
    started = self._start()
    gate = self._gate(1)
    self._remove(2)
    self._wait_for_states(started, {2: "AVAILABLE", 1: "LOADING"})
    self.assertEqual(self._answers(started), 2)
    gate.set()
    self._wait_for_states(started, {2: "END", 1: "AVAILABLE"})
    self._add(2)
    self._wait_for_states(started, {2: "AVAILABLE", 1: "END"})

  def test_removing_all_unloads(self):
    self._add(1)
    started = self._start()
    self._remove(1)
    self._wait_for_states(started, {1: "END"})
    self._refuses(started, grpc.StatusCode.NOT_FOUND, r"Latest\(demo\)$")

  def test_a_missing_folder_unloads_nothing(self):
    self._add(1)
    started = self._start()
    os.rename(os.path.join(self.folder, "demo"), os.path.join(self.folder, "x"))
    for _ in range(5):
      started.wait_until_settled(0.02)
      self.assertEqual(self._answers(started), 1)

  def test_a_broken_version_blocks_nobody(self):
    self._add(1)
    self._add(1, name="other")
    started = self._start(
      self._config(names=("demo", "other")), retry_interval=0.01
    )
    self._add(2, broken=True)
    self._wait_for(lambda: self.loads.count(("demo", 2)) == 6)
    self._wait_for_states(started, {2: "END", 1: "AVAILABLE"})
    error = started.states(_spec())[2].error
    self.assertEqual(error.code, grpc.StatusCode.DATA_LOSS)
    self.assertEqual(error.text, "It is broken.")
    self.assertEqual(self._answers(started), 1)
    self._add(3)
    self._add(2, name="other")
    self._wait_for_states(started, {3: "AVAILABLE", 2: "END", 1: "END"})
    self._wait_for_states(started, {2: "AVAILABLE", 1: "END"}, "other")

  def test_at_the_start_the_newest_that_loads_is_served(self):
    self._add(1)
    self._add(2, 3, broken=True)
    started = self._start()
    self._wait_for_states(started, {3: "END", 2: "END", 1: "AVAILABLE"})

  def test_a_version_that_is_mended_is_served(self):
    self._add(1)
    self._add(2, broken=True)
    started = self._start(max_retries=0, retry_interval=3600.0)
    self._wait_for_states(started, {2: "END", 1: "AVAILABLE"})
    self._add(2)  # As by a copy that goes on.
    self._wait_for_states(started, {2: "AVAILABLE", 1: "END"})
    self.assertIsNone(started.states(_spec())[2].error)

  def test_retries_end(self):
    self._add(1, broken=True)
    started = self._start(max_retries=2, retry_interval=0.0)
    self._wait_for(lambda: len(self.loads) == 3)
    started.wait_until_settled(0.1)
    self._wait_for_states(started, {1: "END"})
    self.assertLen(self.loads, 3)

  def test_an_unexpected_error_is_one_of_the_version(self):
    self._add(1)
    self._load = lambda *_: 1 / 0
    started = self._start(max_retries=0)
    self._wait_for_states(started, {1: "END"})
    self.assertIn("ZeroDivision", started.states(_spec())[1].error.text)

  def test_says_that_it_is_still_loading(self):
    self._add(1)
    gate = self._gate(1)
    started = self._start(wait=False)
    self._wait_for_states(started, {1: "LOADING"})
    self.assertFalse(started.ready())
    for name in ("demo", "other"):
      self._refuses(
        started, grpc.StatusCode.UNAVAILABLE, "still being loaded", name=name
      )
    gate.set()
    self._wait_for(started.ready)
    self.assertEqual(self._answers(started), 1)
    self.assertTrue(started.wait_until_settled(running_server.PATIENCE))
    self._refuses(
      started, grpc.StatusCode.NOT_FOUND, r"Latest\(other\)", name="other"
    )

  def test_without_versions_it_waits_for_some(self):
    started = self._start()
    self.assertEqual(self._states(started), {})
    self.assertFalse(started.ready())
    self._refuses(started, grpc.StatusCode.NOT_FOUND, r"Latest\(demo\)")
    self._add(7)
    self._wait_for_states(started, {7: "AVAILABLE"})

  def test_looks_once(self):
    self._add(1)
    started = self._start(poll_wait=0)
    self._add(2)
    started.reload(self._config())
    self._wait_for_states(started, {2: "AVAILABLE", 1: "END"})

  def test_labels(self):
    self._add(1, 2)
    text = (
      'model_config_list { config { name: "demo" base_path: "PATH/demo" '
      'model_platform: "tensorflow" model_version_policy { all {} } LABELS } }'
    )

    def config(**labels):
      entries = [
        f'version_labels {{ key: "{key}" value: {value} }}'
        for key, value in labels.items()
      ]
      return self._config(text.replace("LABELS", " ".join(entries)))

    with self.assertRaisesRegex(
      errors.ServingError,
      "^Request to assign label to version 1 of model demo, which is not "
      "currently available for inference$",
    ) as caught:
      self._start(config(stable=1))
    self.assertEqual(caught.exception.code, grpc.StatusCode.FAILED_PRECONDITION)
    started = self._start(config())
    self._wait_for_states(started, {2: "AVAILABLE", 1: "AVAILABLE"})
    started.reload(config(stable=1, canary=2))
    self.assertEqual(self._answers(started, label="stable"), 1)
    self.assertEqual(self._answers(started, label="canary"), 2)
    with self.assertRaisesRegex(errors.ServingError, "version 3 of model demo"):
      started.reload(config(stable=3))
    self.assertEqual(self._answers(started, label="stable"), 1)
    started.reload(config(stable=2))
    self.assertEqual(self._answers(started, label="stable"), 2)
    self._refuses(
      started,
      grpc.StatusCode.INVALID_ARGUMENT,
      "^Unrecognized servable version label: canary$",
      label="canary",
    )

    allowing = self._start(config(stable=1), allow_unavailable_labels=True)
    self.assertEqual(self._answers(allowing, label="stable"), 1)
    allowing.reload(config(stable=1, next=3))
    self._refuses(
      allowing,
      grpc.StatusCode.NOT_FOUND,
      r"Specific\(demo, 3\)",
      label="next",
    )
    with self.assertRaisesRegex(errors.ServingError, "version 4 of model demo"):
      allowing.reload(config(stable=4))

  def test_reload_adds_and_removes(self):
    self._add(1)
    self._add(1, name="other")
    started = self._start()
    started.reload(self._config(names=("other",)))
    self.assertEqual(self._answers(started, name="other"), 1)
    self._wait_for_states(started, {1: "END"})
    self._refuses(started, grpc.StatusCode.NOT_FOUND, r"Latest\(demo\)")
    self.assertEqual(started.available(), {"other": [1]})
    started.reload(self._config())
    self.assertEqual(self._answers(started), 1)

  def test_reload_says_what_could_not_be_loaded(self):
    self._add(1)
    self._add(1, name="other", broken=True)
    started = self._start()
    with self.assertRaisesRegex(
      errors.ServingError, "2 model.s. did not become available: .*other.*It is"
    ) as caught:
      started.reload(self._config(names=("demo", "other", "third")))
    self.assertEqual(caught.exception.code, grpc.StatusCode.UNKNOWN)
    self.assertIn("No versions found under", caught.exception.text)
    self.assertEqual(self._answers(started), 1)

  def test_reload_can_be_interrupted(self):
    self._add(1)
    self._add(1, name="other")
    gate = self._gate(1, "other")
    started = self._start()
    interrupt = interrupts.Interrupt()
    caught = []

    def reload():
      try:
        started.reload(self._config(names=("demo", "other")), interrupt)
      except errors.ServingError as error:
        caught.append(error.code)

    thread = threading.Thread(target=reload)
    thread.start()
    self._wait_for_states(started, {1: "LOADING"}, "other")
    interrupt.set()
    thread.join(running_server.PATIENCE)
    self.assertEqual(caught, [grpc.StatusCode.CANCELLED])
    gate.set()
    self._wait_for_states(started, {1: "AVAILABLE"}, "other")

  def test_a_model_that_is_removed_while_it_loads(self):
    self._add(1)
    self._add(1, name="other")
    gate = self._gate(1, "other")
    started = self._start(self._config(names=("demo", "other")), wait=False)
    self._wait_for_states(started, {1: "LOADING"}, "other")
    started.reload(self._config())
    gate.set()
    self._wait_for_states(started, {1: "END"}, "other")

  def test_closing_unloads(self):
    self._add(1)
    started = self._start()
    with started.use(_spec()) as servable:
      pass
    started.close()
    self.assertTrue(servable.closed)


if __name__ == "__main__":
  absltest.main()
