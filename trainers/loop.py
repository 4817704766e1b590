"""Runs training steps and validates, on one replica or on many.

Keras's `fit` gives the same weights bit for bit, but does not support
MultiWorkerMirroredStrategy. As in `fit`, a step is the model's `train_step`.
"""

import functools
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf


class Loop:
  """Runs the steps of a compiled model, under the model's strategy.

  Every worker of a strategy calls the same methods in the same order.
  """

  def __init__(self, model: keras.Model, batches: tf.data.Dataset):
    """Distributes the batches; makes no step yet.

    Args:
      model: Built and compiled, with every optimiser built.
      batches: Training batches, without end, the same on every worker. The
        replicas share the rows of a batch, whose number must be a multiple of
        the number of replicas.
    """
    self._model = model
    self._strategy = model.distribute_strategy
    self._mine = range(0)
    # Otherwise workers would agree at every step on whether data is left.
    endless = tf.data.experimental.assert_cardinality(
      tf.data.INFINITE_CARDINALITY
    )
    self._batches = iter(self._distribute(batches, endless))
    self._train = self._function(model.train_step)
    self._test = self._function(model.test_step)

  def train(self) -> None:
    """Makes one step."""
    self._train(self._batches)

  def validate(self, batches: tf.data.Dataset) -> Iterator[None]:
    """Validates, with reset metrics; yields after every batch, of any size."""
    self._model.reset_metrics()
    iterator = iter(self._distribute(batches))
    while True:
      try:
        self._test(iterator)
      except tf.errors.OutOfRangeError:
        return
      yield

  def figures(self) -> dict[str, float]:
    """Returns the model's metrics, over all replicas."""
    results = self._model.get_metrics_result()
    return {name: float(value) for name, value in results.items()}

  def metrics(self) -> list[np.ndarray]:
    """Returns the values of the metrics' variables, [replicas, ...] each.

    Each replica accumulates its own, which a total could not restore.
    """
    replicas = self._strategy.num_replicas_in_sync
    gathered = []
    for variable in self._model.metrics_variables:
      parts = np.zeros([replicas, *variable.shape], variable.dtype)
      for replica, part in zip(self._mine, self._parts(variable)):
        parts[replica] = part
      if len(self._mine) < replicas:
        # Each worker knows its own replicas only, and has zeros for the others.
        parts = self._strategy.reduce("SUM", tf.constant(parts), axis=None)
      gathered.append(np.asarray(parts))
    return gathered

  def set_metrics(self, metrics: Sequence[np.ndarray] | None) -> None:
    """Restores the metrics' variables; resets them if given None.

    Args:
      metrics: As returned by `metrics`. If the number of replicas has changed,
        the first replica gets their total.
    """
    self._model.reset_metrics()
    if metrics is None:
      return
    replicas = self._strategy.num_replicas_in_sync
    for variable, values in zip(
      self._model.metrics_variables, metrics, strict=True
    ):
      values = _for_replicas(values, replicas)
      for replica, part in zip(self._mine, self._parts(variable)):
        part.assign(values[replica])

  def _function(self, step):
    """Returns a function that takes a batch and makes a step with it."""

    def once(batches):
      self._strategy.run(step, args=(next(batches),))

    return tf.function(once, autograph=False, reduce_retracing=True)

  def _parts(self, variable):
    """Returns a metric's variable on each of this worker's replicas."""
    return getattr(variable.value, "values", [variable.value])

  def _distribute(self, batches, *transformations):
    """Returns distributed batches: every replica gets its share of the rows."""

    def of_worker(context):
      replicas = context.num_replicas_in_sync
      count = replicas // context.num_input_pipelines
      first = count * context.input_pipeline_id
      self._mine = range(first, first + count)
      shared = _share(batches, self._mine, replicas)
      for transformation in transformations:
        shared = shared.apply(transformation)
      return shared

    return self._strategy.distribute_datasets_from_function(of_worker)


def _share(batches, mine, replicas):
  """Returns the shares of one worker's replicas, in turn.

  Replica i of n gets the i-th n-th of every batch on any worker: two workers
  with one replica each compute the same as one worker with two.
  """
  if replicas == 1:
    return batches

  def share(batch, replica):
    def rows(values):
      size = values.shape[0] or tf.shape(values)[0]
      start, end = (n * size // replicas for n in (replica, replica + 1))
      return values[start:end]

    return tf.nest.map_structure(rows, batch)

  def shares(batch):
    return functools.reduce(
      tf.data.Dataset.concatenate,
      [tf.data.Dataset.from_tensors(share(batch, replica)) for replica in mine],
    )

  if len(mine) == 1:
    shared = batches.map(lambda batch: share(batch, mine[0]))
  else:
    shared = batches.flat_map(shares)
  return shared.prefetch(2)


def _for_replicas(part, replicas):
  if len(part) == replicas:
    return part
  first = np.sum(part, axis=0, keepdims=True)
  return np.concatenate([first] + [np.zeros_like(first)] * (replicas - 1))
