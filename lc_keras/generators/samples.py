"""Mappings given by samples: an array of latents, or a file of one (.npy).

For a prior that is known by samples only, such as the latents of encoded
images.
"""

import os

import numpy as np
import tensorflow as tf

from lc_keras.generators import part


def accepts(model) -> bool:
  """Says whether a model is of this kind."""
  return isinstance(model, np.ndarray)


def opens(path: str) -> bool:
  """Says whether a file is of this kind."""
  return os.path.isfile(path) and path.endswith(".npy")


def load(path: str, place):
  """Opens a file; runs no code that it holds."""
  del place
  return np.load(path, allow_pickle=False)


def wrap(model: np.ndarray, direction: str, place) -> part.Part:
  """Returns a mapping from a draw of N(0, 1) to a row, all equally likely.

  Args:
    model: [n, ...], draws.
    direction: "map".
    place: Not used.

  Raises:
    ValueError: The array is not a set of draws, or the direction is not "map".
  """
  del place
  if direction != "map" or model.ndim < 2 or len(model) < 2:
    raise ValueError(
      "An array can only be a prior, at least two draws [n, latent_size]; got "
      f"one of shape {list(model.shape)} to {direction}."
    )
  rows = tf.constant(model, tf.float32)

  def run(noise):
    share = 0.5 * (1.0 + tf.math.erf(tf.cast(noise[:, 0], tf.float64) / 2**0.5))
    place = tf.cast(share * len(model), tf.int32)
    return tf.gather(rows, tf.minimum(place, len(model) - 1))

  inputs = {"noise": tf.TensorSpec([None, 1], tf.float32)}
  return part.Part(run, inputs, resource=model)
