"""How the tf.data pipelines of this library run."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Returns a dataset that TensorFlow does not tune while it runs.

  For `tf.data.Dataset.apply`, where a pipeline begins: what is built on it is
  not tuned either. TensorFlow's tuning
  looks at a pipeline after 10 ms and again each time twice as late. Whoever
  ends the iterator waits for it, and in half of the passes its thread misses
  that it is to end and sleeps on (2.21): a pass then takes up to twice its
  time, at most a minute more (benchmarks/pass_end.py).

  What AUTOTUNE stands for is then fixed: as many calls at once as there are
  cores, 16 at most.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.with_options(options)
