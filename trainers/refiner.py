"""Trains a network behind the decoder of a run's frozen VAE.

    python -m trainers.refiner --flagfile=configs/preset/refiner.cfg \
        --run_dir=runs/mine

Run it before `trainers.latents`: the refined VAE replaces the VAE as the run's
generative model.
"""

import os

from lc_keras import recipes
from trainers import jobs
from trainers import vae


def begin(recipe: recipes.Refiner, run):
  """Returns the training."""
  from lc_keras.generators import generator
  from lc_keras.models import refined_vae
  from lc_keras.models import storage

  folder = run.path("vae")
  if run.done("vae") is None:
    raise ValueError(
      f"The VAE in {folder!r} has not been trained to its end: go on with "
      "`python -m trainers.vae` and the same --run_dir, and refine it then."
    )
  if not os.path.exists(os.path.join(folder, storage.WEIGHTS)):
    raise ValueError(
      f"The VAE in {folder!r} is a preset's, which has it in its refiner only: "
      "it cannot be refined again. Train a VAE in another --run_dir."
    )
  generator.find(run.folder)  # Refuses a refiner that began behind another VAE.
  begun = refined_vae.training(recipe, storage.load(folder), run.images())
  begun.model.made_for = storage.describe(folder)["sha256"]
  return begun


JOB = jobs.Job("refiner", recipes.Refiner, begin, vae.draw)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
