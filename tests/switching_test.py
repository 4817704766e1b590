"""Tests of switching."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.models import switching

_FACES = attributes.Attributes(
  ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling"),
  [("Bald", "Black_Hair", "Blond_Hair")],
)
_OWN = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [0, 1, 0, 1, 0]], np.float32)


class SwitchingTest(tf.test.TestCase, parameterized.TestCase):
  def test_switching_on_rules_out(self):
    switched, about = switching.switch(_OWN, [0, 4, 1], _FACES.excludes)
    self.assertAllEqual(
      switched, [[1, 0, 0, 0, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 0]]
    )
    # The last row loses its black hair, which excludes nothing.
    self.assertAllEqual(
      about, [[1, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 0]]
    )

  def test_agrees_with_attributes(self):
    for column, name in enumerate(_FACES.names):
      focus = [column] * len(_OWN)
      switched, about = switching.switch(_OWN, focus, _FACES.excludes)
      for row, own in enumerate(_OWN):
        on = not own[column]
        target, asked = _FACES.request(own[np.newaxis], name, on)
        self.assertAllEqual(switched[row], target[0], (name, row))
        self.assertAllEqual(about[row], asked, (name, row))

  @parameterized.parameters(0.0, 0.5, 1.0)
  def test_opens_some(self, fraction):
    about = np.tile(np.eye(5, dtype=np.float32), [400, 1])
    mask = switching.random_mask(about, fraction, (1, 2)).numpy()
    self.assertContainsSubset(set(mask.flat), {0.0, 1.0})
    self.assertAllEqual(mask[about > 0], np.ones(2000))
    everything = mask.all(axis=1).mean()
    # Of the rows that may leave attributes open, a fifth leave none open.
    self.assertAllClose(everything, 1.0 - 0.8 * fraction, atol=0.05)
    if fraction == 1.0:
      # Requests for one attribute and for all are equally frequent.
      counts = np.bincount(mask.sum(axis=1).astype(int), minlength=6)[1:]
      self.assertAllClose(counts / 2000, np.full(5, 0.2), atol=0.05)
