"""What happens to the models while they are asked."""

import contextlib
import os

import grpc
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import model_service_pb2_grpc

from serving.server import model_configs
from tests import running_server
from tests import soak_clients
from tests import soak_counts
from tests import soak_models
from tests import soak_world

ABSENT = soak_counts.ABSENT
_DATA = "variables/variables.data-00000-of-00001"


class Swapper(soak_world.Part):
  """Puts new versions there, and takes the newest or older ones away."""

  def __init__(self, world, model, longest_pause):
    super().__init__(world, f"swaps of {model}")
    self._model = world.models[model]
    self._channel = self.closing.enter_context(world.process.channel())
    self._there = [1]
    self._newest = 1
    self._longest_pause = longest_pause

  def step(self):
    steps = [self._swap] * 4 + [self._swap_in_a_row, self._publish_and_regret]
    if len(self._there) > 1:
      steps.append(self._roll_back)
    self.random.choice(steps)()
    # Now and then everything goes, the version in service excepted.
    while len(self._there) > self.random.randint(1, 3):
      self._model.remove(self._there.pop(0))
    self.pause(self._longest_pause)

  def _swap(self, number=1):
    old, new = (
      self._there[-1],
      range(self._newest + 1, self._newest + number + 1),
    )
    self._model.truth.may_be(old, *new)
    for version in new:
      self._model.publish(version)
    self._settle(new[-1])
    self._there += new

  def _swap_in_a_row(self):
    self._swap(3)

  def _publish_and_regret(self):
    old, regretted, new = self._there[-1], self._newest + 1, self._newest + 2
    self._model.truth.may_be(old, regretted, new)
    self._model.publish(regretted)
    self.pause(1.5)
    self._model.remove(regretted)
    # Perhaps nobody has seen it: only the next one says that all is over.
    self._model.publish(new)
    self._settle(new)
    self._there.append(new)

  def _roll_back(self):
    withdrawn = self._there.pop()
    old = self._there[-1]
    self._model.truth.may_be(withdrawn, old)
    self._model.remove(withdrawn)
    self.world.wait_until_gone(self._channel, self._model.name, withdrawn)
    self._model.truth.may_be(old)

  def _settle(self, version):
    self.world.wait_until_available(self._channel, self._model.name, version)
    self._model.truth.may_be(version)
    self._newest = version


class Mender(soak_world.Part):
  """Copies versions in place, slowly or wrongly, and puts them right."""

  def __init__(self, world):
    super().__init__(world, "broken versions")
    self._model = world.models["mended"]
    self._channel = self.closing.enter_context(world.process.channel())
    self._good = 1
    self._newest = 1

  def step(self):
    self._newest += 1
    folder = os.path.join(self._model.base_path, str(self._newest))
    files = self._model.files(self._newest)
    if self.random.random() < 0.4:
      self._copy_slowly(folder, files)
    elif not self._break(folder, files):
      return
    self.world.wait_until_available(
      self._channel, self._model.name, self._newest
    )
    self._model.truth.may_be(self._newest)
    self._model.remove(self._good)
    self._good = self._newest
    self.pause(1.0)

  def _copy_slowly(self, folder, files):
    self._model.truth.may_be(self._good, self._newest)
    for name, content in files.items():
      half = len(content) // 2
      soak_models.write(folder, name, content[:half])
      self.pause(1.0)
      with open(os.path.join(folder, name), "ab") as file:
        file.write(content[half:])
      self.pause(1.0)

  def _break(self, folder, files):
    """Returns whether it was put right, or else taken away."""
    name, content = self.random.choice(
      [
        ("saved_model.pb", b"no SavedModel"),
        ("saved_model.pb", files["saved_model.pb"][:-1000]),
        (_DATA, files[_DATA][:1000]),
        (_DATA, b"\x55" + files[_DATA][1:]),
        ("variables/variables.index", b""),
      ]
    )
    for other, whole in files.items():
      if other != name:
        soak_models.write(folder, other, whole)
    soak_models.write(folder, name, content)
    self.world.counts.expected(self.name, name)
    self.world.wait_for(
      self._channel,
      self._model.name,
      lambda states: states.get(self._newest) == "END",
    )
    self.pause(1.0)
    if self.random.random() < 0.5:
      self._model.remove(self._newest)
      return False
    self._model.truth.may_be(self._good, self._newest)
    soak_models.write(folder, name, files[name])
    return True


