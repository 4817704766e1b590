"""Lets the machines in TF_CONFIG train one model together.

TensorFlow's MultiWorkerMirroredStrategy does the work: its collective
operations add up gradients, its coordination service detects lost workers.
This module makes workers wait for each other, lets only the chief write, and
stops all workers together. Without a cluster, a process is its own chief.
"""

import contextlib
import faulthandler
import os
import re
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from absl import flags

from trainers import messages
from trainers import workers

_Result = TypeVar("_Result")

# Most seconds until a file that one machine has written is visible to all.
_SHARING = 10.0
# Seconds between two votes.
_ASKING = 1.0

# Set by `join`: a process joins one cluster, once.
_workers = None
_strategy = None


def join(settings: flags.FlagValues) -> None:
  """Waits for the other workers of TF_CONFIG if --multi_worker is given.

  To be called before anything has started TensorFlow.

  Raises:
    ValueError: TF_CONFIG is missing or wrong, or a worker cannot be reached.
  """
  global _workers, _strategy
  if "multi_worker" not in settings:
    return  # A job that runs on one machine.
  found = workers.read()
  if settings.multi_worker and found is None:
    raise ValueError(
      "--multi_worker needs the environment variable TF_CONFIG, which says "
      "which machines train together: see docs/several_machines.md."
    )
  if found is None or len(found) == 1:
    return
  if not settings.multi_worker:
    raise ValueError(
      f"TF_CONFIG names {len(found)} workers. Give --multi_worker to train on "
      "all of them together, or unset TF_CONFIG to train alone."
    )
  own = found.describe(found.index)
  messages.info(f"{own}: waiting for the other workers")
  found.meet()
  import tensorflow as tf

  # TensorFlow waits in C++ code, which no signal interrupts. All workers have
  # just been reached; if one is lost since, this ends the process.
  faulthandler.dump_traceback_later(workers.PATIENCE, exit=True)
  _strategy = tf.distribute.MultiWorkerMirroredStrategy()
  faulthandler.cancel_dump_traceback_later()
  _workers = found
  # Restores Python's handler, which TensorFlow has replaced.
  signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
  messages.info(
    f"{own}: all {len(found)} workers are here, with "
    f"{_strategy.num_replicas_in_sync} replicas in all"
  )


def strategy():
  """Returns the cluster's `tf.distribute.Strategy`; None without a cluster."""
  return _strategy


def is_chief() -> bool:
  """Whether this process is the one that writes."""
  return _workers is None or _workers.is_chief


def chief_first(
  do: Callable[[], _Result], folder: str | None = None
) -> _Result:
  """Calls a function on the chief, then on the other workers.

  Args:
    do: The function; it must not wait for other workers.
    folder: A folder that exists after the chief's call, and that all workers
      must share.

  Raises:
    ValueError: Another worker raised an error, which the text quotes; or the
      workers do not share the folder.
  """
  if _workers is None:
    return do()
  result = None
  for turn in (True, False):
    error = None
    if is_chief() == turn:
      try:
        result = do()
      except Exception as its:
        error = its
    _all_or_none(error)
    if turn and folder is not None:
      _check_shared(folder)
  return result


def check_same(what: str, value: Any) -> None:
  """Checks that all workers have read the same from the run folder.

  Raises:
    ValueError: The values differ.
  """
  if _workers is None:
    return
  told = _exchange(str(value))
  if len(set(told)) > 1:
    known = zip(_workers.names, told)
    raise ValueError(
      f"The workers differ in {what}: "
      + ", ".join(f"{name} has {value}" for name, value in known)
      + ". --run_dir must lie on a file system that all of them share."
    )


class Votes:
  """Votes on stopping: if one worker must stop, all stop at the same step."""

  def __init__(self):
    """Makes `any` vote at its first call, then about once a second."""
    self._calls = 0
    self._every = 1
    self._since = time.monotonic()

  def any(self, told: bool, *, now: bool = False) -> bool:
    """Returns whether to stop; every worker calls this equally often.

    Args:
      told: Whether this worker has been told to stop.
      now: Whether to vote even if the last vote was just before.
    """
    if _workers is None:
      return told
    self._calls += 1
    if self._calls < self._every and not now:
      return False
    # The chief sets the interval, or workers would vote at different calls.
    seconds = max(time.monotonic() - self._since, 1e-3)
    every = max(1.0, self._calls * min(_ASKING / seconds, 10.0))
    votes, every = _sum([float(told), every if is_chief() else 0.0])
    self._calls, self._every = 0, int(every)
    self._since = time.monotonic()
    return bool(votes)


