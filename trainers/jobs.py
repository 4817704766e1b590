"""The jobs of a run, and trainings as programs.

A training's module defines a `Job` with its model, data and pictures; this
module has the code that all trainings share.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from absl import flags

from trainers import common_flags
from trainers import program
from trainers import recipe_flags


class Entry(NamedTuple):
  """A row of `JOBS`.

  Attributes:
    text: What the job does.
    needs: Jobs that must be finished before it.
  """

  text: str
  needs: tuple[str, ...] = ()


# By name of a module of trainers, which has define_flags, run_job and main; in
# an order in which the jobs can run.
JOBS = {
  "data": Entry("Prepare a data set"),
  "vae": Entry("Train a VAE", ("data",)),
  "refiner": Entry("Train a network that refines a VAE's images", ("vae",)),
  "gan": Entry("Train a GAN, another model to be frozen", ("data",)),
  "latents": Entry("Encode the data set", ("vae",)),
  "classifier": Entry("Train the classifier that scores images", ("data",)),
  "attributes": Entry("Train the attribute critic", ("latents",)),
  "realism": Entry("Train the realism critic", ("latents",)),
  "flow": Entry("Train the flow between noise and latents", ("latents",)),
  "linear": Entry("Fit a direction for each attribute", ("latents",)),
  "actor": Entry("Train the actor and its critic", ("attributes", "flow")),
  "search_actor": Entry("Train the actor of the search", ("attributes",)),
  "conditional_vae": Entry("Train a baseline", ("data",)),
  "conditional_gan": Entry("Train a baseline", ("data",)),
}


def with_needs(*names: str) -> list[str]:
  """Returns jobs and all jobs that they need, in order.

  >>> with_needs("flow")
  ['data', 'vae', 'latents', 'flow']
  """
  needed = set(names)
  for name in reversed(JOBS):
    if name in needed:
      needed.update(JOBS[name].needs)
  return [name for name in JOBS if name in needed]


@dataclasses.dataclass(frozen=True)
class Job:
  """A training that is run as a program.

  Attributes:
    name: Name of its module, and of its stage unless `stage` is given.
    recipe: The class of its recipe.
    begin: Maps (recipe, run), and keyword arguments that `prepare` returned, to
      a `training.Training`; called in the scope of the distribution strategy.
    draw: Maps (model, run) to pictures by name; called after every epoch.
    prepare: Maps (recipe, run) to keyword arguments of `begin`; called outside
      of the scope.
    define_more: Defines flags besides the recipe's.
    stage: Maps the flags to the name of the stage.
  """

  name: str
  recipe: type
  begin: Callable[..., Any]
  draw: Callable[..., Mapping] = lambda model, run: {}
  prepare: Callable[..., Mapping] = lambda recipe, run: {}
  define_more: Callable[[flags.FlagValues], None] = lambda values: None
  stage: Callable[[flags.FlagValues], str] | None = None

  def define_flags(self, values: flags.FlagValues) -> None:
    """Defines the flags of the job."""
    common_flags.define_run_flags(values)
    common_flags.define_machine_flags(values)
    recipe_flags.define(values, self.recipe)
    common_flags.check_batch_size(values)
    self.define_more(values)

  def run_job(self, settings: flags.FlagValues) -> None:
    """Trains the model of a run, or resumes its training."""
    # TensorFlow takes seconds to load, and --help does not need it.
    from trainers import runs
    from trainers import training

    run = runs.open_run(settings)
    name = self.stage(settings) if self.stage else self.name
    stage = run.stage(name, settings)
    if stage.done:
      return
    recipe = recipe_flags.read(settings, self.recipe)
    # First: once TensorFlow has started, a CPU cannot be split.
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
    program.main(self.define_flags, self.run_job)
