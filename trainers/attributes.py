"""Trains the attribute critic D_attr on cached latents.

    python -m trainers.attributes --flagfile=configs/toon_faces/attributes.cfg \
        --run_dir=runs/mine
"""

from lc_keras import recipes
from trainers import jobs


def begin(recipe: recipes.Attributes, run):
  """Returns the training."""
  from lc_keras.models import attribute_model

  return attribute_model.training(recipe, run.parts)


JOB = jobs.Job("attributes", recipes.Attributes, begin)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
