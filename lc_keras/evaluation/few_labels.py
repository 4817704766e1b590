"""What a constraint learnt from a few labels is worth: the protocol of one.

Samples with and without it, and edits both ways, are read by a classifier that
was trained on all labels; another one says what else the edits changed.
"""

from collections.abc import Callable

import numpy as np

from lc_keras.constraints.attributes import Attributes
from lc_keras.evaluation import judge as judge_lib
from lc_keras.evaluation import scores
from lc_keras.evaluation import transformations


class Protocol:
  """Held-out images, and who reads what is made of them.

  Attributes:
    images: [n, height, width, channels] in [0, 1].
  """

  def __init__(
    self,
    images: np.ndarray,
    labels: np.ndarray,
    attributes: Attributes,
    judge: judge_lib.Judge,
    new_judge: judge_lib.Judge,
  ):
    """Creates the protocol.

    Args:
      images: [n, height, width, channels] in [0, 1], held out.
      labels: [n, K] in {0, 1}, of what was known before.
      attributes: What that is.
      judge: Reads it.
      new_judge: Reads what constraints are about, a column each.
    """
    self.images = images
    self._labels = labels
    self._attributes = attributes
    self._judge = judge
    self._new_judge = new_judge

  def score(
    self, name: str, column: int, images: np.ndarray, labels: np.ndarray
  ) -> dict:
    """Scores images that should show something, or not.

    Args:
      name: What it is called in the result.
      column: Of `new_judge`.
      images: [m, height, width, channels] in [0, 1].
      labels: [m] in {0, 1}.

    Returns:
      See `scores.attribute_scores`.
    """
    read = self._new_judge.probabilities(images)[:, [column]]
    return scores.attribute_scores(read, labels[:, np.newaxis], [name])

  def edits(
    self,
    name: str,
    column: int,
    labels: np.ndarray,
    reconstruct: Callable[[np.ndarray], np.ndarray],
    transform: Callable[[np.ndarray, bool], np.ndarray],
    rows: int,
  ) -> dict:
    """Scores a constraint switched on where an image lacks it, and off.

    Args:
      name: What it is called in the result.
      column: Of `new_judge`.
      labels: [n] in {0, 1}, of the held-out images.
      reconstruct: Images to images, without any change.
      transform: Images and whether the constraint is wanted, to images.
      rows: Edits each way.

    Returns:
      See `transformations.table`.
    """

    def classify(images):
      new = self._new_judge.probabilities(images)[:, [column]]
      return np.concatenate([self._judge.probabilities(images), new], axis=1)

    return transformations.table(
      self.images,
      np.concatenate([self._labels, labels[:, np.newaxis]], axis=1),
      self._attributes.extended([name]),
      reconstruct,
      lambda images, targets, mask: transform(images, bool(targets[0, -1])),
      classify,
      self._judge.features,
      rows=rows,
      switched=[name],
    )
