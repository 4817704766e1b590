"""Flags of how a constraint is learnt, for the jobs that learn some."""

import dataclasses

from absl import flags

from lc_keras.learning import recipe as recipe_lib

# Flags defined here are listed under the job that asks for them.
flags.disclaim_key_flags()


def define(values: flags.FlagValues) -> None:
  """Defines how a constraint is learnt, all but the seed."""
  default = recipe_lib.Recipe()
  for name, text in (
    ("width", "Units of the critic's hidden layers."),
    ("depth", "Number of the critic's hidden layers."),
    ("folds", "Members of the critic; each leaves out the rows of one fold."),
    ("steps", "Training steps of each round."),
    ("rounds", "Rounds; between two, the critic's own edits are looked at."),
    ("count", "Draws that a rule scores at least."),
    ("limit", "Draws that a rule scores at most, looking for what is rare."),
  ):
    flags.DEFINE_integer(
      name,
      getattr(default, name),
      text,
      lower_bound=2 if name == "folds" else 1,
      flag_values=values,
    )
  flags.DEFINE_float(
    "noise_scale",
    default.noise_scale,
    "Noise on the latents, as a multiple of the posterior's scale.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "actor_steps",
    default.actor_steps,
    "Training steps of an actor, which does in one step what a search does in "
    "many; 1000 are enough, and 0 trains none.",
    lower_bound=0,
    flag_values=values,
  )


def recipe(settings: flags.FlagValues) -> recipe_lib.Recipe:
  """Returns what the recipe's flags say."""
  return recipe_lib.Recipe(
    **{
      field.name: getattr(settings, field.name)
      for field in dataclasses.fields(recipe_lib.Recipe)
    }
  )
