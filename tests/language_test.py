"""Tests of the language of constraints."""

import random

from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.constraints import expressions
from lc_keras.constraints import requests

# Names as in data sets, and difficult ones: with words of the language, digits,
# and characters that end names or patterns elsewhere.
_NAMES = (
  "Bald",
  "Blond_Hair",
  "Smiling",
  "Male",
  "5_o_Clock_Shadow",
  "Shirt",
  "T-shirt/top",
  "Ankle boot",
  "Black or Brown",
  "Not_Young",
  "Mouth (open), wide",
  "3",
  "Qu\"o'te\\",
  "Age",
)
_ALL = attributes.Attributes(_NAMES, [["Bald", "Blond_Hair"]], ["Age"])


def _targets(text):
  """Returns alternatives as {name: (value, weight)}."""
  return [
    {
      name: (value, weight)
      for name, value, weight in zip(_NAMES, values.tolist(), weights.tolist())
      if weight
    }
    for values, weights in requests.parse(text, _ALL).alternatives
  ]


def _random_expression(generator, depth=3):
  if not depth or generator.random() < 0.2:
    name = generator.choice(_NAMES)
    parts = (0.25, 1 / 3, 1e-7) if name == "Age" else (0.0, 1.0)
    value, weight = generator.choice(parts), generator.choice((1.0, 0.1, 3e9))
    return expressions.Has(name, value, weight)
  parts = tuple(_random_expression(generator, depth - 1) for _ in range(2))
  return generator.choice((expressions.And, expressions.Or))(parts)


class LanguageTest(parameterized.TestCase):
  @parameterized.parameters(*_NAMES)
  def test_every_name(self, name):
    for text in (
      name,
      f"  {name.upper()}",
      name.lower().replace("_", " "),
      name.replace(" ", "_ "),
    ):
      with self.subTest(text):
        for context, value, weight in (
          ("{}", 1.0, 1.0),
          ("not {},", 0.0, 1.0),
          ("NOT({})", 0.0, 1.0),
          ("2*{}", 1.0, 2.0),
          ("{} = 0", 0.0, 1.0),
          ("{}=1.0 and not not {}", 1.0, 1.0),
        ):
          (targets,) = _targets(context.replace("{}", text))
          self.assertEqual(targets[name], (value, weight))

  @parameterized.parameters(
    ("Smiling, Shirt, not Male", "Smiling and Shirt and not Male"),
    # A comma separates expressions; within one, `and` goes before `or`.
    ("Smiling, Male or Shirt", "Smiling and (Male or Shirt)"),
    ("Smiling or Male and Shirt", "Smiling or (Male and Shirt)"),
    ("not Smiling and Male", "(not Smiling) and Male"),
    ("not Smiling or Male", "(not Smiling) or Male"),
    ("2 * Smiling and Male", "(2 * Smiling), Male"),
    ("2 * not 3 * Smiling", "not 6 * Smiling"),
    ("2 * (Smiling, 3 * Male)", "2 * Smiling, 6 * Male"),
    ("not (Smiling, Male)", "not Smiling or not Male"),
    ("not (Smiling or Male)", "not Smiling, not Male"),
    ("1.5e1 * 3, 3", "15. * 3"),
    ("Smiling,\n  Male,\n", "sMILING AND mALE"),
  )
  def test_the_same_in_other_words(self, text, same):
    self.assertEqual(_targets(text), _targets(same))

  def test_alternatives(self):
    self.assertEqual(
      _targets("Blond hair or black or brown"),
      [
        {"Bald": (0.0, 1.0), "Blond_Hair": (1.0, 1.0)},
        {"Black or Brown": (1.0, 1.0)},
      ],
    )

  def test_continuous(self):
    (targets,) = _targets("Age = 0.25, 2 * Shirt")
    self.assertEqual(targets, {"Age": (0.25, 1.0), "Shirt": (1.0, 2.0)})

  @parameterized.parameters(
    ("Smiling", 1.0),
    ("Smiling, realism", 1.0),
    ("0.5 * Realism, Smiling", 0.5),
    ("Smiling, 3*realism, Male", 3.0),
  )
  def test_realism(self, text, weight):
    expression = requests.parse(text, _ALL)
    self.assertEqual(expression.realism_weight, weight)
    self.assertEqual(expression.rows(1).mask[0][2], 1.0)

  def test_realism_alone_asks_for_nothing(self):
    self.assertEqual(_targets("realism"), [{}])

  @parameterized.parameters(range(50))
  def test_what_is_printed_reads_the_same(self, seed):
    expression = _random_expression(random.Random(seed))
    try:
      expected = requests.Request(expression, _ALL)
    except ValueError:
      with self.assertRaises(ValueError):
        requests.parse(str(expression), _ALL)
      return
    read = requests.parse(str(expression), _ALL)
    for own, other in zip(
      expected.alternatives, read.alternatives, strict=True
    ):
      self.assertEqual(own.values.tolist(), other.values.tolist())
      self.assertEqual(own.weights.tolist(), other.weights.tolist())

  @parameterized.parameters(
    ("Smiling,, Male", 8),
    ("Smiling or", 10),
    ("(Smiling", 8),
    ("Smiling)", 7),
    ("Smiling not Male", 8),
    ("Smiling & Male", 8),
    ("Smiling > 0.5", 8),
    ("Smiling = -1", 8),
    ("or Smiling", 0),
    ("Male\nand , Shirt", 9),
    ("(Smiling, realism)", 10),
    ("Smiling and realism", 12),
    ("not realism", 4),
  )
  def test_points_at_the_mistake(self, text, position):
    with self.assertRaises(ValueError) as caught:
      requests.parse(text, _ALL)
    _, _, caret, example = str(caught.exception).split("\n")
    self.assertEqual(caret.index("^") - 2, position)
    requests.parse(example.split('"')[1], _ALL)

  @parameterized.parameters(
    ("Smilling, not Male", "'Smilling': did you mean Smiling"),
    ("blond hare", "'blond hare': did you mean Blond_Hair"),
    ("5 o clock shadw", "did you mean 5_o_Clock_Shadow"),
    ("Smiling Male", "'Smiling Male': did you mean"),
    ("Shirtand Male", "'Shirtand Male': did you mean"),
    ("2 Smiling", "did you mean Smiling"),
    ("", "is empty. Write, for example"),
    (" ", "is empty. Write, for example"),
    ("not Age = 0.7", "say what it should be instead"),
    ("0 * realism", "above 0"),
    ("realism, 2 * realism", "more than once"),
  )
  def test_refuses(self, text, message):
    with self.assertRaisesRegex(ValueError, message):
      requests.parse(text, _ALL)

  def test_the_example_of_a_single_attribute(self):
    with self.assertRaisesRegex(ValueError, '"Smiling"'):
      requests.parse("", attributes.Attributes(["Smiling"]))
