import itertools

import numpy as np
from absl.testing import absltest

from lc_keras.constraints import attributes as attributes
from lc_keras.evaluation import combinations

_ATTRIBUTES = attributes.Attributes(
  ["Bald", "Black", "Blond", "Male", "Hat"], [["Bald", "Black", "Blond"]]
)
# The last row has hair of an unnamed colour.
_SEEN = np.array(
  [[1, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 1]]
)


def _legal():
  rows = np.array(list(itertools.product([0, 1], repeat=5)))
  return rows[rows[:, :3].sum(axis=1) < 2]


class UnseenTest(absltest.TestCase):
  def test_is_new_legal_and_one_request_away(self):
    found = combinations.unseen(_SEEN, _ATTRIBUTES, 200)
    self.assertEqual((found.shape, found.dtype), ((200, 5), np.float32))
    near = np.concatenate(
      [
        _ATTRIBUTES.request(_SEEN, name, on)[0]
        for name in _ATTRIBUTES.names
        for on in (True, False)
      ]
    )
    seen, near, legal = (
      set(map(tuple, rows)) for rows in (_SEEN, near, _legal())
    )
    self.assertEqual(set(map(tuple, found)), (near - seen) & legal)

  def test_repeats_only_when_all_have_come(self):
    found = combinations.unseen(_SEEN, _ATTRIBUTES, 500)
    _, counts = np.unique(found, axis=0, return_counts=True)
    self.assertLessEqual(counts.max() - counts.min(), 1)
    again, other = (
      combinations.unseen(_SEEN, _ATTRIBUTES, 500, seed) for seed in (0, 1)
    )
    np.testing.assert_array_equal(found, again)
    self.assertFalse(np.array_equal(found, other))
    self.assertIsNone(combinations.unseen(_legal(), _ATTRIBUTES, 3))
    # Contradictions in the training labels are not returned.
    seen = np.concatenate([_SEEN, [[1, 1, 0, 0, 0]]])
    found = combinations.unseen(seen, _ATTRIBUTES, 500)
    self.assertLess(found[:, :3].sum(axis=1).max(), 2)

  def test_what_always_has_one_of_a_group_does_not_lose_it(self):
    seen = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 1, 0]], np.float32)
    found = combinations.unseen(seen, _ATTRIBUTES, 100)
    np.testing.assert_array_equal(found[:, :3].sum(axis=1), np.ones(100))
    classes = attributes.Attributes(_ATTRIBUTES.names, [_ATTRIBUTES.names])
    self.assertIsNone(combinations.unseen(np.eye(5), classes, 3))
