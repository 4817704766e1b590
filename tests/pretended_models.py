"""A manager of fake models, for tests without TensorFlow."""

import contextlib
import os
import shutil
import threading
from unittest import mock

import grpc
from absl.testing import parameterized
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2

from serving.server import errors
from serving.server import manager
from serving.server import model_configs
from serving.server import options
from serving.server import versions
from tests import running_server

_State = running_server.State


class PretendedServable:
  """A fake of a loaded version."""

  def __init__(self, name, version, path):
    self.name, self.version, self.path = name, version, path
    self.closed = False

  def close(self):
    self.closed = True


def spec(name="demo", version=None, label=None):
  spec = model_pb2.ModelSpec(name=name)
  if version is not None:
    spec.version.value = version
  if label is not None:
    spec.version_label = label
  return spec


class TestCase(parameterized.TestCase):
  """A test case with a folder of fake models."""

  def setUp(self):
    super().setUp()
    self.folder = self.create_tempdir().full_path
    self.loads = []
    self.gates = {}

  def add(self, *versions, name="demo", broken=False):
    """Publishes versions, or repairs those that are broken."""
    base_path = os.path.join(self.folder, name)
    for version in map(str, versions):
      folder = os.path.join(base_path, version)
      if os.path.exists(folder):
        os.remove(os.path.join(folder, "broken"))
        continue
      # By a rename: a manager that scans meanwhile must find it broken.
      aside = os.path.join(base_path, f".tmp-{version}")
      os.makedirs(aside)
      if broken:
        with open(os.path.join(aside, "broken"), "w") as file:
          file.write("It is.")
      os.rename(aside, folder)

  def remove(self, version, name="demo"):
    shutil.rmtree(os.path.join(self.folder, name, str(version)))

  def load(self, name, version, path):
    self.loads.append((name, version))
    if (name, version) in self.gates:
      self.gates[name, version].wait(running_server.PATIENCE)
    if os.path.exists(os.path.join(path, "broken")):
      raise errors.LoadError("It is broken.", grpc.StatusCode.DATA_LOSS)
    return PretendedServable(name, version, path)

  def gate(self, version, name="demo"):
    """Makes a version wait for a gate before it loads."""
    gate = self.gates[name, version] = threading.Event()
    self.addCleanup(gate.set)
    return gate

  def keep_closing(self, started):
    """Makes the loaded version wait for a gate before it closes."""
    gate = threading.Event()
    self.addCleanup(gate.set)
    with started.use(spec()) as servable:
      servable.close = lambda: gate.wait(running_server.PATIENCE)
    return gate

  def wait_for_scans(self, number):
    """Waits until the manager has scanned folders that often."""
    find = versions.find_versions
    with mock.patch.object(versions, "find_versions", wraps=find) as scans:
      self.wait_for(lambda: scans.call_count >= number)

  @contextlib.contextmanager
  def scanning(self):
    """Blocks the manager's scans of folders until the gate is set."""
    scanning, gate = threading.Event(), threading.Event()
    find = versions.find_versions

    def wait(base_path):
      scanning.set()
      gate.wait(running_server.PATIENCE)
      return find(base_path)

    with mock.patch.object(versions, "find_versions", wait):
      try:
        yield scanning, gate
      finally:
        gate.set()

  @contextlib.contextmanager
  def reloading(self, started, config, interrupt=None):
    """Reloads in a thread; yields a list of its failures."""
    failures = []

    def reload():
      try:
        started.reload(config, interrupt)
      except errors.ServingError as error:
        failures.append(error.text)

    thread = threading.Thread(target=reload)
    thread.start()
    yield failures
    thread.join(running_server.PATIENCE)

  def config(self, text=None, names=("demo",)):
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

  def start(self, config=None, wait=True, **settings):
    """Starts a manager; intervals are in seconds."""
    given = {"poll_wait": 0.01, "retry_interval": 0.01} | settings
    started = manager.Manager(
      config or self.config(),
      self.load,
      options.Options(
        model_base_path=self.folder,
        file_system_poll_wait_seconds=given["poll_wait"],
        load_retry_interval_micros=1e6 * given["retry_interval"],
        max_num_load_retries=given.get("max_retries", 5),
        allow_version_labels_for_unavailable_models=given.get(
          "allow_unavailable_labels", False
        ),
      ),
    )
    self.addCleanup(started.close)
    if wait:
      self.assertTrue(started.wait_until_settled(running_server.PATIENCE))
    return started

  def states(self, started, name="demo"):
    try:
      states = started.states(spec(name))
    except errors.ServingError:
      return {}
    return {
      number: _State.Name(version.state) for number, version in states.items()
    }

  def wait_for(self, condition):
    for _ in running_server.attempts():
      if condition():
        return

  def wait_for_states(self, started, states, name="demo"):
    self.wait_for(lambda: self.states(started, name) == states)

  def answers(self, started, **asked):
    with started.use(spec(**asked)) as servable:
      return servable.version

  def refuses(self, started, code, text, **asked):
    with self.assertRaisesRegex(errors.ServingError, text) as caught:
      self.answers(started, **asked)
    self.assertEqual(caught.exception.code, code)
