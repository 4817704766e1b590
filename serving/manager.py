"""Keeps the versions loaded that should be, and hands them to calls.

One thread looks at the folders and decides; a few others load. No version waits
for another: one that cannot be loaded is tried again after ever longer pauses,
and at once when its files change, while everything else goes on. A version is
unloaded when another one that should be served is there, and the calls that it
has are answered.
"""

import contextlib
import dataclasses
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
from tensorflow_serving.apis import model_pb2

from serving import errors
from serving import interrupts
from serving import model_configs
from serving import model_states
from serving import servables
from serving import versions as versions_lib

State = model_states.State
Loader = Callable[[str, int, str], servables.Servable]


@dataclasses.dataclass(frozen=True)
class Settings:
  """How versions are looked for and loaded.

  Attributes:
    poll_wait: Seconds between two looks at the folders; 0 looks once, below 0
      never.
    max_retries: How often a version that cannot be loaded is tried again.
    retry_interval: The longest pause before that, in seconds.
    load_threads: Versions that load at once.
    unload_threads: Versions that unload at once.
    allow_unavailable_labels: Whether a new label may name a version that is
      not there yet.
  """

  poll_wait: float = 1.0
  max_retries: int = 5
  retry_interval: float = 60.0
  load_threads: int = 4
  unload_threads: int = 1
  allow_unavailable_labels: bool = False


