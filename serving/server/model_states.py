"""The states of models and versions, and decisions by them.

Has no threads and reads no files: `loading` carries out the decisions.
"""

import dataclasses
import time
import types
from collections.abc import Iterator, Mapping

from tensorflow_serving.apis import get_model_status_pb2

from serving.server import errors
from serving.server import model_configs
from serving.server import servables
from serving.server import versions

State = get_model_status_pb2.ModelVersionStatus.State
# Seconds of the first pause after a failure; each further pause is doubled.
_FIRST_PAUSE = 1.0
# Most unloaded versions of a model that GetModelStatus lists.
_MOST_ENDED = 50


@dataclasses.dataclass
class Version:
  """One version of a model.

  Attributes:
    path: Its folder.
    state: One of `State`.
    error: Error of the last attempt to load it; None if it did not fail.
    servable: The SavedModel, if it is loaded.
    wanted: Whether it should be served.
    users: Number of calls that use it.
    attempts: Number of failed attempts to load it.
    next_attempt: Time of the next attempt, by `time.monotonic`.
    files: The fingerprint of its folder at the last attempt.
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
    """Whether the last attempt to load it failed."""
    return self.state == State.END and self.error is not None

  def may_retry(self, retries: int) -> bool:
    """Returns whether loading should be retried, now or later."""
    return self.wanted and self.failed and self.attempts <= retries

  def fail(self, error: errors.ServingError, longest_pause: float) -> None:
    """Records that loading has failed; `longest_pause` is in seconds."""
    self.state, self.error = State.END, error
    self.attempts += 1
    pause = min(longest_pause, _FIRST_PAUSE * 2.0 ** (self.attempts - 1))
    self.next_attempt = time.monotonic() + pause

  def succeed(self, servable: servables.Servable) -> None:
    """Records that the version is available."""
    self.state, self.error, self.servable = State.AVAILABLE, None, servable


@dataclasses.dataclass
class Model:
  """A model that is or was served.

  Attributes:
    config: Its configuration; None if it is no longer served.
    versions: All its versions so far, by number.
    problem: The reason why its folder has no versions; empty if it has some.
    scanned: Whether its folder has been read since it was added.
    settled: Whether its first load has ended, successfully or not.
  """

  config: model_configs.ModelConfig | None = None
  versions: dict[int, Version] = dataclasses.field(default_factory=dict)
  problem: str = ""
  scanned: bool = False
  settled: bool = False

  def available(self) -> dict[int, Version]:
    """Returns the versions that can answer."""
    return {
      number: version
      for number, version in self.versions.items()
      if version.state == State.AVAILABLE
    }

  def failed(self) -> dict[int, Version]:
    """Returns the versions whose last attempt to load failed."""
    return {
      n: version for n, version in self.versions.items() if version.failed
    }

  def aspire(
    self,
    found: Mapping[int, str],
    files: Mapping[int, Mapping] = types.MappingProxyType({}),
  ) -> None:
    """Decides which versions should be served.

    Args:
      found: The folder of each existing version.
      files: By failed version, the current fingerprint of its folder.
    """
    wanted = set()
    if self.config is not None:
      policy = self.config.model_version_policy
      wanted = versions.aspired(policy, found, self.failed())
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
        # It still answers calls: no need to load it again.
        version.state = State.AVAILABLE
      elif version.failed:
        version.path = found[number]
        if files.get(number, version.files) != version.files:
          # Changed files may be complete now: treated as a new version.
          self.versions[number] = Version(found[number])
    ended = sorted(
      number
      for number, version in self.versions.items()
      if version.state == State.END and not version.wanted
    )
    for number in ended[:-_MOST_ENDED]:
      del self.versions[number]

  def to_load(self, retries: int) -> Iterator[tuple[int, Version]]:
    """Yields the versions that should be loaded now."""
    now = time.monotonic()
    for number, version in self.versions.items():
      due = version.may_retry(retries) and version.next_attempt <= now
      if due or (version.wanted and version.state == State.START):
        yield number, version

  def to_unload(self) -> Iterator[Version]:
    """Yields the versions that should be unloaded now.

    A version that is no longer wanted stays until a wanted one is available.
    """
    available = self.available()
    if any(version.wanted for version in self.versions.values()) and not any(
      version.wanted for version in available.values()
    ):
      return
    for version in available.values():
      if not version.wanted:
        yield version

  def next_attempt(self, retries: int) -> float:
    """Returns the time of the next attempt, by `time.monotonic`."""
    return min(
      (
        version.next_attempt
        for version in self.versions.values()
        if version.may_retry(retries)
      ),
      default=float("inf"),
    )

  def settle(self) -> None:
    """Records whether the first load has ended."""
    if self.config is not None and not self.scanned:
      return
    # A wanted version that still unloads will be loaded again.
    self.settled = (
      self.settled
      or bool(self.available())
      or not any(
        version.wanted and not version.failed
        for version in self.versions.values()
      )
    )

  def why(self) -> str:
    """Returns the reason why no version is available, as part of a sentence."""
    for number, version in sorted(self.versions.items(), reverse=True):
      if version.failed:
        return f" version: {number} due to error: {version.error.text}"
    path = self.config.base_path if self.config else ""
    return f" due to error: No versions found under {path}"
