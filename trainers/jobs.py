"""Trainings as programs: a recipe, a model with its data, and pictures.

A job's module says in a `Job` what is its own, and everything else is here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from trainers import common_flags
from trainers import recipe_flags
from trainers import runs


def _no_pictures(model, run) -> Mapping:
  return {}


def _nothing(recipe, run) -> Mapping:
  return {}


@dataclasses.dataclass(frozen=True)
class Job:
  """A training that is run as a program.

  Attributes:
    stage: The stage's folder; a function of the flags where it varies.
    recipe: The class of its recipe.
    begin: (recipe, run) and what `prepare` returned to a `training.Training`;
      called in the scope of the distribution strategy.
    draw: (model, run) to pictures by name, after every epoch.
    prepare: (recipe, run) to more keyword arguments of `begin`; called outside
      of the scope.
    define_more: Defines flags besides the recipe's.
    is_generator: Whether it trains the generative model of a run.
  """

  stage: str | Callable[[flags.FlagValues], str]
  recipe: type
  begin: Callable[..., Any]
  draw: Callable[[Any, runs.Run], Mapping] = _no_pictures
  prepare: Callable[[Any, runs.Run], Mapping] = _nothing
  define_more: Callable[[flags.FlagValues], None] = lambda values: None
  is_generator: bool = False

  def define_flags(self, values: flags.FlagValues) -> None:
    """Defines the flags of the job."""
    common_flags.define_run_flags(values)
    common_flags.define_machine_flags(values)
    recipe_flags.define(values, self.recipe)
    common_flags.check_batch_size(values)
    self.define_more(values)

  def train(self, settings: flags.FlagValues) -> None:
    """Trains the model of a run, or goes on training it."""
    run = runs.open_run(settings)
    name = self.stage if isinstance(self.stage, str) else self.stage(settings)
    open_stage = runs.generator_stage if self.is_generator else runs.Stage
    stage = open_stage(run, name, settings)
    if stage.done:
      return
    from trainers import training

    recipe = recipe_flags.read(settings, self.recipe)
    # Before anything else starts TensorFlow.
    strategy = training.strategy(settings.replicas)
    prepared = self.prepare(recipe, run)
    with strategy.scope():
      begun = self.begin(recipe, run, **prepared)
    training.fit(
      stage,
      begun,
      recipe,
      keep_checkpoints=settings.keep_checkpoints,
      draw=lambda: self.draw(begun.model, run),
    )

  def main(self) -> None:
    """Runs the job as a program."""
    runs.main(self.define_flags, self.train)
