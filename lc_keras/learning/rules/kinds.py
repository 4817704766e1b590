"""The kinds of rules: a function, a classifier, example pictures, a sentence.

A kind is a module with SETTINGS, the names of the settings that it uses, and
two functions, `accepts(settings)` and `make(settings, parts)`, which returns a
`functions.Scorer`. A new kind is such a module and a line in this table; the
first kind that accepts some settings makes the rule.
"""

import dataclasses
import types

from lc_keras import recipes
from lc_keras.constraints import rule as rules
from lc_keras.generators import generator as generators
from lc_keras.learning.rules import classifier
from lc_keras.learning.rules import function
from lc_keras.learning.rules import pictures
from lc_keras.learning.rules import sentence

KINDS: dict[str, types.ModuleType] = {
  "pictures": pictures,
  "sentence": sentence,
  "classifier": classifier,
  "function": function,
}
_OF_ALL = ("threshold", "target_range")


def make(settings: recipes.Rule, parts) -> rules.Rule:
  """Makes a rule.

  Args:
    settings: The settings.
    parts: `parts.Parts` of the generator whose images it scores.

  Raises:
    ValueError: The settings are not of exactly one kind, or the rule cannot be
      opened; the message says what is missing.
  """
  said = {
    field.name
    for field in dataclasses.fields(settings)
    if getattr(settings, field.name) is not None
  }
  if isinstance(settings.rule, rules.Rule):
    _check(said - {"rule"}, "a lc_keras.Rule, which has its own settings")
    return settings.rule
  for name, kind in KINDS.items():
    if kind.accepts(settings):
      _check(said - {*kind.SETTINGS, *_OF_ALL}, f"a rule of the kind {name}")
      return rules.Rule(
        kind.make(settings, parts),
        settings.threshold,
        settings.target_range,
        are_images=generators.are_images(parts.generator),
      )
  raise ValueError(
    "Say what the constraint is, with one of: rule (a function, or a "
    "classifier), like and unlike (example pictures), or sentence and "
    "image_text."
  )


def _check(others, what):
  """Raises ValueError if there are settings of another kind."""
  if others:
    raise ValueError(
      f"{', '.join(sorted(others))} cannot be given with {what}."
    )
