"""A manager of models that only pretend to be some, for tests without any."""

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
from serving.server import loading
from serving.server import manager
from serving.server import model_configs
from serving.server import servables
from serving.server import versions
from tests import running_server

_State = running_server.State


class PretendedServable:
  """What a test's loader returns."""

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
  """With a folder of models that only pretend to be some."""

  def setUp(self):
    super().setUp()
    self.folder = self.create_tempdir().full_path
    self.loads = []
    self.gates = {}

  def add(self, *versions, name="demo", broken=False):
    """Puts versions there, or mends those that are there and broken."""
    base_path = os.path.join(self.folder, name)
    for version in map(str, versions):
      folder = os.path.join(base_path, version)
      if os.path.exists(folder):
        os.remove(os.path.join(folder, "broken"))
        continue
      # At once: a manager that looks meanwhile would find one that is whole.
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
      raise servables.LoadError("It is broken.", grpc.StatusCode.DATA_LOSS)
    return PretendedServable(name, version, path)

  def gate(self, version, name="demo"):
    """Makes a version load no sooner than it is told to."""
    gate = self.gates[name, version] = threading.Event()
    self.addCleanup(gate.set)
    return gate

  def keep_closing(self, started):
    """Makes what is loaded close no sooner than it is told to."""
    gate = threading.Event()
    self.addCleanup(gate.set)
    with started.use(spec()) as servable:
      servable.close = lambda: gate.wait(running_server.PATIENCE)
    return gate

  @contextlib.contextmanager
  def looking(self):
    """Has the manager look at folders, until it is told to see something."""
    looking, gate = threading.Event(), threading.Event()
    find = versions.find

    def wait(base_path):
      looking.set()
      gate.wait(running_server.PATIENCE)
      return find(base_path)

    with mock.patch.object(versions, "find", wait):
      try:
        yield looking, gate
      finally:
        gate.set()

  @contextlib.contextmanager
  def reloading(self, started, config):
    """Reloads meanwhile; yields a list to which it adds how that failed."""
    failures = []

    def reload():
      try:
        started.reload(config)
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
    settings = {"poll_wait": 0.01, "retry_interval": 0.01} | settings
    started = manager.Manager(
      config or self.config(), self.load, loading.Settings(**settings)
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
