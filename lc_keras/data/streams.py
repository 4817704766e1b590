"""Tuning and shuffling of tf.data pipelines."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Returns a dataset that TensorFlow does not tune while it runs.

  For `tf.data.Dataset.apply`, at the end of a pipeline: datasets built on it
  are not tuned either. TensorFlow's tuning thread wakes after 10 ms and then at
  intervals that double. Destroying the iterator waits for this thread, which in
  half of the passes misses the signal to stop and sleeps on (TensorFlow 2.21):
  a pass then takes up to twice its time, at most a minute more.

  AUTOTUNE then means one parallel call per core, at most 16.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.with_options(options)


def shuffled_without_end(
  examples: tf.data.Dataset,
  seed: int,
  shuffle_buffer: int,
  start: int = 0,
  count: int = 1,
) -> tf.data.Dataset:
  """Repeats examples without end, each epoch shuffled by a seed of its own.

  Args:
    examples: One epoch.
    seed: Seed of the whole order.
    shuffle_buffer: Number of examples among which the next one is drawn.
    start: Number of examples to skip. Epochs that are skipped entirely are not
      read.
    count: Number of examples in an epoch; needed if `start` is not 0.

  >>> import tensorflow as tf
  >>> from lc_keras.data import streams
  >>> numbers = streams.shuffled_without_end(tf.data.Dataset.range(5), 0, 5)
  >>> sorted(int(number) for number in numbers.take(5))
  [0, 1, 2, 3, 4]
  """
  first, used = divmod(start, count)

  def epoch(number):
    # Sets the seed of this graph only; without it, the order would depend on
    # the global seed. Odd, because `shuffle` takes no tensor if this is 0.
    tf.random.set_seed(2 * seed + 1)
    order = examples.shuffle(shuffle_buffer, seed=number)
    return order.skip(tf.where(number == first, tf.cast(used, tf.int64), 0))

  return tf.data.Dataset.counter(first).flat_map(epoch)
