"""The models of a server, and the version of a model that answers a call.

`loading` loads them. A version that is no longer wanted is unloaded once a
wanted one is available and its own calls have been answered.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator

import grpc
from tensorflow_serving.apis import model_pb2

from serving.server import calls
from serving.server import errors
from serving.server import interrupts
from serving.server import loading
from serving.server import model_configs
from serving.server import model_states
from serving.server import options
from serving.server import servables


class Manager:
  """The models of a server, by name."""

  def __init__(
    self,
    config: model_configs.ModelServerConfig,
    load: loading.Loader,
    settings: options.Options,
    on_change: Callable[[], None] = lambda: None,
  ):
    """Begins to load, and returns at once.

    Calls `on_change`, from any thread, when a state has changed.

    Raises:
      ServingError: The configuration is not valid.
    """
    self._settings = settings
    self._changed = threading.Condition()
    self._models: dict[str, model_states.Model] = {}
    self._labels: dict[str, dict[str, int]] = {}
    self._reloading = threading.Lock()
    self._closed = False
    self._on_change = on_change
    self._loading = None
    self._configure(config)
    self._loading = loading.Loading(
      self._models, self._changed, load, self._settings, on_change
    )

  @contextlib.contextmanager
  def use(self, spec: model_pb2.ModelSpec) -> Iterator[servables.Servable]:
    """Yields the version that a call names; it stays loaded during the block.

    Raises:
      ServingError: There is no such version.
    """
    with self._changed:
      version = self._find(spec)
      version.users += 1
    try:
      yield version.servable
    finally:
      with self._changed:
        version.users -= 1
        self._loading.unload_if_idle(version)

  def states(
    self, spec: model_pb2.ModelSpec
  ) -> dict[int, model_states.Version]:
    """Returns copies of the versions that a request names, newest first.

    Raises:
      ServingError: There are no such versions.
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
    """Returns the available versions of each model, newest first."""
    with self._changed:
      return {
        name: sorted(model.available(), reverse=True)
        for name, model in self._models.items()
        if model.config is not None
      }

  def knows(self, name: str) -> bool:
    """Returns whether a model has, or had, this name."""
    return name in self._models

  def labels(self) -> dict[str, dict[str, int]]:
    """Returns, by model, the version of each label."""
    with self._changed:
      return {name: dict(labels) for name, labels in self._labels.items()}

  def wait_until_settled(self, timeout: float | None = None) -> bool:
    """Waits until the first load of every model has ended."""
    with self._changed:
      return self._changed.wait_for(lambda: self._loading.started, timeout)

  def reload(
    self,
    config: model_configs.ModelServerConfig,
    interrupt: interrupts.Interrupt | None = None,
  ) -> None:
    """Changes the served models; waits until new ones are loaded.

    Raises:
      ServingError: The configuration is not valid, and nothing has changed; or
        a new model cannot be loaded, and will be retried.
    """
    interrupt = interrupt or interrupts.Interrupt()
    with self._turn(interrupt):
      new = self._configure(config)
      self._on_change()
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
    """Unloads all versions; current runs are stopped."""
    self._closed = True
    self._loading.close()

  @contextlib.contextmanager
  def _turn(self, interrupt):
    """Admits one reload at a time: the last one takes effect."""
    while not self._reloading.acquire(timeout=calls.PAUSE):
      interrupt.check()
    try:
      yield
    finally:
      self._reloading.release()

  def _wake(self):
    # In a thread: `Interrupt.set` must not wait for this lock.
    threading.Thread(target=self._notify, daemon=True).start()

  def _notify(self):
    with self._changed:
      self._changed.notify_all()

  def _configure(self, config):
    """Applies a configuration; returns the names of its new models."""
    model_configs.validate(config)
    configs = {model.name: model for model in config.model_config_list.config}
    with self._changed:
      model_configs.validate_labels(
        config,
        self._labels,
        {name: model.available() for name, model in self._models.items()},
        self._settings.allow_version_labels_for_unavailable_models,
      )
      new = {
        name
        for name in configs
        if getattr(self._models.get(name), "config", None) is None
      }
      for name in new:
        model = self._models.setdefault(name, model_states.Model())
        model.scanned = model.settled = False
      for name, model in self._models.items():
        model.config = configs.get(name)
      self._labels = {
        name: dict(model.version_labels) for name, model in configs.items()
      }
      if self._loading is not None:
        self._loading.scan_again()
    return new

  def _find(self, spec):
    if not spec.name:
      raise errors.invalid_argument("ModelSpec has no name specified.")
    model = self._models.get(spec.name)
    if model is not None and model.config is None:
      model = None  # No longer served, but perhaps still loaded.
    named = number = self._number(spec)
    if named is None and model:
      number = max(model.available(), default=None)
    version = model.versions.get(number) if model else None
    if version is not None and version.state == model_states.State.AVAILABLE:
      return version
    if not (model.settled if model else self._loading.started):
      raise errors.StillLoadingError(
        f"Model {spec.name} is still being loaded."
        if model
        else "The models of this server are still being loaded."
      )
    if version is not None and version.wanted and version.error is None:
      raise errors.StillLoadingError(
        f"Version {number} of model {spec.name} is still being loaded."
      )
    request = f"Latest({spec.name})"
    if named is not None:
      request = f"Specific({spec.name}, {named})"
    raise errors.not_found(f"Servable not found for request: {request}")

  def _number(self, spec):
    """Returns the version that a request names, by number or label."""
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
