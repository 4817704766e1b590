"""Runs simultaneous calls as one batch.

As in TensorFlow Serving, the rows of several calls are concatenated, one run
answers them, and each call gets its rows. Unlike there, no call affects others:
only rows of equal shapes are batched; a batch that fails, or whose outputs are
not rows, is run again call by call; and a cancelled call does not cancel
others.
"""

import collections
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent import futures

import numpy as np

from serving.server import batching_parameters
from serving.server import errors
from serving.server import interrupts
from serving.server import servables


class _Task:
  """A call, or a part of a large one, that waits for its outputs."""

  def __init__(self, feeds, rows):
    self.feeds = feeds
    self.rows = rows
    self.interrupt = interrupts.Interrupt()
    self.future = futures.Future()
    self.batch = None

  def finish(self, outcome):
    # The call may have been cancelled meanwhile.
    if not self.future.set_running_or_notify_cancel():
      return
    if isinstance(outcome, Exception):
      self.future.set_exception(outcome)
    else:
      self.future.set_result(outcome)


class _Batch:
  """Calls that will run together."""

  def __init__(self, servable, fetches, due):
    self.servable = servable
    self.fetches = fetches
    self.due = due
    self.tasks = []
    self.rows = 0
    # None until the batch runs: calls may still join or leave.
    self.interrupt = None

  def stop_if_abandoned(self):
    """Stops the run if all its calls were cancelled."""
    if self.interrupt is not None and not self.waiting():
      self.interrupt.set()

  def waiting(self):
    return [task for task in self.tasks if not task.future.cancelled()]


class Batcher:
  """Batches calls and runs them in its own threads."""

  def __init__(self, parameters: batching_parameters.Parameters):
    self._parameters = parameters
    self._changed = threading.Condition()
    # By key: calls that can be batched have the same key.
    self._queues: dict[tuple, collections.deque[_Batch]] = {}
    self._closed = False
    self._threads = [
      threading.Thread(target=self._work, name=f"batch_{n}", daemon=True)
      for n in range(parameters.threads)
    ]
    for thread in self._threads:
      thread.start()

  def run(
    self,
    servable: servables.Servable,
    feeds: Mapping[str, np.ndarray],
    fetches: Sequence[str],
    interrupt: interrupts.Interrupt | None = None,
  ) -> list[np.ndarray]:
    """Runs a call in a batch, see `Servable.run`.

    Raises:
      ServingError: See there; or inputs are not rows, or too many calls wait.
    """
    rows = _rows(feeds)
    if rows == 0:  # Nothing to batch.
      return servable.run(feeds, fetches, interrupt)
    if rows > self._parameters.max_batch_size:
      raise errors.invalid_argument(
        f"Task size {rows} is larger than maximum input batch size "
        f"{self._parameters.max_batch_size}"
      )
    size = self._parameters.largest
    tasks = [
      _Task(
        {name: value[start : start + size] for name, value in feeds.items()},
        min(size, rows - start),
      )
      for start in range(0, rows, size)
    ]

    def stop():
      for task in tasks:
        task.interrupt.set()
        self._cancel(task)

    interrupt = interrupt or interrupts.Interrupt()
    try:
      with interrupt.stopping_by(stop):
        try:
          for task in tasks:
            self._enqueue(servable, tuple(fetches), task)
          parts = [task.future.result() for task in tasks]
        except BaseException:
          stop()  # An answer needs all parts.
          raise
    except futures.CancelledError:
      interrupt.check()
      raise errors.unavailable("The server stops.") from None
    if len(parts) == 1:
      return parts[0]
    for task, part in zip(tasks, parts):
      _check_rows(part, task.rows)
    return [np.concatenate(values) for values in zip(*parts)]

  def close(self) -> None:
    """Ends the threads; waiting calls are cancelled."""
    with self._changed:
      self._closed = True
      waiting = [batch for queue in self._queues.values() for batch in queue]
      self._queues.clear()
      self._changed.notify_all()
    for batch in waiting:
      for task in batch.tasks:
        task.future.cancel()

  def _cancel(self, task):
    # Has no effect on a result that is already set.
    task.future.cancel()
    if task.batch is not None:
      task.batch.stop_if_abandoned()

  def _enqueue(self, servable, fetches, task):
    key = (servable, fetches, *_kind(task.feeds, self._parameters.pad))
    with self._changed:
      if self._closed:
        raise errors.unavailable("The server stops.")
      queue = self._queues.setdefault(key, collections.deque())
      space = self._parameters.largest
      if not queue or queue[-1].rows + task.rows > space:
        if len(queue) >= self._parameters.max_enqueued_batches:
          raise errors.unavailable(
            "The batch scheduling queue to which this task was submitted is "
            f"full: {len(queue)} batches wait, and more may not "
            "(max_enqueued_batches)."
          )
        due = time.monotonic() + self._parameters.timeout
        queue.append(_Batch(servable, fetches, due))
      batch = queue[-1]
      batch.tasks.append(task)
      batch.rows += task.rows
      task.batch = batch
      self._changed.notify()

  def _work(self):
    while True:
      with self._changed:
        batch = self._next()
        while batch is None:
          if self._closed:
            return
          self._changed.wait(self._patience())
          batch = self._next()
      self._run(batch)

  def _next(self):
    """Removes and returns the next batch to run; None if none is due."""
    now = time.monotonic()
    ready = [
      (queue[0].due, key)
      for key, queue in self._queues.items()
      # The first of several batches is full: the next call did not fit.
      if len(queue) > 1
      or queue[0].due <= now
      or queue[0].rows >= self._parameters.largest
    ]
    if not ready:
      return None
    _, key = min(ready, key=lambda pair: pair[0])
    batch = self._queues[key].popleft()
    if not self._queues[key]:
      del self._queues[key]
    return batch

  def _patience(self):
    dues = [queue[0].due for queue in self._queues.values()]
    return max(0.0, min(dues) - time.monotonic()) if dues else None

  def _run(self, batch):
    batch.interrupt = interrupts.Interrupt()
    tasks = batch.waiting()
    if not tasks:
      return
    try:
      outcomes = self._together(batch, tasks)
    except Exception as error:  # Any error: the calls wait for an answer.
      outcomes = [error]
      if len(tasks) > 1 and not batch.interrupt.is_set:
        # One call may have caused the error.
        outcomes = [self._alone(batch, task) for task in tasks]
    for task, outcome in zip(tasks, outcomes):
      task.finish(outcome)

  def _alone(self, batch, task):
    try:
      return batch.servable.run(task.feeds, batch.fetches, task.interrupt)
    except Exception as error:
      return error

  def _together(self, batch, tasks):
    counts = [task.rows for task in tasks]
    filling = self._filling(sum(counts))
    if len(tasks) == 1 and not filling:
      feeds = tasks[0].feeds
    else:
      feeds = {
        name: _stack([task.feeds[name] for task in tasks], filling)
        for name in tasks[0].feeds
      }
    values = batch.servable.run(feeds, batch.fetches, batch.interrupt)
    if len(tasks) == 1 and not filling:
      return [values]
    _check_rows(values, sum(counts) + filling)
    ends = np.cumsum(counts)
    return [
      [value[end - count : end] for value in values]
      for count, end in zip(counts, ends)
    ]

  def _filling(self, rows):
    sizes = self._parameters.allowed_sizes
    return next((size - rows for size in sizes if size >= rows), 0)


