"""Loads SavedModels, runs them, and says which versions there are."""

import math
import os
import threading
from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2

from serving import errors

State = get_model_status_pb2.ModelVersionStatus.State


class Servable:
  """One version of one model: a session over a SavedModel.

  A TF1-style session, as in TensorFlow Serving itself: it takes SavedModels of
  TF1 and TF2 alike, feeds and fetches by name, frees the interpreter while it
  runs, and stops a run at its deadline.
  """

  def __init__(self, name: str, version: int, path: str):
    """Loads the SavedModel.

    Args:
      name: The model's name, as clients know it.
      version: Its version.
      path: The folder of the SavedModel.

    Raises:
      ValueError: The folder holds no SavedModel that can be served.
    """
    self.name = name
    self.version = version
    graph = tf.Graph()
    self._session = tf.compat.v1.Session(graph=graph)
    try:
      with graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(
          self._session, [tf.saved_model.SERVING], path
        )
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
      self._session.close()
      raise ValueError(
        f"Version {version} of model {name} cannot be loaded from {path}: "
        f"{error}"
      ) from error
    # Feeding and fetching must never change a graph that threads share.
    graph.finalize()
    self.signatures = dict(meta_graph.signature_def)

  def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
    """Returns a signature.

    Raises:
      ServingError: There is none of that name.
    """
    if name not in self.signatures:
      raise errors.ServingError(
        grpc.StatusCode.FAILED_PRECONDITION,
        f'Serving signature key "{name}" not found.',
      )
    return self.signatures[name]

  def run(
    self,
    feeds: Mapping[str, np.ndarray],
    fetches: Sequence[str],
    timeout: float = math.inf,
  ) -> list[np.ndarray]:
    """Runs the graph.

    Args:
      feeds: Values by tensor name.
      fetches: Names of tensors.
      timeout: Seconds after which the graph is stopped.

    Returns:
      The values of `fetches`, in their order.

    Raises:
      ServingError: The graph refuses the values, fails, or takes too long.
    """
    options = None
    if timeout < math.inf:
      # 0 would mean no limit at all.
      milliseconds = max(1, math.floor(timeout * 1000))
      options = tf.compat.v1.RunOptions(
        timeout_in_ms=min(milliseconds, 2**31 - 1)
      )
    try:
      return self._session.run(list(fetches), dict(feeds), options)
    except tf.errors.OpError as error:
      # The session's Python side puts its own stack before the message; the
      # error it replaces has what TensorFlow said, and nothing else.
      said = error.__context__
      text = said.message if isinstance(said, tf.errors.OpError) else str(error)
      raise errors.ServingError(_code(error), text) from error
    except (TypeError, ValueError) as error:  # What a feed may not be.
      raise errors.invalid_argument(str(error)) from error
    except RuntimeError as error:  # The session was closed: the server stops.
      raise errors.ServingError(
        grpc.StatusCode.UNAVAILABLE, str(error)
      ) from error

  def close(self) -> None:
    """Stops the runs that are going on and frees the memory."""
    self._session.close()


class Servables:
  """The models of a server, by name and version."""

  def __init__(self, base_paths: Mapping[str, str]):
    """Names the models; `load` loads them.

    Args:
      base_paths: For each model's name the folder with its versions: folders
        whose names are whole numbers. Everything else there is ignored.
    """
    self._base_paths = dict(base_paths)
    self._lock = threading.Lock()
    self._loaded: dict[str, dict[int, Servable]] = {
      name: {} for name in base_paths
    }
    self._states: dict[str, dict[int, int]] = {name: {} for name in base_paths}

  def load(self) -> list[Servable]:
    """Loads the newest version of every model and returns them.

    Raises:
      ValueError: There is no version, or it cannot be loaded.
    """
    for name, base_path in self._base_paths.items():
      versions = find_versions(base_path)
      if not versions:
        raise ValueError(
          f"No versions of model {name} under {base_path}: expected a folder "
          "named by a whole number, with a SavedModel in it. Write one with "
          "python -m serving.export --run_dir=..."
        )
      version = max(versions)
      self._states[name][version] = State.LOADING
      servable = Servable(name, version, versions[version])
      with self._lock:
        self._loaded[name][version] = servable
        self._states[name][version] = State.AVAILABLE
    return [
      servable
      for versions in self._loaded.values()
      for servable in versions.values()
    ]

  def find(self, spec: model_pb2.ModelSpec) -> Servable:
    """Returns the version that a request asks for; by default the newest.

    Raises:
      ServingError: There is none.
    """
    if not spec.name:
      raise errors.invalid_argument("ModelSpec has no name specified.")
    _refuse_label(spec)
    with self._lock:
      versions = self._loaded.get(spec.name, {})
      if spec.HasField("version"):
        wanted = spec.version.value
        request = f"Specific({spec.name}, {wanted})"
      else:
        wanted = max(versions, default=None)
        request = f"Latest({spec.name})"
      if wanted not in versions:
        raise errors.not_found(f"Servable not found for request: {request}")
      return versions[wanted]

  def states(self, spec: model_pb2.ModelSpec) -> dict[int, int]:
    """Returns the state of each version that a request is about, newest first.

    Raises:
      ServingError: There is none.
    """
    _refuse_label(spec)
    with self._lock:
      states = dict(
        sorted(self._states.get(spec.name, {}).items(), reverse=True)
      )
    if not spec.HasField("version"):
      if not states:
        raise errors.not_found(
          f"Could not find any versions of model {spec.name}"
        )
      return states
    version = spec.version.value
    if version not in states:
      raise errors.not_found(
        f"Could not find version {version} of model {spec.name}"
      )
    return {version: states[version]}

  def close(self) -> None:
    """Unloads everything; runs that are going on stop."""
    with self._lock:
      for name, versions in self._loaded.items():
        for version, servable in versions.items():
          servable.close()
          self._states[name][version] = State.END
        versions.clear()


def find_versions(base_path: str) -> dict[int, str]:
  """Returns the folder of each version under a path; none if it is missing."""
  if not os.path.isdir(base_path):
    return {}
  return {
    int(entry.name): entry.path
    for entry in os.scandir(base_path)
    # "01" is a version, "-1", "1.tmp" and "²" are not.
    if entry.name.isascii() and entry.name.isdigit() and entry.is_dir()
  }


def _refuse_label(spec):
  # Labels name versions in a configuration file, which this server has none
  # of: every label is unknown.
  if spec.HasField("version_label"):
    raise errors.invalid_argument(
      f"Unrecognized servable version label: {spec.version_label}"
    )


def _code(error):
  """Returns the gRPC code of a TensorFlow error; they share their numbers."""
  for code in grpc.StatusCode:
    if code.value[0] == error.error_code:
      return code
  return grpc.StatusCode.UNKNOWN
