"""Makes the steps of a training and validates, on one replica or on many.

Keras's `fit` does the same, to the bit, but not under
MultiWorkerMirroredStrategy. What happens in a step is the model's own
`train_step`, as there.
"""

import functools
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf


class Loop:
  """Steps of a compiled model, under the strategy that it was made under.

  Every worker of a strategy calls the same methods in the same order.
  """

  def __init__(self, model: keras.Model, batches: tf.data.Dataset):
    """Makes no step yet.

    Args:
      model: Built and compiled, with every optimiser built.
      batches: To train on, without end. Rows of a batch are shared out among
        the replicas, so that their number must be a multiple of the replicas';
        every worker gives the same batches.
    """
    self._model = model
    self._strategy = model.distribute_strategy
    self._mine = range(0)
    # Or the workers would ask each other, at every step, who has data left.
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
    """Validates, from zeroed metrics on; yields after every batch.

    Args:
      batches: Rows of a batch, which may be any number, are shared out.
    """
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
    """Returns the sums of the metrics so far, [replicas, ...] each.

    Each replica has sums of its own, which a total could not give back.
    """
    replicas = self._strategy.num_replicas_in_sync
    gathered = []
    for variable in self._model.metrics_variables:
      parts = np.zeros([replicas, *variable.shape], variable.dtype)
      for replica, part in zip(self._mine, self._parts(variable)):
        parts[replica] = part
      if len(self._mine) < replicas:
        # Of the others, each worker knows nothing: the sum is all they know.
        parts = self._strategy.reduce("SUM", tf.constant(parts), axis=None)
      gathered.append(np.asarray(parts))
    return gathered

  def set_metrics(self, metrics: Sequence[np.ndarray] | None) -> None:
    """Has the metrics go on from some sums; zeroes them if there are none.

    Args:
      metrics: Returned by `metrics`. If there were another number of replicas,
        the first one of now goes on from their total.
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
    """Returns a metric's variable, of each of this worker's replicas."""
    return getattr(variable.value, "values", [variable.value])

  def _distribute(self, batches, *transformations):
    """Returns batches of which every replica gets its share."""

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

  Replica i of n gets the i-th n-th of every batch, on whatever worker it is:
  two workers of one replica each then do what one worker of two would.
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
