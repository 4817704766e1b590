"""The pixel classifier as a judge: attributes and features of images."""

import numpy as np
import tensorflow as tf

from lc_keras import batched

_BATCH_SIZE = 128


class Judge:
  """Reads images: attributes, and the features in which they are compared."""

  def __init__(self, classifier):
    """Creates a judge from a `PixelClassifier`.

    Args:
      classifier: A model with `logits_and_features(images)`.
    """

    def read(images):
      logits, features = classifier.logits_and_features(images)
      return {"features": features, "probabilities": tf.sigmoid(logits)}

    self._read = batched.Batched(read, _BATCH_SIZE)
    self._images = self._seen = None

  def probabilities(self, images: np.ndarray) -> np.ndarray:
    """Returns the probabilities of the attributes, [n, num_attributes].

    Args:
      images: [n, height, width, channels] in [0, 1].
    """
    return self._of(images)["probabilities"]

  def features(self, images: np.ndarray) -> np.ndarray:
    """Returns the features of images, [n, d]."""
    return self._of(images)["features"]

  def _of(self, images):
    # Callers ask for both of the same images: one pass is enough.
    if images is not self._images:
      self._images, self._seen = images, self._read(images)
    return self._seen


class Extended:
  """A judge that reads one more attribute by a classifier of its own."""

  def __init__(self, judge: Judge, other: Judge, column: int):
    """Creates the judge.

    Args:
      judge: Reads all attributes but the last; features are its own.
      other: Reads the last one.
      column: Column of the last attribute in the readings of `other`.
    """
    self._judge = judge
    self._other = other
    self._column = column
    self.features = judge.features

  def probabilities(self, images: np.ndarray) -> np.ndarray:
    """Returns the probabilities of all, [n, num_attributes + 1]."""
    last = self._other.probabilities(images)[:, [self._column]]
    return np.concatenate([self._judge.probabilities(images), last], axis=1)
