"""Trains a network behind the decoder of a run's frozen VAE.

    python -m trainers.refiner --flagfile=configs/preset/refiner.cfg \
        --run_dir=runs/mine

It comes before the latents: from then on, it is the run's generative model.
"""

from lc_keras import recipes
from trainers import jobs
from trainers import vae


def begin(recipe: recipes.Refiner, run):
  """Returns the training."""
  from lc_keras.models import refined_vae
  from lc_keras.models import storage

  return refined_vae.training(
    recipe, storage.load(run.path("vae")), run.images()
  )


JOB = jobs.Job("refiner", recipes.Refiner, begin, vae.draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
