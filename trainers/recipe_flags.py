"""Flags that are derived from the fields of a recipe."""

import dataclasses
import types
import typing

from absl import flags


def define(values: flags.FlagValues, recipe: type) -> None:
  """Defines a flag for every field of a recipe.

  Args:
    values: Where the flags are defined.
    recipe: A dataclass of `lc_keras.recipes`.
  """
  for field in dataclasses.fields(recipe):
    known, kind = field.metadata, _kind(field.type)
    define_one = {
      bool: flags.DEFINE_bool,
      float: flags.DEFINE_float,
      int: flags.DEFINE_integer,
      str: flags.DEFINE_enum if known["choices"] else flags.DEFINE_string,
    }[kind]
    options = {}
    if kind in (int, float):
      options = {"lower_bound": known["low"], "upper_bound": known["high"]}
    elif known["choices"]:
      options = {"enum_values": known["choices"]}
    define_one(
      field.name,
      field.default,
      help=known["text"],
      flag_values=values,
      **options,
    )


def read(settings: flags.FlagValues, recipe: type):
  """Returns the recipe that the flags of a job give."""
  return recipe(
    **{
      field.name: getattr(settings, field.name)
      for field in dataclasses.fields(recipe)
    }
  )


def _kind(annotation):
  """Returns the type of a field's values, None aside."""
  if isinstance(annotation, types.UnionType):
    return typing.get_args(annotation)[0]
  return annotation
