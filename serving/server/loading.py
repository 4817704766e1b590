"""The threads that find versions, load them and unload them.

One thread reads the folders and decides; others load and unload. No version
waits for another: a version that cannot be loaded is retried after increasing
pauses, and at once when its files change.
"""

import dataclasses
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures

import grpc

from serving.server import errors
from serving.server import model_configs
from serving.server import model_states
from serving.server import options
from serving.server import servables
from serving.server import versions

State = model_states.State
# Loads a version, given name, number and path; raises LoadError.
Loader = Callable[[str, int, str], servables.Servable]


@dataclasses.dataclass(frozen=True)
class _Scan:
  """The result of reading a model's folder.

  Attributes:
    config: The model's configuration at that time.
    versions: The folder of each version; None if they could not be read.
    files: By failed version, the fingerprint of its folder.
    problem: The reason why there are no versions; empty if there are some.
  """

  config: model_configs.ModelConfig
  versions: Mapping[int, str] | None
  files: Mapping[int, Mapping]
  problem: str


class Loading:
  """Loads the wanted versions, and unloads others.

  Attributes:
    started: Whether the first load of every model has ended, successfully or
      not.
  """

  def __init__(
    self,
    models: dict[str, model_states.Model],
    changed: threading.Condition,
    load: Loader,
    settings: options.Options,
    on_change: Callable[[], None],
  ):
    """Begins to load, and returns at once; `changed` guards the models."""
    self._models = models
    self._changed = changed
    self._load = load
    self._poll_wait = settings.file_system_poll_wait_seconds
    self._retries = settings.max_num_load_retries
    self._longest_pause = settings.load_retry_interval_micros / 1e6
    self._on_change = on_change
    self._next_scan = 0.0
    self._closed = False
    self.started = False
    self._loaders = futures.ThreadPoolExecutor(
      settings.num_load_threads or min(4, os.cpu_count() or 1), "load"
    )
    self._unloaders = futures.ThreadPoolExecutor(
      settings.num_unload_threads or 1, "unload"
    )
    self._thread = threading.Thread(
      target=self._work, name="manager", daemon=True
    )
    self._thread.start()

  def scan_again(self) -> None:
    """Makes the thread read the folders now; the caller holds `changed`."""
    self._next_scan = 0.0
    self._changed.notify_all()

  def close(self) -> None:
    """Unloads all versions; current runs are stopped."""
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

  def unload_if_idle(self, version: model_states.Version) -> None:
    """Unloads a version after its last call; the caller holds `changed`."""
    if version.state != State.UNLOADING or version.users or self._closed:
      return
    servable, version.servable = version.servable, None
    if servable is not None:
      self._unloaders.submit(self._unload, servable, version)

  def _work(self):
    """Reads the folders and decides, until the server stops."""
    while not self._closed:
      try:
        scans = self._scan()
        with self._changed:
          self._decide(scans)
          if not self._closed:
            self._changed.wait(max(0.0, self._next_event() - time.monotonic()))
      except Exception:  # Without this thread, the states would be frozen.
        logging.exception("Looking for versions failed")
        time.sleep(1.0)

  def _scan(self):
    """Reads the folder of each model, if it is due."""
    with self._changed:
      if time.monotonic() < self._next_scan or self._poll_wait < 0:
        return {}
      wait = self._poll_wait or float("inf")
      self._next_scan = time.monotonic() + wait
      configs = {
        name: (model.config, model.failed())
        for name, model in self._models.items()
        if model.config is not None
      }
    # Outside of the lock: a file system may be slow.
    scans = {}
    for name, (config, failed) in configs.items():
      found = versions.find_versions(config.base_path)
      files = {n: versions.fingerprint(one.path) for n, one in failed.items()}
      problem = "" if found else versions.problem(config.base_path)
      scans[name] = _Scan(config, found, files, problem)
    return scans

  def _decide(self, scans):
    """Starts the loads and unloads that are due."""
    for name, model in self._models.items():
      scan = scans.get(name)
      if model.config is None:
        model.aspire({})
      elif scan is not None:
        if scan.config is not model.config:
          self._next_scan = 0.0  # The configuration has changed meanwhile.
          continue
        if scan.versions is not None:
          model.aspire(scan.versions, scan.files)
        if scan.problem and scan.problem != model.problem:
          text = f"Error: Model {name} cannot be served yet: {scan.problem}"
          print(text, file=sys.stderr, flush=True)
        model.problem, model.scanned = scan.problem, True
      for number, version in list(model.to_load(self._retries)):
        version.state = State.LOADING
        self._loaders.submit(self._load_version, name, number, version)
      for version in list(model.to_unload()):
        version.state = State.UNLOADING
        self.unload_if_idle(version)
      model.settle()
    self.started = self.started or all(
      model.settled for model in self._models.values()
    )
    self._changed.notify_all()

  def _next_event(self):
    # A wait cannot be infinite.
    events = [time.monotonic() + 3600.0]
    if self._poll_wait >= 0:
      events.append(self._next_scan)
    for model in self._models.values():
      events.append(model.next_attempt(self._retries))
    return min(events)

  def _load_version(self, name, number, version):
    servable = failure = None
    try:
      if self._closed:
        return
      version.files = versions.fingerprint(version.path)
      servable = self._load(name, number, version.path)
    except errors.LoadError as error:
      failure = errors.ServingError(error.code, str(error))
    except Exception as error:  # Must not end the thread.
      text = f"{type(error).__name__}: {error}"
      failure = errors.ServingError(grpc.StatusCode.INTERNAL, text)
    with self._changed:
      if failure is not None:
        version.fail(failure, self._longest_pause)
        # The next reading of the folders may choose an older version instead.
        self._models[name].scanned = False
        self.scan_again()
        print(f"Error: {failure.text}", file=sys.stderr, flush=True)
      elif self._closed:
        servable.close()
      else:
        version.succeed(servable)
      self._changed.notify_all()
    self._on_change()

  def _unload(self, servable, version):
    servable.close()
    # TensorFlow's graphs have reference cycles.
    del servable
    gc.collect()
    with self._changed:
      version.state = State.END
      if version.wanted:  # It has become wanted again meanwhile.
        self.scan_again()
      self._changed.notify_all()
    self._on_change()
