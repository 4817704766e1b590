"""Tests of attributes."""

import itertools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.constraints import completion

_NAMES = ("Bald", "Black_Hair", "Blond_Hair", "Eyeglasses", "Smiling")
_BLACK, _SMILING = 1, 4


def _faces():
  return attributes.Attributes(_NAMES, [["Bald", "Black_Hair", "Blond_Hair"]])


class AttributesTest(tf.test.TestCase, parameterized.TestCase):
  def test_names_keep_their_order(self):
    self.assertEqual(_faces().names, _NAMES)
    self.assertLen(_faces(), 5)
    for column, name in enumerate(_NAMES):
      self.assertEqual(_faces().index(name), column)
    for name in ("black hair", " BLACK_  hair "):
      self.assertEqual(_faces().index(name), _BLACK)

  def test_excludes_each_other_and_never_themselves(self):
    expected = np.zeros([5, 5])
    expected[:3, :3] = 1 - np.eye(3)
    self.assertAllEqual(_faces().excludes, expected)
    self.assertEqual(_faces().excludes.dtype, np.float32)

  def test_a_subset_keeps_its_groups(self):
    subset = attributes.Attributes(
      ("Blond_Hair", "Smiling", "Bald"),
      [["Bald", "Black_Hair", "Blond_Hair"], ["Smiling", "Sad"]],
    )
    self.assertEqual(subset.exclusive, (("Bald", "Blond_Hair"),))
    self.assertAllEqual(subset.excludes, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])

  def test_what_goes_frees_its_place(self):
    own = np.array([[0, 1, 0, 1, 0]] * 4, np.float32)
    values = np.zeros_like(own)
    mask = np.zeros_like(own)
    mask[1, 1] = 1  # Not black: any other colour, or bald, is allowed.
    mask[2, 2] = 1  # There is no blond hair that could go.
    mask[3, :2] = 1  # Neither black nor bald: that leaves blond.
    freed = completion.freed(_faces(), own, values, mask)
    self.assertAllEqual(
      freed,
      [[0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]],
    )
    # A request that an attribute stays on frees no other.
    self.assertAllEqual(
      completion.freed(_faces(), own, own, mask), np.zeros_like(own)
    )

  @parameterized.parameters(
    (("realism",), "'realism' is a word of the language of requests"),
    (("Smiling", "AND"), "'AND' is a word"),
    (("Young", "Not_Young"), "'Not_Young' is also a request for other attri"),
    (("not a", "b", "A"), "'not a' is also a request"),
    (("A", "B", "A or not B"), "'A or not B' is also a request"),
    (("A", "B", "a, B"), "'a, B' is also a request"),
    (("A", ""), "not blank; got ''"),
    ((1, 2), "not blank; got 1"),
    ((None,), "not blank; got None"),
    (("B", "A", "a "), "must differ in more than case.*got 'A' and 'a '"),
    (("No_Beard", "Bald", "no beard"), "must differ"),
  )
  def test_names_that_requests_cannot_spell_are_refused(self, names, message):
    with self.assertRaisesRegex(ValueError, message):
      attributes.Attributes(names)

  def test_a_new_attribute_needs_a_new_name(self):
    self.assertEqual(_faces().extended(["Hat"]).names, (*_NAMES, "Hat"))
    for name in ("Bald", " black hair"):
      with self.assertRaisesRegex(
        ValueError, "is an attribute 'B.*' already. Request it .* another name"
      ):
        _faces().extended(["Hat", name])

  @parameterized.parameters(
    ("Not_Young", "Old"), ("Black or Brown", "Black"), ("Sand", "A,B", "A")
  )
  def test_words_of_the_language_may_stand_in_names(self, *names):
    self.assertEqual(attributes.Attributes(names).names, names)

  def test_continuous_ones_keep_their_order(self):
    given = attributes.Attributes(_NAMES, continuous=["Smiling", "X", "Bald"])
    self.assertEqual(given.continuous, ("Bald", "Smiling"))
    self.assertEqual(_faces().continuous, ())

  @parameterized.parameters(
    ("Smilling", "did you mean Smiling"),
    ("Hair", "Black_Hair"),
    ("glasses", "Eyeglasses"),
    ("zzz", "choose one of Bald, Black_Hair"),
  )
  def test_a_misspelt_name_is_answered_with_the_nearest(self, name, message):
    with self.assertRaisesRegex(ValueError, f"(?s){name}.*{message}"):
      _faces().index(name)


class RequestTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.labels = np.array(
      [[0, 1, 0, 0, 1], [1, 0, 0, 1, 0], [0, 0, 0, 1, 1]], np.float32
    )

  def test_switches_on_and_off_what_that_rules_out(self):
    before = self.labels.copy()
    for name, on, expected, about in (
      (
        "Blond_Hair",
        True,
        [[0, 0, 1, 0, 1], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]],
        [True, True, True, False, False],
      ),
      (
        "Black_Hair",
        False,
        [[0, 0, 0, 0, 1], [1, 0, 0, 1, 0], [0, 0, 0, 1, 1]],
        np.arange(5) == _BLACK,
      ),
      (
        "Smiling",
        True,
        [[0, 1, 0, 0, 1], [1, 0, 0, 1, 1], [0, 0, 0, 1, 1]],
        np.arange(5) == _SMILING,
      ),
    ):
      targets, asked = _faces().request(self.labels, name, on)
      self.assertAllEqual(targets, expected)
      self.assertAllEqual(asked, about)
      self.assertEqual(targets.dtype, np.float32)
    self.assertAllEqual(self.labels, before)


class CompleteTest(tf.test.TestCase):
  def test_agrees_with_request(self):
    faces = _faces()
    # Every row of labels that does not contradict itself.
    rows = [
      row
      for row in itertools.product([0.0, 1.0], repeat=5)
      if sum(row[:3]) <= 1
    ]
    own = np.array(rows, np.float32)
    for name, on in itertools.product(_NAMES, [True, False]):
      with self.subTest(name=name, on=on):
        targets, asked = faces.request(own, name, on)
        mask = np.zeros_like(own)
        mask[:, faces.index(name)] = 1.0
        values = np.full_like(own, float(on))
        # The attribute alone, or with those it excludes, as in served requests.
        self.assertAllEqual(
          completion.complete(faces, own, values, mask), targets
        )
        wide = np.broadcast_to(asked, own.shape).astype(np.float32)
        self.assertAllEqual(
          completion.complete(faces, own, targets, wide), targets
        )

  def test_what_is_asked_for_wins_over_what_is_ruled_out(self):
    # Callers refuse contradictions; requested values are not changed here.
    own = np.array([[0, 0, 1, 0, 0], [0, 1, 0, 1, 1]], np.float32)
    values = np.array([[1, 1, 0, 0, 0], [0] * 5], np.float32)
    # The second row requests nothing and stays as it is.
    self.assertAllEqual(
      completion.complete(_faces(), own, values, values),
      [[1, 1, 0, 0, 0], [0, 1, 0, 1, 1]],
    )


class LikelyTest(tf.test.TestCase):
  def test_only_the_most_probable_of_a_group_is_on(self):
    logits = [
      [1.0, 2.0, -1.0, -1.0, 3.0],
      [-3.0, -2.0, -1.0, 1.0, -1.0],
      # In float32, the probabilities of all of these are 1.
      [30.0, 40.0, 50.0, -50.0, -50.0],
      [0.0, 0.0, 0.0, 0.0, 0.0],
    ]
    self.assertAllEqual(
      completion.likely(_faces(), tf.constant(logits)),
      [[0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0] * 5],
    )
