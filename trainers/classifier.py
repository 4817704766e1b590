"""Trains the pixel classifier that scores images; no image is optimised on it.

    python -m trainers.classifier --flagfile=configs/toon_faces/classifier.cfg \
        --run_dir=runs/mine
    python -m trainers.classifier --flagfile=configs/toon_faces/classifier.cfg \
        --run_dir=runs/mine --stage=judge --attributes=Bangs,Pale_Skin

The second command trains a judge of attributes that no other model was trained
on, to measure constraints that are learned afterwards.
"""

import itertools
import math

import numpy as np
from absl import flags

from lc_keras import recipes
from trainers import jobs

_COLUMNS = 12
# Most images from which an epoch's pictures are chosen.
_MOST = 5_000


def define_more(values: flags.FlagValues) -> None:
  """Defines the flags besides the recipe's."""
  flags.DEFINE_string(
    "stage", "classifier", "Its folder in the run.", flag_values=values
  )
  flags.DEFINE_list(
    "attributes",
    None,
    "The attributes that it reads, any that the data set labels; by default "
    "the run's.",
    flag_values=values,
  )


def begin(recipe: recipes.Classifier, run):
  """Returns the training."""
  from lc_keras.models import pixel_classifier

  return pixel_classifier.training(recipe, run.images(_names(run)))


def draw(model, run):
  """Draws, for every attribute, the images with the lowest margins."""
  from lc_keras import plotting

  names = _names(run)
  limit, size = run.settings.validation_limit, run.settings.batch_size
  limit = min(limit or _MOST, _MOST)
  batches = run.images(names).batches("validation", size)
  batches = list(itertools.islice(batches, math.ceil(limit / size)))
  images = np.concatenate([batch["image"] for batch in batches])[:limit]
  labels = np.concatenate([batch["attributes"] for batch in batches])[:limit]
  logits = np.concatenate([model(batch["image"]) for batch in batches])[:limit]
  margins = np.where(labels > 0.5, logits, -logits)
  columns = min(_COLUMNS, len(images))
  order = np.argsort(margins, axis=0)[:columns]
  wrong = np.take_along_axis(margins, order, axis=0).T < 0.0
  worst = plotting.grid(images[order.T], row_labels=names, highlight=wrong)
  return {"worst": worst}


def _names(run):
  return run.settings.attributes or run.attributes.names


JOB = jobs.Job(
  "classifier",
  recipes.Classifier,
  begin,
  draw,
  define_more=define_more,
  stage=lambda settings: settings.stage,
)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
