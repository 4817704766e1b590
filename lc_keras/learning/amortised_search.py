"""Trains an actor on the loss of a search, for all attributes at once."""

import dataclasses

import keras
import tensorflow as tf

from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.constraints import constraint as constraints
from lc_keras.models import adam
from lc_keras.models import search_actor
from lc_keras.samplers import objective as objectives

MODEL = "search_actor"
# Where the search of a mapping stops, see `GradientSearch.near`: a target of 1
# would have the actor move until the critic is certain, which it never is.
_TOLERANCE = 0.05


def training(recipe: recipes.SearchActor, parts) -> trainings.Training:
  """Returns the training of an actor on the latents of `parts.Parts`.

  Args:
    recipe: The settings.
    parts: Parts with an attribute critic; with a weight of `same`, an
      embedding.

  Raises:
    ValueError: There is no embedding.
  """
  judges = parts.own_judges()
  if recipe.same_weight and judges.embedding is None:
    raise ValueError(
      "same_weight needs a learned embedding, and there is none: use "
      "`LatentConstraints.keep` first, or set same_weight to 0."
    )
  rows = parts.latents["train"]
  keras.utils.set_random_seed(recipe.seed)
  model = search_actor.SearchActor(
    rows.mean.shape[1], len(judges.attributes), recipe.width, recipe.depth
  )
  model.whitening.adapt(rows)
  # `latent_distance` grows as the logarithm, so that one far move is cheap: a
  # search never makes it, but an actor would.
  objective = dataclasses.replace(
    objectives.Objective.robust(judges), distance_weight=0.0
  )

  def loss_of_move(start, moved, values, mask, seeds):
    asked = constraints.Constraint(
      tf.clip_by_value(values, _TOLERANCE, 1.0 - _TOLERANCE),
      mask,
      same=recipe.same_weight,
    )
    edit = judges.edit(start, asked)
    readings = objective.read_judges(
      moved, judges.realism_under(edit.shown), objective.draw(seeds)[:, 0]
    )
    far = model.whitening(moved) - model.whitening(start)
    return objective.loss(moved, start, edit, readings) + (
      recipe.distance_weight * tf.reduce_sum(tf.square(far), axis=-1)
    )

  model.compile(
    adam.Adam(trainings.learning_rate(recipe), 0.9, 0.99),
    loss_of_move=loss_of_move,
    read_attributes=judges.attribute_critic,
    excludes=judges.attributes.excludes,
  )
  return trainings.on_latents(model, recipe, parts)
