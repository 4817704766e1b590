"""Trains the density critic of encoded images against the prior.

    python -m trainers.realism --flagfile=configs/toon_faces/realism.cfg \
        --run_dir=runs/mine
"""

from lc_keras import recipes
from trainers import jobs


def begin(recipe: recipes.Realism, run):
  """Returns the training."""
  from lc_keras.models import realism_model

  return realism_model.training(recipe, run.parts)


JOB = jobs.Job("realism", recipes.Realism, begin)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
