"""The moving average of a network's weights, used in place of the network."""

from collections.abc import Callable

import keras
import tensorflow as tf


def pair(
  make: Callable[[str], keras.layers.Layer], name: str
) -> tuple[keras.layers.Layer, keras.layers.Layer]:
  """Makes a network that is trained, and one that averages its weights.

  Args:
    make: Makes a network with a given name.
    name: Name of the average; the trained network's is "trained_" and this.

  Returns:
    The average, not trainable and equal to the other, and the trained network.
  """
  average, trained = make(name), make(f"trained_{name}")
  average.trainable = False
  average.set_weights(trained.get_weights())
  return average, trained


def update(
  average: keras.Model, network: keras.Model, updates: tf.Tensor, decay: float
) -> None:
  """Moves the weights of `average` towards those of `network`.

  Args:
    average: The network to use after training; not trained itself.
    network: The network that an optimiser has just updated; of the same
      layers.
    updates: Scalar, the number of updates made so far.
    decay: Weight of the old average, in [0, 1].
  """
  updates = tf.cast(updates, tf.float32)
  # Young averages forget faster, or they would remember the initialisation.
  decay = tf.minimum(decay, updates / (updates + 9.0))
  for mean, new in zip(average.weights, network.weights):
    # The networks may share weights that are not trained.
    if new.trainable:
      mean.assign(decay * mean + (1.0 - decay) * new)
