"""Tests of expressions, and of their requests."""

import itertools
import random

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.constraints import expressions
from lc_keras.constraints import requests

_FACES = attributes.Attributes(
  ("Bald", "Black_Hair", "Blond_Hair", "Smiling", "Age"),
  [["Bald", "Black_Hair", "Blond_Hair"]],
  continuous=["Age"],
)
_BALD, _BLACK, _BLOND, _SMILING, _AGE = map(expressions.Has, _FACES.names)


def _alternatives(expression):
  """Returns the alternatives of a request, in no particular order."""
  return {
    (tuple(values), tuple(weights))
    for values, weights in requests.Request(expression, _FACES).alternatives
  }


def _random_expression(generator, depth=3):
  """Returns an expression without attributes that exclude each other."""
  has = expressions.Has(generator.choice(("Bald", "Smiling", "Age")))
  if not depth:
    return has
  first, second = (_random_expression(generator, depth - 1) for _ in range(2))
  return generator.choice((has, ~first, first & second, first | second))


def _holds(expression, row):
  """Evaluates an expression by the definition of and, or and not."""
  match expression:
    case expressions.Has(name, value):
      return row[_FACES.index(name)] == value
    case expressions.And(parts):
      return all(_holds(part, row) for part in parts)
    case expressions.Or(parts):
      return any(_holds(part, row) for part in parts)


class ExpressionTest(tf.test.TestCase, parameterized.TestCase):
  def test_an_attribute_rules_out_what_it_excludes(self):
    (only,) = requests.Request(3 * _BLACK, _FACES).alternatives
    self.assertAllEqual(only.values, [0, 1, 0, 0, 0])
    self.assertAllEqual(only.weights, [3, 3, 3, 0, 0])
    self.assertEqual(only.values.dtype, np.float32)
    self.assertEqual(only.weights.dtype, np.float32)
    (only,) = requests.Request(~_BLACK, _FACES).alternatives
    self.assertAllEqual(only.values, [0, 0, 0, 0, 0])
    self.assertAllEqual(only.weights, [0, 1, 0, 0, 0])

  def test_the_largest_weight_counts(self):
    expression = _SMILING & 2 * _SMILING & 0.5 * ~_BALD & 4 * _BLOND
    (only,) = requests.Request(expression, _FACES).alternatives
    self.assertAllEqual(only.weights, [4, 4, 4, 2, 0])

  def test_an_attribute_may_be_asked_for_in_part(self):
    expression = expressions.Has("age", 0.7) & ~_SMILING
    (only,) = requests.Request(expression, _FACES).alternatives
    self.assertAllClose(only.values, [0, 0, 0, 0, 0.7])
    self.assertAllEqual(only.weights, [0, 0, 0, 1, 1])

  @parameterized.parameters(range(40))
  def test_alternatives_are_the_truth_table(self, seed):
    expression = _random_expression(random.Random(seed))
    true = [
      row
      for row in itertools.product((0.0, 1.0), repeat=5)
      if _holds(expression, row) and sum(row[:3]) <= 1
    ]
    if not true:
      with self.assertRaisesRegex(ValueError, "contradict"):
        requests.Request(expression, _FACES)
      return
    request = requests.Request(expression, _FACES)
    rows = list(itertools.product((0.0, 1.0), repeat=5))
    held = request.satisfied(tf.constant(rows)).numpy()
    # Bald excludes hair: some of the contradictory rows count.
    found = [row for row, holds in zip(rows, held) if holds]
    self.assertEqual([row for row in found if sum(row[:3]) <= 1], true)

  @parameterized.parameters(range(10))
  def test_de_morgan(self, seed):
    generator = random.Random(seed)
    first, second = (_random_expression(generator, 2) for _ in range(2))
    self.assertEqual(~(first & second), ~first | ~second)
    self.assertEqual(~(first | second), ~first & ~second)
    self.assertEqual(~~first, first)

  def test_order_and_repetition_do_not_matter(self):
    expression = (_SMILING | _BALD) & ~_AGE
    for same in (
      ~_AGE & (_BALD | _SMILING),
      expression & expression & ~_AGE,
      (_SMILING & ~_AGE) | (~_AGE & _BALD),
      expression | (expression & _BLACK),
      expression | expression,
    ):
      self.assertEqual(_alternatives(same), _alternatives(expression))

  def test_weights_scale(self):
    expression = (_SMILING | 2 * _BALD) & ~(_AGE | 0.5 * _BLOND)
    scaled = {
      (values, tuple(3 * weight for weight in weights))
      for values, weights in _alternatives(expression)
    }
    self.assertEqual(_alternatives(3 * expression), scaled)
    self.assertEqual(~(3 * expression), 3 * ~expression)

  def test_no_request_leaves_everything_open(self):
    nothing = requests.Request(expressions.And(), _FACES, 0.5)
    constraint = nothing.rows(2)
    self.assertAllEqual(constraint.mask, np.zeros([2, 5]))
    self.assertEqual(constraint.realism_weight, 0.5)
    self.assertAllEqual(nothing.satisfied(tf.zeros([3, 5])), [True] * 3)

  @parameterized.parameters(
    (_BALD & _BLOND, "Bald and Blond_Hair rule each other out"),
    (_SMILING & (_BLACK & ~_SMILING), "Smiling and not Smiling contradict"),
    (
      expressions.Has("Age", 0.2) & expressions.Has("Age", 0.7),
      "Age = 0.2 and Age = 0.7 contradict",
    ),
    ((_BALD | _BLACK) & _BLOND, "rule each other out"),
    (expressions.Or(()), "of nothing"),
    (_AGE & expressions.Has("Smilling"), "did you mean Smiling"),
    (expressions.Has("Smiling", 0.7), "Smiling is on or off"),
  )
  def test_refuses(self, expression, message):
    with self.assertRaisesRegex(ValueError, message):
      requests.Request(expression, _FACES)

  @parameterized.parameters(
    lambda a, b: a and b,
    lambda a, b: bool(a & b),
    lambda a, b: bool(a | b),
    lambda a, b: 0 < a < 1,
    lambda a, b: a >= 0.5,
    lambda a, b: a < b,
    lambda a, b: "Smiling" in a,
    lambda a, b: a & "Male",
    lambda a, b: a | True,
    lambda a, b: requests.Request(a == 0.7, _FACES),
    lambda a, b: requests.Request("Smiling", _FACES),
    lambda a, b: requests.Request(expressions.And((a, 1)), _FACES),
  )
  def test_python_s_own_words_raise_and_name_the_operators(self, write):
    with self.assertRaisesRegex(TypeError, r"& \| ~ \(a & b, a \| b, ~a\)"):
      write(_SMILING, _AGE)

  @parameterized.parameters(0.0, -1.0, float("nan"), float("inf"))
  def test_refuses_weights(self, weight):
    with self.assertRaisesRegex(ValueError, "weight must be above 0"):
      weight * _SMILING
    with self.assertRaisesRegex(ValueError, "weight must be above 0"):
      requests.Request(_SMILING, _FACES, weight)

  @parameterized.parameters(-0.1, 1.1, float("nan"))
  def test_refuses_values(self, value):
    with self.assertRaisesRegex(ValueError, r"must be in \[0, 1\]"):
      expressions.Has("Age", value)

  def test_a_part_has_no_opposite(self):
    with self.assertRaisesRegex(ValueError, "not Age = 0.7"):
      ~(_SMILING & expressions.Has("Age", 0.7))

  def test_contradictory_alternatives_are_dropped(self):
    expression = (_BALD | _SMILING) & _BLOND
    self.assertEqual(
      _alternatives(expression), _alternatives(_SMILING & _BLOND)
    )

  def test_the_number_of_alternatives_is_bounded(self):
    many = attributes.Attributes([f"Attribute_{i}" for i in range(14)])
    parts = [expressions.Has(name) for name in many.names]
    pairs = [a | b for a, b in zip(parts[::2], parts[1::2])]
    six = requests.Request(expressions.And(tuple(pairs[:6])), many)
    self.assertLen(six.alternatives, 64)
    with self.assertRaisesRegex(ValueError, "at most 64"):
      requests.Request(expressions.And(tuple(pairs)), many)


