"""Loads a SavedModel, warms it up and runs its signatures."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving import tensors
from serving.server import errors
from serving.server import interrupts
from serving.server import signatures

DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
# Path of the warm-up requests in a SavedModel, as in TensorFlow Serving.
WARMUP_REQUESTS = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MOST_RECORDS = 1000
_DEFAULT_TAGS = (tf.saved_model.SERVING,)
# Limited, since callers choose the sets of inputs and outputs.
_MOST_CALLABLES = 1024
# Like `Servable.run`, with the servable; may batch calls.
Run = Callable[..., list[np.ndarray]]


class Servable:
  """One version of one model: a session over a SavedModel.

  A TF1-style session, as in TensorFlow Serving: it loads SavedModels of TF1 and
  TF2, feeds and fetches by name, and releases the GIL while it runs.

  Attributes:
    name: The model's name for clients.
    version: Its version.
    path: The folder of the SavedModel.
    signatures: SignatureDefs by name.
    input_types: By signature and input, the name of the input's type.
    closed: Whether it has been closed.
  """

  def __init__(
    self,
    name: str,
    version: int,
    path: str,
    tags: Sequence[str] = _DEFAULT_TAGS,
    config: tf.compat.v1.ConfigProto | None = None,
    watched_runs: int = 16,
  ):
    """Loads the SavedModel.

    At most `watched_runs` simultaneous runs can be stopped.

    Raises:
      LoadError: The folder holds no SavedModel that can be served.
    """
    self.name = name
    self.version = version
    self.path = path
    self._callables = {}
    # Signatures that have run with all their outputs.
    self._prepared = set()
    self.closed = False
    graph = tf.Graph()
    self._session = tf.compat.v1.Session(graph=graph, config=_quick(config))
    try:
      with graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(
          self._session, list(tags), path
        )
    # Any error: a damaged file must not stop the server.
    except Exception as error:
      self._session.close()
      raise errors.LoadError(
        f"Version {version} of model {name} cannot be loaded from {path}: "
        f"{error}",
        _load_code(path, error),
      ) from error
    self.signatures = dict(meta_graph.signature_def)
    self.input_types = {
      name: {
        key: tensors.type_name(info.dtype)
        for key, info in signature.inputs.items()
      }
      for name, signature in self.signatures.items()
    }
    self._watches = interrupts.Watches(
      self._session,
      watched_runs,
      [
        [info.name for info in signature.outputs.values()]
        for signature in self.signatures.values()
      ],
    )

  def predict(
    self,
    signature: str,
    inputs: Mapping[str, np.ndarray],
    output_filter: Sequence[str] = (),
    interrupt: interrupts.Interrupt | None = None,
    run: Run | None = None,
  ) -> dict[str, np.ndarray]:
    """Runs a signature in the caller's thread.

    Args:
      signature: Its name.
      inputs: A value for each input that has no default.
      output_filter: The outputs to return; none means all.
      interrupt: Lets another thread stop the run.
      run: Runs the graph, perhaps in a batch; None runs it alone.

    Returns:
      Values by output name.

    Raises:
      ServingError: Has the code and the text for the caller.
    """
    if signature not in self.signatures:
      raise errors.failed_precondition(
        f'Serving signature key "{signature}" not found.'
      )
    definition = self.signatures[signature]
    feeds = signatures.feeds(definition, inputs)
    # TensorFlow prepares runs that can be stopped separately from others, which
    # can take seconds: all runs are of this kind.
    interrupt = interrupt or interrupts.Interrupt()
    names = signatures.outputs(definition, output_filter)
    run = run or Servable.run

    def values(some):
      fetches = [definition.outputs[name].name for name in some]
      return dict(zip(some, run(self, feeds, fetches, interrupt)))

    whole = sorted(definition.outputs)
    if signature in self._prepared and len(names) < len(whole):
      # TensorFlow would prepare the graph again for each selection of outputs,
      # in hundreds of megabytes.
      try:
        found = values(whole)
        return {name: found[name] for name in names}
      except errors.ServingError:
        interrupt.check()
        # The failing output may not be a requested one.
    found = values(names)
    if len(names) == len(whole):
      self._prepared.add(signature)
    return found

  def answer(
    self,
    request: predict_pb2.PredictRequest,
    interrupt: interrupts.Interrupt | None = None,
    run: Run | None = None,
  ) -> dict[str, np.ndarray]:
    """Runs the signature of a request, see `predict`."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    inputs = {}
    for key, proto in request.inputs.items():
      try:
        inputs[key] = tensors.to_array(proto)
      except ValueError as error:
        raise errors.invalid_argument(f"tensor parsing error: {key}") from error
    return self.predict(name, inputs, request.output_filter, interrupt, run)

  def warming(self, iterations: int = 1) -> Iterator[None]:
    """Runs the requests recorded in the SavedModel; yields after each.

    Raises:
      LoadError: A record cannot be read, or fails, or there are too many.
    """
    path = os.path.join(self.path, WARMUP_REQUESTS)
    if not os.path.exists(path):
      return
    count = 0
    try:
      records = tf.data.TFRecordDataset(path).as_numpy_iterator()
      for count, record in enumerate(records, 1):
        if count > _MOST_RECORDS:
          raise errors.invalid_argument(
            f"Number of warmup records exceeds the maximum ({_MOST_RECORDS})"
          )
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        if kind not in (None, "predict_log"):
          raise errors.unimplemented(f"Unsupported log_type for warmup: {kind}")
        for _ in range(iterations if kind else 0):
          self.answer(log.predict_log.request)
        yield
      return
    except message.DecodeError as error:
      text = f"Failed to parse warmup record: {error}"
      failure = errors.invalid_argument(text)
    except tf.errors.OpError as error:
      failure = errors.from_tensorflow(error)
    except errors.ServingError as error:
      failure = error
    raise errors.LoadError(
      f"Version {self.version} of model {self.name} fails its warm-up request "
      f"{max(count, 1)} in {path}: {failure.text}",
      failure.code,
    ) from failure

  def prepare_to_stop(self) -> None:
    """Prepares the stopping of runs, which is slow the first time."""
    self._watches.prepare()

  def run(
    self,
    feeds: Mapping[str, np.ndarray],
    fetches: Sequence[str],
    interrupt: interrupts.Interrupt | None = None,
  ) -> list[np.ndarray]:
    """Runs the graph in the caller's thread.

    Args:
      feeds: Values by tensor name.
      fetches: Names of tensors, whose values are returned in their order.
      interrupt: Lets another thread stop the run.

    Raises:
      ServingError: The graph rejects the values, fails, or was stopped.
    """
    # A session cannot fetch a tensor that is fed, nor a tensor twice.
    wanted = tuple(name for name in dict.fromkeys(fetches) if name not in feeds)
    try:
      with self._watches.watching(wanted, interrupt) as watch:
        fed = {**feeds, **watch.feeds}
        call = self._callable(tuple(fed), wanted, watch.targets)
        # Unlike `Session.run`, this does not check shapes. Neither does
        # TensorFlow Serving: its tests send [2.0] where [?, 1] is expected.
        values = dict(zip(wanted, call(*fed.values())))
    except tf.errors.OpError as error:
      if interrupt is not None:
        interrupt.check()
      if self.closed:
        raise errors.unavailable("The model was unloaded.") from error
      raise errors.from_tensorflow(error) from error
    except (TypeError, ValueError) as error:  # The value cannot be fed.
      raise errors.invalid_argument(str(error)) from error
    except RuntimeError as error:  # The session was closed: the server stops.
      raise errors.unavailable(str(error)) from error
    return [feeds[name] if name in feeds else values[name] for name in fetches]

  def close(self) -> None:
    """Stops current runs and frees the memory."""
    self.closed = True
    self._session.close()
    self._callables.clear()

  def _callable(self, feeds, fetches, targets):
    """Returns a function that feeds and fetches fixed tensors.

    `Session.run` checks its arguments at every call, in 170 us. A session's
    callable for fixed names takes 30; it is not public API, for which the
    version of TensorFlow is fixed.
    """
    key = feeds, fetches, targets
    call = self._callables.get(key)
    if call is None:
      call = self._session._make_callable_from_options(
        config_pb2.CallableOptions(
          feed=feeds,
          fetch=fetches,
          target=targets,
          run_options=interrupts.IN_CALLERS_THREAD,
        )
      )
      if len(self._callables) < _MOST_CALLABLES:
        self._callables[key] = call
    return call


def load(path: str, name: str = "model", version: int = 0) -> Servable:
  """Loads a SavedModel as servers do; `close` it after use.

  Name and version appear in messages.

  Raises:
    LoadError: The folder holds no SavedModel that can be served.
  """
  return Servable(name, version, path)


def _quick(config):
  """Returns a session's config that shortens the preparation of signatures.

  One graph optimiser takes a third of the preparation of our models, and makes
  none of them faster.
  """
  made = tf.compat.v1.ConfigProto()
  if config is not None:
    made.CopyFrom(config)
  made.graph_options.rewrite_options.disable_tfg_optimizer = True
  return made


def _load_code(path, error):
  if isinstance(error, tf.errors.OpError):
    return errors.from_tensorflow(error).code
  if not os.path.isdir(path) or isinstance(error, OSError):
    return grpc.StatusCode.NOT_FOUND
  return grpc.StatusCode.INVALID_ARGUMENT
