"""Flags that are derived from the fields of a recipe."""

import dataclasses
import types
import typing

from absl import flags


def define(
  values: flags.FlagValues, recipe: type, *, several: bool = False
) -> None:
  """Defines a flag for every field of a recipe.

  Args:
    values: Where the flags are defined.
    recipe: A dataclass of `lc_keras.recipes`.
    several: Whether flags may be repeated, one value for each recipe.
  """
  for field in dataclasses.fields(recipe):
    known, kind = field.metadata, _kind(field.type)
    define_one = {
      bool: flags.DEFINE_bool,
      float: flags.DEFINE_multi_float if several else flags.DEFINE_float,
      int: flags.DEFINE_integer,
      str: flags.DEFINE_multi_string if several else flags.DEFINE_string,
    }[kind]
    if known["choices"]:
      define_one = flags.DEFINE_multi_enum if several else flags.DEFINE_enum
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
  """Builds a recipe from the flags of a job."""
  return recipe(
    **{
      field.name: getattr(settings, field.name)
      for field in dataclasses.fields(recipe)
    }
  )


def read_several(settings: flags.FlagValues, recipe: type, count: int) -> list:
  """Builds several recipes from flags that are given once, or once for each.

  Args:
    settings: The flags of a job.
    recipe: The class given to `define`, with `several`.
    count: Number of recipes.

  Raises:
    ValueError: A flag is given more than once, but not `count` times.
  """
  columns = {}
  for field in dataclasses.fields(recipe):
    given = getattr(settings, field.name) or [field.default]
    if len(given) not in (1, count):
      raise ValueError(
        f"--{field.name} is given {len(given)} times for {count} constraints: "
        "give it once for all, or for each."
      )
    columns[field.name] = given * (count // len(given))
  return [recipe(**dict(zip(columns, row))) for row in zip(*columns.values())]


def _kind(annotation):
  """Returns the type of a field's values, None aside."""
  if isinstance(annotation, types.UnionType):
    return typing.get_args(annotation)[0]
  return annotation