class ConstraintsTest(tf.test.TestCase):
  """Tests of the constraints of an expression."""

  def test_rows_take_turns(self):
    expression = requests.Request(_BALD | 2 * _SMILING, _FACES, 0.25)
    constraint = expression.rows(3)
    self.assertAllEqual(
      constraint.values, [[1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]]
    )
    self.assertAllEqual(
      constraint.weights, [[1, 1, 1, 0, 0], [0, 0, 0, 2, 0], [1, 1, 1, 0, 0]]
    )
    self.assertEqual(constraint.realism_weight, 0.25)
    self.assertAllEqual(expression.rows(0).values.shape, [0, 5])

  def test_nearest_changes_least(self):
    expression = requests.Request(_BALD | _SMILING, _FACES)
    bald, smiling = expression.alternatives
    now = tf.constant(
      [
        [1, 0, 0, 0, 0],  # Bald already.
        [0, 0, 0, 1, 0],  # Smiles already.
        [0, 1, 0, 0, 0],  # Smiling is one change, Bald are two.
        [0.9, 0, 0, 0.2, 0],
      ],
      tf.float32,
    )
    constraint = expression.nearest(now)
    nearest = [bald, smiling, smiling, bald]
    self.assertAllEqual(constraint.values, [row.values for row in nearest])
    self.assertAllEqual(constraint.weights, [row.weights for row in nearest])
    self.assertAllEqual(expression.nearest(now[:0]).values.shape, [0, 5])

  def test_nearest_heeds_weights(self):
    now = tf.zeros([1, 5])
    for expression, column in (
      (3 * _SMILING | _AGE, 4),
      (_SMILING | 3 * _AGE, 3),
    ):
      nearest = requests.Request(expression, _FACES).nearest(now)
      self.assertAllEqual(nearest.mask[0], np.eye(5)[column])

  def test_satisfied_by_any_alternative(self):
    expression = requests.Request(_BALD | _SMILING, _FACES)
    probabilities = tf.constant(
      [
        [0.9, 0.1, 0.1, 0.1, 0.5],
        [0.1, 0.9, 0.1, 0.9, 0.5],
        [0.1, 0.9, 0.1, 0.1, 0.5],
        [0.9, 0.9, 0.1, 0.1, 0.5],  # Bald, but with black hair.
        [0.6, 0.1, 0.1, 0.1, 0.5],
      ]
    )
    self.assertAllEqual(
      expression.satisfied(probabilities), [True, True, False, False, True]
    )
    self.assertAllEqual(
      expression.satisfied(probabilities, 0.2), [True, True] + [False] * 3
    )