class Configurer(soak_world.Part):
  """Changes what is served: by the file, and by calls.

  Attributes:
    path: The file of models.
  """

  def __init__(self, world):
    super().__init__(world, "configurations")
    self.path = os.path.join(world.folder, "models.config")
    self._versions, self._labels = [1, 2], {"stable": 1, "canary": 2}
    self._has_guest = True
    self._in_file = None
    self.write()

  def connect(self):
    """Takes a connection, once there is a server."""
    self._client = self.closing.enter_context(
      contextlib.closing(soak_clients.Grpc(self.world.process))
    )
    self._stub = model_service_pb2_grpc.ModelServiceStub(self._client.channel)

  def step(self):
    steps = [self._move_labels, self._refused, self._damage, self._nowhere]
    if self._has_guest:
      steps += [self._remove_guest, self._come_again]
    else:
      steps += [self._add_guest]
    self.random.choice(steps)()
    self.pause(1.0)

  def _config(self, names=(), labels=None):
    config = model_configs.ModelServerConfig()
    if self._has_guest:
      names = ("guest", *names)
    for name in ("steady", "slow", "mended", "labelled", *names):
      config.model_config_list.config.add(
        name=name,
        base_path=os.path.join(self.world.folder, name),
        model_platform="tensorflow",
      )
    labelled = config.model_config_list.config[3]
    labelled.model_version_policy.specific.versions.extend(self._versions)
    for label, version in (labels or self._labels).items():
      labelled.version_labels[label] = version
    return config

  def _apply(self):
    """Has the server hear of it; returns whether it has done so by now."""
    if self.random.random() < 0.5 and self._config() != self._in_file:
      self.write()
      self.world.counts.expected(self.name, "by the file")
      return False
    self._call(self._config())
    self.world.counts.expected(self.name, "by a call")
    return True

  def write(self):
    """Writes what is to be served now."""
    self._in_file = self._config()
    self._replace(text_format.MessageToString(self._in_file))

  def _replace(self, text):
    with open(self.path + "~", "w") as file:
      file.write(text)
    os.replace(self.path + "~", self.path)

  def _call(self, config):
    request = model_management_pb2.ReloadConfigRequest(config=config)
    self._stub.HandleReloadConfigRequest(
      request, timeout=running_server.PATIENCE
    )

  def _move_labels(self):
    """Canary becomes stable, and a new version the canary."""
    old, stable = self._versions
    new = stable + 1
    labelled = self.world.models["labelled"]
    labelled.publish(new)
    self._versions = [old, stable, new]
    self._apply()
    self.world.wait_until_available(self._client.channel, "labelled", new)
    self._labels = {"stable": stable, "canary": new}
    for label, version in self._labels.items():
      self.world.labels[label].may_be(version - 1, version)
    if not self._apply():
      self._until_moved()
    for label, version in self._labels.items():
      self.world.labels[label].may_be(version)
    self._versions = [stable, new]
    self._apply()
    self.world.wait_until_gone(self._client.channel, "labelled", old)
    labelled.remove(old)

  def _until_moved(self):
    x = soak_clients.rows(self.random)
    for label, version in self._labels.items():
      for _ in running_server.attempts():
        if (
          self._client.ask("labelled", x, where={"label": label})[0] == version
        ):
          break

  def _add_guest(self):
    guest = self.world.models["guest"]
    guest.truth.may_be(1, ABSENT)
    self._has_guest = True
    if not self._apply():
      self.world.wait_until_available(self._client.channel, "guest", 1)
    guest.truth.may_be(1)

  def _remove_guest(self):
    guest = self.world.models["guest"]
    guest.truth.may_be(1, ABSENT)
    self._has_guest = False
    self._apply()
    self.world.wait_until_gone(self._client.channel, "guest", 1)
    guest.truth.may_be(ABSENT)

  def _come_again(self):
    """Takes it away, and wants it back before it can be gone."""
    guest = self.world.models["guest"]
    guest.truth.may_be(1, ABSENT)
    self._has_guest = False
    self._call(self._config())
    self.pause(self.random.choice([0.0, 0.1]))
    self._has_guest = True
    self._call(self._config())
    guest.truth.may_be(1)
    self.world.counts.expected(self.name, "gone and back")

  def _refused(self):
    self._assert_refused(
      self._config(labels=self._labels | {"stable": 999}),
      grpc.StatusCode.FAILED_PRECONDITION,
    )
    self._assert_refused(
      self._config(["steady"]), grpc.StatusCode.INVALID_ARGUMENT
    )

  def _nowhere(self):
    """Adds a model that has no versions, and takes it away again."""
    self._assert_refused(self._config(["nowhere"]), grpc.StatusCode.UNKNOWN)
    self._call(self._config())

  def _damage(self):
    """The file cannot be read for a while, and nothing may change."""
    self._replace("model_config_list { config {")
    self.pause(2.5)
    self._replace(text_format.MessageToString(self._in_file))
    self.world.counts.expected(self.name, "file damaged")

  def _assert_refused(self, config, code):
    try:
      self._call(config)
    except grpc.RpcError as error:
      if error.code() == code:
        self.world.counts.expected(self.name, code.name)
        return
      raise
    self.world.counts.wrong(self.name, f"A configuration is not {code.name}.")
