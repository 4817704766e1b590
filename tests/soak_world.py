"""What the parts of a soak test share: models, the server, what is counted."""

import abc
import contextlib
import dataclasses
import os
import random
import threading
import traceback

import grpc

from tests import running_server
from tests import server_process
from tests import soak_counts
from tests import soak_models

# Names of models, and what each multiplies by.
_FACTORS = {"steady": 2.0, "slow": 3.0, "mended": 5.0, "labelled": 7.0}
_FACTORS |= {"guest": 11.0}


@dataclasses.dataclass
class Model:
  """A model, and what a call of its newest version may be answered with."""

  name: str
  base_path: str
  template: soak_models.Template
  factor: float
  truth: soak_counts.Truth

  def files(self, version: int) -> dict[str, bytes]:
    """Returns what a version's folder holds."""
    return self.template.files(self.factor, version)

  def publish(self, version: int) -> None:
    """Puts a version there."""
    soak_models.publish(self.files(version), self.base_path, version)

  def remove(self, version: int) -> None:
    """Takes a version away."""
    soak_models.remove(self.base_path, version)


class World:
  """All that the parts share.

  Attributes:
    folder: For everything.
    models: By name.
    labels: By label of the model `labelled`, what it may answer.
    outage: Whether the server may be DOWN; else it has no versions.
    counts: Of calls.
    process: The server, once it has started.
    stopping: Set when the parts should end.
  """

  def __init__(self, folder: str, seed: str):
    """Writes the models, version 1 of each and version 2 of `labelled`."""
    self.folder = folder
    self.models = {}
    template = soak_models.Template(os.path.join(folder, "template"))
    for name, factor in _FACTORS.items():
      base_path = os.path.join(folder, name)
      os.makedirs(base_path)
      truth = soak_counts.Truth(1)
      self.models[name] = Model(name, base_path, template, factor, truth)
      self.models[name].publish(1)
    self.models["labelled"].publish(2)
    self.labels = {
      "stable": soak_counts.Truth(1),
      "canary": soak_counts.Truth(2),
    }
    self.outage = soak_counts.Truth()
    self.counts = soak_counts.Counts()
    self.process: server_process.ServerProcess | None = None
    self.stopping = threading.Event()
    self._seed = seed

  def random(self, name: str) -> random.Random:
    """Returns the dice of a part."""
    return random.Random(f"{self._seed}/{name}")

  def wait_for(self, channel: grpc.Channel, model: str, condition) -> None:
    """Waits until the states of a model's versions are as they should be."""
    for _ in running_server.attempts():
      if condition(self.process.states(channel, model)):
        return

  def wait_until_available(self, channel, model: str, version: int) -> None:
    """Waits until a version can be asked."""
    self.wait_for(
      channel, model, lambda states: states.get(version) == "AVAILABLE"
    )

  def wait_until_gone(self, channel, model: str, version: int) -> None:
    """Waits until a version cannot be asked any more."""
    self.wait_for(
      channel, model, lambda states: states.get(version) != "AVAILABLE"
    )


class Part(threading.Thread, abc.ABC):
  """Does something again and again, until the world stops.

  Attributes:
    closing: What is closed then.
  """

  def __init__(self, world: World, name: str):
    super().__init__(name=name, daemon=True)
    self.closing = contextlib.ExitStack()
    self.world = world
    self.random = world.random(name)

  @abc.abstractmethod
  def step(self) -> None:
    """Does it once."""

  def run(self) -> None:
    """See base class."""
    try:
      while not self.world.stopping.is_set():
        self.step()
    # It is the server that has not come to what was waited for, or a mistake
    # of the test's: neither may pass for a quiet run.
    except Exception:
      self.world.counts.failed(self.name, traceback.format_exc())
    finally:
      self.closing.close()

  def pause(self, longest: float) -> None:
    """Waits for a while of any length, or until the world stops."""
    self.world.stopping.wait(self.random.uniform(0.0, longest))
