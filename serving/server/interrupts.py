"""Stops one run of a graph; a session can only stop all its runs.

TensorFlow's own methods fail (TF 2.21, measured on two cores). Closing a
session stops all its runs. `RunOptions.timeout_in_ms` needs a free thread of a
pool in which all runs share two threads: four endless loops left none, no
deadline was kept, and nothing else ran. So runs stay in the threads of their
callers, where another call takes 0.1 s beside four such loops, and a trivial
one 64 us instead of 154. Every run that may have to stop has an additional
node, which waits for a token:

  True   from a node that depends on all fetches: the run is complete;
  False  from another thread: the node fails, and with it the whole run, also
         within a loop (after 13 ms, for 15 us a run).
"""

import collections
import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import grpc
import numpy as np
import tensorflow as tf

from serving.server import errors

IN_CALLERS_THREAD = tf.compat.v1.RunOptions(inter_op_thread_pool=-1)
# Each set of outputs needs some nodes. Callers choose the sets, and memory is
# limited.
_MOST_FETCHES = 64


class Interrupt:
  """Stops a run that has begun or will begin."""

  def __init__(self):
    self._lock = threading.Lock()
    self._stop = None
    self._is_set = False

  @property
  def is_set(self) -> bool:
    """Whether it has been set."""
    return self._is_set

  def set(self) -> None:
    """Stops the run, which raises CANCELLED. May block for a moment."""
    with self._lock:
      self._is_set = True
      if self._stop is not None:
        self._stop()
        self._stop = None

  def check(self) -> None:
    """Raises ServingError if it has been set."""
    if self._is_set:
      raise errors.ServingError(
        grpc.StatusCode.CANCELLED, "The call was cancelled."
      )

  @contextlib.contextmanager
  def stopping_by(self, stop) -> Iterator[None]:
    """Makes `set` call a function during the block only."""
    with self._lock:
      self.check()
      self._stop = stop
    try:
      yield
    finally:
      with self._lock:
        self._stop = None


class Watch(NamedTuple):
  """The feeds and operations that make a run stoppable.

  Attributes:
    feeds: Values by tensor name.
    targets: Names of operations.
  """

  feeds: dict[str, np.integer]
  targets: tuple[str, ...]


_UNWATCHED = Watch({}, ())


class Watches:
  """Additional nodes in a model's graph that can stop its runs.

  Each run has a queue, whose number it is fed. With separate nodes for each
  queue, TensorFlow would prepare the model again for the first run with each
  queue: half a second for ours.
  """

  def __init__(
    self,
    session: tf.compat.v1.Session,
    slots: int,
    fetches: Iterable[Sequence[str]] = (),
  ):
    """Adds nodes to the session's graph.

    Args:
      session: The model's session, with its graph.
      slots: Number of simultaneous runs that can be stopped; others cannot.
      fetches: Sets of tensor names that runs will fetch. Other sets are
        possible, but add nodes, after which TensorFlow processes the whole
        graph again: half a second for ours.
    """
    self._session = session
    self._free = collections.deque(np.arange(slots, dtype=np.int32))
    self._lock = threading.Lock()
    self._releases: dict[frozenset[str], str] = {}
    with session.graph.as_default(), tf.device("/cpu:0"):
      # At most two tokens: of a complete run that is stopped too late.
      queues = [
        tf.queue.FIFOQueue(2, [tf.bool], [[]], shared_name=f"watch_{slot}")
        for slot in range(slots)
      ]
      # Stacked once: in every run it would take 45 us for 64 queues.
      handles = tf.raw_ops.VarHandleOp(
        dtype=tf.resource, shape=[slots], shared_name="watches"
      )
      stacked = tf.stack([queue.queue_ref for queue in queues])
      assign = tf.raw_ops.AssignVariableOp(resource=handles, value=stacked)
      self._slot = tf.compat.v1.placeholder(tf.int32, [])
      self._queue = tf.gather(
        tf.raw_ops.ReadVariableOp(resource=handles, dtype=tf.resource),
        self._slot,
      )
      self._stop = tf.raw_ops.QueueEnqueueV2(
        handle=self._queue, components=[tf.constant(False)]
      )
      (token,) = tf.raw_ops.QueueDequeueV2(
        handle=self._queue, component_types=[tf.bool]
      )
      self._wait = tf.raw_ops.Assert(
        condition=token, data=[tf.constant("interrupted")]
      )
      self._empty = tf.raw_ops.QueueDequeueManyV2(
        handle=self._queue,
        n=tf.raw_ops.QueueSizeV2(handle=self._queue),
        component_types=[tf.bool],
      )
      # A signature may name missing tensors: only its calls will fail.
      for names in fetches:
        with contextlib.suppress(KeyError, TypeError, ValueError):
          self._releases[frozenset(names)] = self._add_release(names)
      self._most_releases = len(self._releases) + _MOST_FETCHES
      session.run(assign)

  def prepare(self) -> None:
    """Makes TensorFlow prepare the stopping nodes, which takes a second."""
    try:
      slot = self._free.popleft()
    except IndexError:  # All are in use: the first stop prepares them.
      return
    self._run(self._stop, slot)
    self._run(self._empty, slot)
    self._free.append(slot)

  @contextlib.contextmanager
  def watching(
    self, fetches: Sequence[str], interrupt: Interrupt | None
  ) -> Iterator[Watch]:
    """Lets an interrupt stop the run within the block.

    Args:
      fetches: Names of the tensors that the run fetches.
      interrupt: Stops the run; with None it cannot be stopped.

    Yields:
      The feeds and operations to add to the run.
    """
    if interrupt is None:
      yield _UNWATCHED
      return
    interrupt.check()
    release = self._release_of(frozenset(fetches))
    try:
      slot = self._free.popleft() if release else None
    except IndexError:
      slot = None
    if slot is None:
      yield _UNWATCHED
      return
    try:
      with interrupt.stopping_by(lambda: self._run(self._stop, slot)):
        yield Watch({self._slot.name: slot}, (release, self._wait.name))
    except BaseException:
      # A failed run, or one stopped too late, may leave a token.
      self._run(self._empty, slot)
      raise
    else:
      if interrupt.is_set:
        self._run(self._empty, slot)
    finally:
      self._free.append(slot)

  def _run(self, operation, slot):
    # A closed session has nothing to stop.
    with contextlib.suppress(RuntimeError, tf.errors.OpError):
      self._session.run(
        operation, {self._slot: slot}, options=IN_CALLERS_THREAD
      )

  def _release_of(self, fetches):
    """Returns the operation that releases the waiting node at a run's end."""
    release = self._releases.get(fetches)
    if release is not None:
      return release
    with self._lock:
      if fetches in self._releases:
        return self._releases[fetches]
      if len(self._releases) >= self._most_releases:
        return None
      release = self._add_release(fetches)
      self._releases[fetches] = release
      return release

  def _add_release(self, fetches):
    graph = self._session.graph
    with graph.as_default(), tf.device("/cpu:0"):
      # Sizes depend on the values; a control dependency on a function's call
      # would not wait for its outputs.
      sizes = [tf.size(graph.get_tensor_by_name(name)) for name in fetches]
      with tf.control_dependencies(sizes):
        done = tf.identity(tf.constant(True))
      return tf.raw_ops.QueueEnqueueV2(
        handle=self._queue, components=[done]
      ).name