class Manager:
  """The models of a server."""

  def __init__(
    self,
    config: model_configs.ModelServerConfig,
    load: Loader = servables.Servable,
    settings: Settings | None = None,
    on_change: Callable[[], None] = lambda: None,
  ):
    """Begins to load, and returns at once.

    Args:
      config: The models.
      load: Loads a version, of a name, a number and a path, and raises
        LoadError.
      settings: How versions are looked for and loaded.
      on_change: Called, from any thread, when a state has changed.

    Raises:
      ServingError: The configuration cannot be meant.
    """
    self._load = load
    self._settings = settings or Settings()
    self._on_change = on_change
    self._changed = threading.Condition()
    self._models: dict[str, model_states.Model] = {}
    self._labels: dict[str, dict[str, int]] = {}
    self._reloading = threading.Lock()
    self._next_look = 0.0
    self._started = False
    self._closed = False
    self._configure(config)
    self._loaders = futures.ThreadPoolExecutor(
      max(1, self._settings.load_threads), "load"
    )
    self._unloaders = futures.ThreadPoolExecutor(
      max(1, self._settings.unload_threads), "unload"
    )
    self._thread = threading.Thread(target=self._work, name="manager")
    self._thread.daemon = True
    self._thread.start()

  @contextlib.contextmanager
  def use(self, spec: model_pb2.ModelSpec) -> Iterator[servables.Servable]:
    """Yields the version that is asked for; it stays loaded for the block.

    Raises:
      ServingError: There is none.
    """
    with self._changed:
      version = self._find(spec)
      version.users += 1
    try:
      yield version.servable
    finally:
      with self._changed:
        version.users -= 1
        self._unload_if_idle(version)

  def states(
    self, spec: model_pb2.ModelSpec
  ) -> dict[int, model_states.Version]:
    """Returns what a request is about, newest first, as copies.

    Raises:
      ServingError: There is nothing.
    """
    with self._changed:
      model = self._models.get(spec.name)
      found = model.versions if model else {}
      number = self._number(spec)
      if number is not None:
        if number not in found:
          raise errors.not_found(
            f"Could not find version {number} of model {spec.name}"
          )
        found = {number: found[number]}
      if not found:
        raise errors.not_found(
          f"Could not find any versions of model {spec.name}"
        )
      return {
        key: dataclasses.replace(found[key])
        for key in sorted(found, reverse=True)
      }

  def available(self) -> dict[str, list[int]]:
    """Returns the versions of each model that can be asked, newest first."""
    with self._changed:
      return {
        name: sorted(model.available(), reverse=True)
        for name, model in self._models.items()
        if model.config is not None
      }

  def knows(self, name: str) -> bool:
    """Returns whether there is, or was, a model of that name."""
    return name in self._models

  def labels(self) -> dict[str, dict[str, int]]:
    """Returns by model the version of each label."""
    with self._changed:
      return {name: dict(labels) for name, labels in self._labels.items()}

  def ready(self) -> bool:
    """Returns whether every model can be asked."""
    return all(self.available().values())

  def wait_until_settled(self, timeout: float | None = None) -> bool:
    """Waits until it is known of every model whether it can be loaded."""
    with self._changed:
      return self._changed.wait_for(lambda: self._started, timeout)

  def reload(
    self,
    config: model_configs.ModelServerConfig,
    interrupt: interrupts.Interrupt | None = None,
  ) -> None:
    """Serves other models from now on; waits for those that are new.

    Raises:
      ServingError: The configuration cannot be meant, and nothing has changed;
        or a new model cannot be loaded, and is tried again.
    """
    # One after the other: who comes later wins.
    with self._reloading:
      new = self._configure(config)
      interrupt = interrupt or interrupts.Interrupt()
      with interrupt.stopping_by(self._wake), self._changed:
        self._changed.wait_for(
          lambda: (
            self._closed
            or interrupt.is_set
            or all(self._models[name].settled for name in new)
          )
        )
      interrupt.check()
      with self._changed:
        failures = [
          f"{{name: {name}{self._models[name].why()}}}"
          for name in sorted(new)
          if not self._models[name].available()
        ]
    if failures:
      raise errors.ServingError(
        grpc.StatusCode.UNKNOWN,
        f"{len(failures)} model(s) did not become available: "
        f"{{{', '.join(failures)}}}",
      )

  def close(self) -> None:
    """Unloads everything; runs that are going on stop."""
    with self._changed:
      self._closed = True
      self._changed.notify_all()
    self._thread.join()
    self._loaders.shutdown(wait=False, cancel_futures=True)
    self._unloaders.shutdown()
    for model in self._models.values():
      for version in model.versions.values():
        if version.servable is not None:
          version.servable.close()
          version.servable, version.state = None, State.END

  def _wake(self):
    # Whoever interrupts must not wait for who is interrupted.
    threading.Thread(target=self._notify, daemon=True).start()

  def _notify(self):
    with self._changed:
      self._changed.notify_all()

  def _configure(self, config):
    """Takes over a configuration; returns the names of the models in it that
    were not there before."""
    model_configs.validate(config)
    configs = {model.name: model for model in config.model_config_list.config}
    with self._changed:
      model_configs.validate_labels(
        config,
        self._labels,
        {name: model.available() for name, model in self._models.items()},
        self._settings.allow_unavailable_labels,
      )
      new = {
        name
        for name in configs
        if getattr(self._models.get(name), "config", None) is None
      }
      for name in new:
        self._models.setdefault(name, model_states.Model()).settled = False
      for name, model in self._models.items():
        model.config = configs.get(name)
      self._labels = {
        name: dict(model.version_labels) for name, model in configs.items()
      }
      self._next_look = 0.0
      self._changed.notify_all()
    return new

  def _find(self, spec):
    if not spec.name:
      raise errors.invalid_argument("ModelSpec has no name specified.")
    model = self._models.get(spec.name)
    number = self._number(spec)
    if number is None:
      request = f"Latest({spec.name})"
      available = model.available() if model else {}
      number = max(available, default=None)
    else:
      request = f"Specific({spec.name}, {number})"
    version = model.versions.get(number) if model else None
    if version is not None and version.state == State.AVAILABLE:
      return version
    if not (model.settled if model else self._started):
      raise errors.StillLoadingError(
        f"Model {spec.name} is still being loaded."
        if model
        else "The models of this server are still being loaded."
      )
    raise errors.not_found(f"Servable not found for request: {request}")

  def _number(self, spec):
    if spec.HasField("version"):
      return spec.version.value
    if not spec.HasField("version_label"):
      return None
    labels = self._labels.get(spec.name, {})
    if spec.version_label not in labels:
      raise errors.invalid_argument(
        f"Unrecognized servable version label: {spec.version_label}"
      )
    return labels[spec.version_label]

  def _work(self):
    """Looks and decides, until the server stops."""
    retries = self._settings.max_retries
    while not self._closed:
      found = self._look()
      with self._changed:
        for name, model in self._models.items():
          config, versions = found.get(name, (model.config, None))
          if model.config is None:
            model.aspire({})
          elif config is not model.config:
            self._next_look = 0.0  # It has changed meanwhile.
            continue
          elif versions is not None:
            model.aspire(versions)
          for number, version in list(model.to_load(retries)):
            version.begin()
            self._loaders.submit(self._load_version, name, number, version)
          for _, version in list(model.to_unload()):
            version.state = State.UNLOADING
            self._unload_if_idle(version)
          if name in found or model.versions:
            model.settle()
        self._started = self._started or all(
          model.settled for model in self._models.values()
        )
        self._changed.notify_all()
        if self._closed:
          return
        self._changed.wait(max(0.0, self._next_event() - time.monotonic()))

  def _look(self):
    """Returns by model its configuration and its versions, if it is time."""
    with self._changed:
      if time.monotonic() < self._next_look or self._settings.poll_wait < 0:
        return {}
      wait = self._settings.poll_wait or float("inf")
      self._next_look = time.monotonic() + wait
      configs = {
        name: model.config
        for name, model in self._models.items()
        if model.config is not None
      }
    # Outside of the lock: a file system may be slow.
    return {
      name: (config, versions_lib.find(config.base_path))
      for name, config in configs.items()
    }

  def _next_event(self):
    retries = self._settings.max_retries
    attempts = [m.next_attempt(retries) for m in self._models.values()]
    next_look = self._next_look
    if self._settings.poll_wait < 0:
      next_look = float("inf")
    # A wait cannot be infinite.
    return min([next_look, time.monotonic() + 3600.0, *attempts])

  def _load_version(self, name, number, version):
    try:
      if self._closed:
        return
      servable = self._load(name, number, version.path)
    except servables.LoadError as error:
      servable = None
      failure = errors.ServingError(error.code, str(error))
    except Exception as error:  # The others go on, whatever it is.
      servable = None
      failure = errors.ServingError(
        grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
      )
    with self._changed:
      if servable is None:
        version.fail(failure, self._settings.retry_interval)
        print(f"Error: {failure.text}", file=sys.stderr, flush=True)
      else:
        version.succeed(servable)
      self._changed.notify_all()
    self._on_change()

  def _unload_if_idle(self, version):
    """Unloads a version when its last call is answered; the lock is held."""
    if version.state != State.UNLOADING or version.users or self._closed:
      return
    servable, version.servable = version.servable, None
    if servable is not None:
      self._unloaders.submit(self._unload, servable, version)

  def _unload(self, servable, version):
    servable.close()
    # The graphs of TensorFlow hold each other.
    del servable
    gc.collect()
    with self._changed:
      version.state = State.END
      self._changed.notify_all()
    self._on_change()
