"""The moving average of a network's weights, used in place of the network."""

import keras
import tensorflow as tf


def update(
  average: keras.Model, network: keras.Model, updates: tf.Tensor, decay: float
) -> None:
  """Moves the weights of `average` towards those of `network`.

  Args:
    average: What is used after training; not trained itself.
    network: What an optimiser has just updated; made of the same layers.
    updates: Scalar, the number of updates made so far.
    decay: Weight of the old average, in [0, 1].
  """
  updates = tf.cast(updates, tf.float32)
  # Young averages forget faster, or they would remember the initialisation.
  decay = tf.minimum(decay, updates / (updates + 9.0))
  for mean, new in zip(average.weights, network.weights):
    # What is not trained, both may share.
    if new.trainable:
      mean.assign(decay * mean + (1.0 - decay) * new)