def wait_for_chief() -> None:
  """Waits for all workers, so that the chief has finished writing."""
  if _workers is not None:
    _sum([0.0])


def explain(error: BaseException) -> str | None:
  """Names the lost workers if they caused the error; otherwise returns None."""
  if _workers is None:
    return None
  import tensorflow as tf

  if not isinstance(error, tf.errors.OpError):
    return None
  kinds = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
  )
  text = str(error)
  if not isinstance(error, kinds) and "Collective ops is aborted" not in text:
    return None
  lost = [_workers.describe(index) for index in _lost(text)]
  return (
    f"Lost {' and '.join(lost) or 'another worker'}: it has been killed or "
    "cannot be reached"
  )


@contextlib.contextmanager
def leaving() -> Iterator[None]:
  """Within the block, an error ends a cluster's process without clean-up.

  TensorFlow's clean-up would wait for lost workers.
  """
  try:
    yield
  except BaseException as error:
    if _workers is None:
      raise
    code = error.code if isinstance(error, SystemExit) else 1
    if not isinstance(error, SystemExit):
      traceback.print_exc()
    if isinstance(code, str):
      messages.info(code)
      code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _lost(text):
  """Returns indices of workers that the text names, or that do not answer."""
  named = {
    _workers.names.index(f"{kind} {task}")
    for kind, task in re.findall(r"/job:(\w+)/(?:replica:0/)?task:(\d+)", text)
    if f"{kind} {task}" in _workers.names
  }
  if "CoordinationService/Heartbeat" in text:
    named.add(0)
  others = set(range(len(_workers))) - {_workers.index}
  return sorted(named & others) or [
    index for index in sorted(others) if not _workers.answers(index)
  ]


def _check_shared(folder):
  """Checks that all workers see a file that the chief writes."""
  (name, *_) = _exchange(f".shared-{uuid.uuid4().hex}")
  path = os.path.join(folder, name)
  error = None
  if is_chief():
    try:
      with open(path, "x", encoding="utf-8"):
        pass
    except OSError as its:
      error = its
  _all_or_none(error)
  if not _appears(path):
    error = ValueError(
      f"{folder!r} is not the folder that the chief writes to. --run_dir must "
      "lie on a file system that all workers share."
    )
  try:
    _all_or_none(error)
  finally:
    if is_chief():
      os.remove(path)


def _appears(path):
  deadline = time.monotonic() + _SHARING
  while not os.path.exists(path):
    if time.monotonic() > deadline:
      return False
    time.sleep(0.1)
    with contextlib.suppress(OSError):
      os.listdir(os.path.dirname(path))  # Makes NFS ask the server again.
  return True


def _all_or_none(error):
  """Raises an error on all workers if there is one on any."""
  told = _exchange("" if error is None else str(error) or repr(error))
  if error is not None:
    raise error
  for index, text in enumerate(told):
    if text:
      raise ValueError(f"{_workers.describe(index)}: {text}")


def _exchange(text):
  """Returns the texts of all workers, in order."""
  count, own = len(_workers), text.encode()
  lengths = np.zeros([count], np.float32)
  lengths[_workers.index] = len(own)
  lengths = _sum(lengths).astype(int)
  letters = np.zeros([count, max(lengths.max(), 1)], np.float32)
  letters[_workers.index, : len(own)] = list(own)
  letters = _sum(letters).astype(np.uint8)
  return [
    row[:length].tobytes().decode() for row, length in zip(letters, lengths)
  ]


def _sum(values):
  """Returns the sum of all workers' arrays."""
  import tensorflow as tf

  # float32: NCCL can sum it, too.
  summed = _strategy.reduce(
    tf.distribute.ReduceOp.SUM, tf.constant(values, tf.float32), axis=None
  )
  return summed.numpy()
