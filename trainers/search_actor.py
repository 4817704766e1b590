"""Trains an actor that replaces a search, on the search's loss.

    python -m trainers.search_actor --run_dir=runs/photo --same_weight=1

It learns from the run's critics and latents, and needs no labels.
"""

from lc_keras import recipes
from trainers import jobs


def begin(recipe: recipes.SearchActor, run):
  """Returns the training."""
  from lc_keras.learning import amortised_search

  return amortised_search.training(recipe, run.parts)


JOB = jobs.Job("search_actor", recipes.SearchActor, begin)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
