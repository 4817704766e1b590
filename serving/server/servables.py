"""Loads a SavedModel and runs it."""

import os
from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server import errors
from serving.server import interrupts

_DEFAULT_TAGS = (tf.saved_model.SERVING,)
# What is fed and fetched is up to the callers, and memory is not.
_MOST_CALLABLES = 1024


class LoadError(ValueError):
  """A SavedModel that cannot be served.

  Attributes:
    code: Why, as a status code.
  """

  def __init__(self, text: str, code: grpc.StatusCode):
    super().__init__(text)
    self.code = code


class Servable:
  """One version of one model: a session over a SavedModel.

  A TF1-style session, as in TensorFlow Serving itself: it takes SavedModels of
  TF1 and TF2 alike, feeds and fetches by name, and frees the interpreter while
  it runs.

  Attributes:
    name: The model's name, as clients know it.
    version: Its version.
    path: The folder of the SavedModel.
    signatures: By name, what can be asked of it.
    check_methods: Whether by the RPC that a signature names only.
  """

  def __init__(
    self,
    name: str,
    version: int,
    path: str,
    tags: Sequence[str] = _DEFAULT_TAGS,
    config: tf.compat.v1.ConfigProto | None = None,
    watched_runs: int = 16,
    check_methods: bool = False,
  ):
    """Loads the SavedModel.

    Args:
      name: The model's name.
      version: Its version.
      path: The folder of the SavedModel.
      tags: Which of the graphs in it.
      config: Of the session.
      watched_runs: How many runs at once can be stopped.
      check_methods: Whether a signature answers only the RPC that its
        method_name says, as those of TF1 do.

    Raises:
      LoadError: The folder holds no SavedModel that can be served.
    """
    self.name = name
    self.version = version
    self.path = path
    self.check_methods = check_methods
    self._callables = {}
    self._closed = False
    graph = tf.Graph()
    self._session = tf.compat.v1.Session(graph=graph, config=config)
    try:
      with graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(
          self._session, list(tags), path
        )
    # Whatever damage does to a file, the server goes on.
    except Exception as error:
      self._session.close()
      raise LoadError(
        f"Version {version} of model {name} cannot be loaded from {path}: "
        f"{error}",
        _load_code(path, error),
      ) from error
    self.signatures = dict(meta_graph.signature_def)
    self._watches = interrupts.Watches(
      self._session,
      watched_runs,
      [
        [info.name for info in signature.outputs.values()]
        for signature in self.signatures.values()
      ],
    )

  def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
    """Returns a signature.

    Raises:
      ServingError: There is none of that name.
    """
    if name not in self.signatures:
      raise errors.failed_precondition(
        f'Serving signature key "{name}" not found.'
      )
    return self.signatures[name]

  def run(
    self,
    feeds: Mapping[str, np.ndarray],
    fetches: Sequence[str],
    interrupt: interrupts.Interrupt | None = None,
  ) -> list[np.ndarray]:
    """Runs the graph, in the thread of the caller.

    Args:
      feeds: Values by tensor name.
      fetches: Names of tensors.
      interrupt: Lets another thread stop it.

    Returns:
      The values of `fetches`, in their order.

    Raises:
      ServingError: The graph refuses the values, fails, or was stopped.
    """
    # What is fed cannot be fetched as well, and nothing twice.
    wanted = tuple(name for name in dict.fromkeys(fetches) if name not in feeds)
    try:
      with self._watches.watching(wanted, interrupt) as watch:
        fed = {**feeds, **watch.feeds}
        call = self._callable(tuple(fed), wanted, watch.targets)
        values = dict(zip(wanted, call(fed.values())))
    except tf.errors.OpError as error:
      if interrupt is not None:
        interrupt.check()
      if self._closed:
        raise errors.unavailable("The model was unloaded.") from error
      raise errors.from_tensorflow(error) from error
    except (TypeError, ValueError) as error:  # What a feed may not be.
      raise errors.invalid_argument(str(error)) from error
    except RuntimeError as error:  # The session was closed: the server stops.
      raise errors.unavailable(str(error)) from error
    return [feeds[name] if name in feeds else values[name] for name in fetches]

  def close(self) -> None:
    """Stops the runs that are going on and frees the memory."""
    self._closed = True
    self._session.close()
    self._callables.clear()

  def _callable(self, *key):
    call = self._callables.get(key)
    if call is None:
      call = _Callable(self._session, *key)
      if len(self._callables) < _MOST_CALLABLES:
        self._callables[key] = call
    return call


class _Callable:
  """Feeds and fetches the same tensors again and again.

  `Session.run` goes through all that it may be given, at every call: 170 us.
  The function that a session makes for one set of names takes 30; that it is
  not public is why the version of TensorFlow is fixed.
  """

  def __init__(self, session, feeds, fetches, targets):
    self._call = session._make_callable_from_options(
      config_pb2.CallableOptions(
        feed=feeds,
        fetch=fetches,
        target=targets,
        run_options=interrupts.IN_CALLERS_THREAD,
      )
    )

  def __call__(self, values):
    # `Session.run` would compare shapes. TensorFlow Serving leaves that to the
    # graph: its own tests send [2.0] where [?, 1] is expected.
    return self._call(*values)


def _load_code(path, error):
  if isinstance(error, tf.errors.OpError):
    return errors.from_tensorflow(error).code
  if not os.path.isdir(path) or isinstance(error, OSError):
    return grpc.StatusCode.NOT_FOUND
  return grpc.StatusCode.INVALID_ARGUMENT