def _rows(feeds):
  """Returns the number of rows, which all inputs must share."""
  if any(value.ndim == 0 for value in feeds.values()):
    raise errors.invalid_argument(
      "Batching Run() input tensors must have at least one dimension."
    )
  counts = {len(value) for value in feeds.values()}
  if len(counts) > 1:
    raise errors.invalid_argument(
      "Batching Run() input tensors must have equal 0th-dimension size."
    )
  return counts.pop() if counts else 0


def _check_rows(values, rows):
  """Checks that all outputs have this number of rows."""
  if any(np.ndim(value) == 0 or len(value) != rows for value in values):
    raise errors.failed_precondition(
      "Batched output tensor's 0th dimension does not equal the sum of the "
      "0th dimension sizes of the input tensors"
    )


def _kind(feeds, pad):
  """Returns the types and shapes that rows of a batch must share."""
  return tuple(
    (name, value.dtype, value.ndim if pad else value.shape[1:])
    for name, value in sorted(feeds.items())
  )


def _stack(values, filling):
  """Concatenates rows of calls, padded to one shape, with `filling` rows."""
  shape = np.max([value.shape[1:] for value in values], axis=0, initial=0)
  padded = []
  for value in values:
    widths = [(0, 0), *((0, int(d)) for d in shape - value.shape[1:])]
    if any(after for _, after in widths) and value.size:
      value = np.pad(value, widths, constant_values=value.flat[0])
    padded.append(value)
  # Filled with real rows: a model may fail on zeros.
  padded += [padded[0][:1]] * filling
  return np.concatenate(padded)
