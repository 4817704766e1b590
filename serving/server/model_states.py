"""How far a server has got with a model, and what should happen next.

Only decisions: `manager` has the threads that carry them out.
"""

import dataclasses
import time
import types
from collections.abc import Iterator, Mapping

from tensorflow_serving.apis import get_model_status_pb2

from serving.server import errors
from serving.server import model_configs
from serving.server import servables
from serving.server import versions as versions_lib

State = get_model_status_pb2.ModelVersionStatus.State
# The first pause after a failure, in seconds; every further one is twice that.
_FIRST_PAUSE = 1.0
# How many versions that are gone a model remembers, for who asks for states.
_MOST_ENDED = 50


@dataclasses.dataclass
class Version:
  """One version of a model.

  Attributes:
    path: Its folder.
    state: One of `State`.
    error: Why it could not be loaded, the last time.
    servable: What answers, if it is loaded.
    wanted: Whether it should be served.
    users: Calls that it is answering.
    attempts: How often it could not be loaded.
    next_attempt: When it may be tried again, in monotonic seconds.
    files: What lay in its folder when it was tried.
  """

  path: str
  state: int = State.START
  error: errors.ServingError | None = None
  servable: servables.Servable | None = None
  wanted: bool = True
  users: int = 0
  attempts: int = 0
  next_attempt: float = 0.0
  files: Mapping | None = None

  @property
  def failed(self) -> bool:
    """Whether it could not be loaded, the last time."""
    return self.state == State.END and self.error is not None

  def fail(self, error: errors.ServingError, longest_pause: float) -> None:
    """Notes that it could not be loaded.

    Args:
      error: Why.
      longest_pause: Seconds after which it may be tried again, at most.
    """
    self.state, self.error = State.END, error
    self.attempts += 1
    pause = min(longest_pause, _FIRST_PAUSE * 2.0 ** (self.attempts - 1))
    self.next_attempt = time.monotonic() + pause

  def succeed(self, servable: servables.Servable) -> None:
    """Notes that it can be asked."""
    self.state, self.error, self.servable = State.AVAILABLE, None, servable


@dataclasses.dataclass
class Model:
  """A model that is to be served, or was.

  Attributes:
    config: What is to be served; None if nothing any more.
    versions: By number, all that it has had.
    looked: Whether its folder was looked at since it is to be served.
    settled: Whether it is known what has become of its first load.
  """

  config: model_configs.ModelConfig | None = None
  versions: dict[int, Version] = dataclasses.field(default_factory=dict)
  looked: bool = False
  settled: bool = False

  def available(self) -> dict[int, Version]:
    """Returns the versions that can be asked."""
    return {
      number: version
      for number, version in self.versions.items()
      if version.state == State.AVAILABLE
    }

  def failed(self) -> dict[int, Version]:
    """Returns the versions that could not be loaded, the last time."""
    return {
      n: version for n, version in self.versions.items() if version.failed
    }

  def aspire(
    self,
    found: Mapping[int, str],
    files: Mapping[int, Mapping] = types.MappingProxyType({}),
  ) -> None:
    """Takes note of which versions there are.

    Args:
      found: The folder of each.
      files: What lies now in the folders of those that failed.
    """
    failed = self.failed()
    wanted = set()
    if self.config is not None:
      policy = self.config.model_version_policy
      wanted = versions_lib.aspired(policy, found, failed)
    for number, version in self.versions.items():
      version.wanted = number in wanted
    for number in wanted:
      version = self.versions.get(number)
      if version is None or (version.state == State.END and not version.failed):
        self.versions[number] = Version(found[number])
      elif (
        version.state == State.UNLOADING
        and version.servable is not None
        and version.path == found[number]
      ):
        # It has calls to answer yet: it need not be loaded again.
        version.state = State.AVAILABLE
      elif version.failed:
        version.path = found[number]
        if files.get(number, version.files) != version.files:
          version.attempts, version.next_attempt = 0, 0.0
    ended = sorted(
      number
      for number, version in self.versions.items()
      if version.state == State.END and not version.wanted
    )
    for number in ended[:-_MOST_ENDED]:
      del self.versions[number]

  def to_load(self, retries: int) -> Iterator[tuple[int, Version]]:
    """Yields the versions that should be loaded now.

    Args:
      retries: How often one that fails is tried again.
    """
    now = time.monotonic()
    for number, version in self.versions.items():
      if not version.wanted:
        continue
      if version.state == State.START or (
        version.failed
        and version.attempts <= retries
        and version.next_attempt <= now
      ):
        yield number, version

  def to_unload(self) -> Iterator[tuple[int, Version]]:
    """Yields the versions that nobody needs any more.

    Of those that are not wanted, one stays until one that is wanted is there.
    """
    available = self.available()
    wanted = [v for v in self.versions.values() if v.wanted]
    if wanted and not any(v.wanted for v in available.values()):
      return
    for number, version in available.items():
      if not version.wanted:
        yield number, version

  def next_attempt(self, retries: int) -> float:
    """Returns when one should be tried again, in monotonic seconds."""
    return min(
      (
        version.next_attempt
        for version in self.versions.values()
        if version.wanted and version.failed and version.attempts <= retries
      ),
      default=float("inf"),
    )

  def settle(self) -> None:
    """Notes whether the first load is over."""
    if self.config is not None and not self.looked:
      return
    # What is wanted and still unloads will be loaded, too.
    self.settled = (
      self.settled
      or bool(self.available())
      or not any(
        version.wanted and not version.failed
        for version in self.versions.values()
      )
    )

  def why(self) -> str:
    """Returns why it cannot be asked, as a part of a sentence."""
    for number, version in sorted(self.versions.items(), reverse=True):
      if version.failed:
        return f" version: {number} due to error: {version.error.text}"
    path = self.config.base_path if self.config else ""
    return f" due to error: No versions found under {path}"
