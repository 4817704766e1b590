"""Implements `LatentConstraints.fit`: encodes once, trains three models."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import pandas as pd
from scipy import special

from lc_keras import parts as parts_of
from lc_keras import progress
from lc_keras import recipes as settings
from lc_keras import training as trainings
from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import completion
from lc_keras.data import arrays
from lc_keras.data import label_columns
from lc_keras.data import latents as latent_rows
from lc_keras.data import tables
from lc_keras.generators import generator as generators
from lc_keras.learning import amortised_search
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import flow_matching
from lc_keras.models import realism_model
from lc_keras.samplers import lessons

# Stack level of the caller of `LatentConstraints.fit`, a decorated method.
_CALLER = 5
# Number of prior draws that replace encoded images, by split, and their scale:
# how far one can be moved without a visible change.
_DRAWS = {"train": 20_000, "validation": 2_000}
_DRAWN_SCALE = 0.1
# Bounds of the default `steps_per_epoch`, one pass over the rows.
_FEWEST_STEPS, _MOST_STEPS = 100, 2_000
_BATCH_SIZE = 256
# Steps of a mapping's critic, as a multiple of those of other models.
_REALISM_STEPS = 2
# Fewest training rows: one row has no covariance. Below the advised number,
# there is a warning.
_FEWEST_ROWS, _ADVISED_ROWS = 2, 500
# Bounds of the lessons, twice the training rows: they take most of the time,
# and a flow of few rows has little to teach.
_FEWEST_LESSONS, _MOST_LESSONS = 1_000, 20_000
# Below this balanced accuracy of a critic there is a warning; 0.5 is chance.
_LOW_ACCURACY = 0.7
# Column of seeds in a table of labels.
_SEED = "seed"


def encode(
  generator: generators.Generator,
  images,
  labels,
  attributes: attribute_names.Attributes | Sequence[str] | None,
  *,
  seed: int,
  validation_split: float,
  data_dir: str,
) -> parts_of.Parts:
  """Returns parts with latents and without models; arguments are as of `fit`.

  Raises:
    ValueError: Images, labels and names do not fit together.
  """
  if images is None or not generators.can_encode(generator):
    return _draw(generator, images, labels, attributes, seed)
  if not (
    isinstance(validation_split, float | np.floating)
    and 0.0 < validation_split < 1.0
  ):
    raise ValueError(
      "validation_split must be between 0 and 1, such as 0.1: held-out rows "
      f"select the best epoch of each model; got {validation_split!r}."
    )
  if callable(labels):
    raise ValueError(
      "This generator encodes images, so that it needs their labels: give a "
      "classifier as labels only without images."
    )
  source = arrays.source(
    images,
    labels,
    attributes,
    validation_split=validation_split,
    data_dir=data_dir,
    are_images=generators.are_images(generator),
  )
  if source.image_shape != tuple(generator.image_shape):
    raise ValueError(
      f"The images have the shape {source.image_shape}; those of this "
      f"generator have {tuple(generator.image_shape)}."
    )
  latents = source.encode(generator)
  counts = [len(latents[split]) for split in _DRAWS]
  if counts[0] < _FEWEST_ROWS or not counts[1]:
    raise ValueError(
      f"Of {sum(counts)} images, {counts[0]} are to train on and {counts[1]} "
      "are held out: give more images, some hundreds at least, or another "
      "validation_split."
    )
  for rows in latents.values():
    for piece in rows.pieces():
      if not (np.isfinite(piece.mean).all() and np.isfinite(piece.scale).all()):
        raise ValueError(
          "The generator encodes some of these images to NaN or infinity: "
          "check that its encoder accepts every pixel value in [0, 1]."
        )
  return parts_of.Parts(
    generator,
    source.attributes,
    latents=latents,
    preprocessing=source.preprocessing,
    files=source.file_names(arrays.TRAIN),
  )


def by_seed(generator, labels, latents):
  """Returns labels without their column of seeds, and the seeds' latents.

  Args:
    generator: Draws the latents.
    labels: See `LatentConstraints.fit`; or the path of a table.
    latents: [n, latent_size]; None if they are not given.

  Raises:
    ValueError: Seeds are not whole numbers, or latents are given as well.
  """
  if isinstance(labels, str):
    labels = tables.read(labels)
  if not (isinstance(labels, Mapping | pd.DataFrame) and _SEED in labels):
    return labels, latents
  labels = pd.DataFrame(labels)
  seeds = pd.to_numeric(labels[_SEED], errors="coerce").to_numpy(float)
  wrong = np.flatnonzero(~(np.abs(seeds) < 2**53) | (seeds != np.round(seeds)))
  if len(wrong) or latents is not None:
    raise ValueError(
      f"Label {wrong[0] + 1} is of the seed {labels[_SEED].iloc[wrong[0]]!r}: "
      "a seed is a whole number."
      if len(wrong)
      else "Labels are of seeds or of latents: give one of them."
    )
  latents = generators.draw_rows(generator, seeds.astype(np.int64))
  return labels.drop(columns=_SEED), latents


def drawn(
  generator: generators.Generator,
  latents: np.ndarray,
  labels,
  attributes: attribute_names.Attributes | Sequence[str] | None,
  *,
  seed: int,
  validation_split: float,
) -> parts_of.Parts:
  """Returns parts with labelled draws and additional unlabelled ones.

  Args:
    generator: The generator.
    latents: [n, latent_size].
    labels: A table, columns by name, or an array, see `label_columns.read`.
    attributes: See `LatentConstraints`.
    seed: Seed of the unlabelled draws.
    validation_split: Share of the rows that is held out.

  Raises:
    ValueError: Latents, labels and names do not fit together.
  """
  latents = np.asarray(latents, np.float32)
  if latents.shape[1:] != (generator.latent_size,) or len(latents) < 4:
    raise ValueError(
      f"Latents have the shape [n, {generator.latent_size}], some hundreds at "
      f"least; got {list(latents.shape)}."
    )
  if isinstance(labels, Mapping | pd.DataFrame):
    table = pd.DataFrame(labels)
    columns, known, _ = label_columns.from_table(table, "The table")
    labels = dict(zip(known.names, columns.T))
    attributes = known if attributes is None else attributes
  columns, attributes = label_columns.read(labels, attributes, len(latents))
  held = arrays.held_out(np.arange(len(latents)), validation_split).numpy()
  splits = {}
  for number, (split, rows) in enumerate(
    [("train", ~held), ("validation", held)]
  ):
    labelled = latent_rows.from_draws(
      generator, latents[rows], _DRAWN_SCALE, columns[rows]
    )
    others = latent_rows.draw(
      generator,
      max(_DRAWS[split] - len(labelled), 1),
      _DRAWN_SCALE,
      (seed, number),
    )
    unknown = np.full([len(others), len(attributes)], np.nan, np.float32)
    others = dataclasses.replace(others, attributes=unknown)
    splits[split] = latent_rows.join([labelled, others])
  return parts_of.Parts(generator, attributes, latents=splits, encoded=False)


def _draw(generator, images, labels, attributes, seed):
  """Returns parts whose latents are draws of the prior."""
  read = labels if callable(labels) else None
  if images is not None or (labels is not None and read is None):
    raise ValueError(
      "This generator cannot encode, so that images and their labels do not "
      "label its latents: give neither, or as labels a classifier of images, a "
      "function that returns logits. `fit` does not use the encoder that "
      "`learn_encoder` learns."
      if not generators.can_encode(generator)
      else "Labels are given without the images that they belong to."
    )
  if not isinstance(attributes, attribute_names.Attributes):
    attributes = attribute_names.Attributes(
      () if read is None or attributes is None else attributes
    )
  if read is not None and not len(attributes):
    raise ValueError(
      "A classifier does not name its outputs: name the attributes, "
      'LatentConstraints(generator, attributes=["Smiling", ...]).'
    )
  latents = {
    split: latent_rows.draw(
      generator,
      count,
      _DRAWN_SCALE,
      (seed, number),
      read=read and (lambda shown: completion.likely(attributes, read(shown))),
    )
    for number, (split, count) in enumerate(_DRAWS.items())
  }
  return parts_of.Parts(generator, attributes, latents=latents, encoded=False)


def train(
  parts: parts_of.Parts,
  recipes: dict[type, settings.Training],
  *,
  epochs: int,
  steps_per_epoch: int | None,
  seed: int,
  classifier: Callable | None = None,
  callbacks: Sequence[keras.callbacks.Callback] = (),
  verbose: str | int = "auto",
) -> dict[str, keras.callbacks.History]:
  """Trains the three models, and adds them to the parts.

  The others are as for `LatentConstraints.fit`, as is the result.

  Args:
    parts: Parts with latents; without labels, no model is trained.
    recipes: See `by_type`.
    classifier: Labels edits, for a generator that cannot encode.

  Raises:
    ValueError: No attribute has two different labels.
  """
  if not len(parts.labels):
    return {}
  _check_labels(parts)
  train = parts.latents["train"]
  batch_size = min(len(train.labelled()), _BATCH_SIZE)
  if steps_per_epoch is None:
    steps_per_epoch = math.ceil(len(train) / batch_size)
    steps_per_epoch = min(max(steps_per_epoch, _FEWEST_STEPS), _MOST_STEPS)
  plan = _plan(
    recipes,
    parts,
    classifier,
    batch_size=batch_size,
    steps=epochs * steps_per_epoch,
    steps_per_epoch=steps_per_epoch,
    seed=seed,
  )
  histories = {}
  for name, (make, recipe) in plan.items():
    options = {}
    if name == "attributes" and classifier is not None:
      options["classifier"] = classifier
    if name == parts_of.ACTOR and recipe.imitation_weight:
      if verbose:
        print(f"Making {recipe.lessons:,} lessons of the flow for the actor")
      options["lessons"] = lessons.of_flow(
        parts, recipe, progress.Progress(bool(verbose))
      )
    if verbose:
      print(f"Training {name}")
    training = make(recipe, parts, **options)
    histories[name] = trainings.fit(
      training, recipe, callbacks=callbacks, verbose=verbose
    )
    parts.models[name] = training.model
    if name == "attributes":
      _check_critic(parts)
  return histories


def _check_labels(parts):
  """Warns of attributes with a single label; raises if all are such."""
  count = len(parts.latents["train"].labelled())
  if count < _ADVISED_ROWS:
    warnings.warn(
      f"There are only {count} labelled images to train on: critics learn "
      f"little from few, and misread others. Give at least {_ADVISED_ROWS}, "
      "better thousands.",
      stacklevel=_CALLER,
    )
  lowest, highest = np.inf, -np.inf
  for piece in parts.latents["train"].pieces():
    lowest = np.fmin(lowest, np.fmin.reduce(piece.attributes))
    highest = np.fmax(highest, np.fmax.reduce(piece.attributes))
  varies = highest > lowest
  same = [name for name, known in zip(parts.labels.names, varies) if not known]
  if not same:
    return
  told = (
    f"{', '.join(same)} cannot be learned: all training rows have the same "
    "label, or none has one. Give images with and without."
  )
  if not varies.any():
    raise ValueError(told)
  warnings.warn(told, stacklevel=_CALLER)


def _check_critic(parts):
  """Warns of attributes that the critic misreads on held-out rows."""
  rows = parts.latents["validation"].take(slice(None))
  read = special.expit(parts.models["attributes"].predict(rows.mean, verbose=0))
  low = []
  for column, name in enumerate(parts.labels.names):
    known = ~np.isnan(rows.attributes[:, column])
    on = rows.attributes[known, column] > 0.5
    if on.any() and not on.all():
      right = (read[known, column] > 0.5) == on
      share = 0.5 * (right[on].mean() + right[~on].mean())
      if share < _LOW_ACCURACY:
        low.append(f"{name} {share:.2f}")
  if low:
    warnings.warn(
      "The attribute critic reads held-out images badly, so that requests will "
      f"often not be met. Its balanced accuracy, where 0.5 is chance: "
      f"{', '.join(low)}. Give more images with and without, train for more "
      "epochs, or look whether the generator shows the attribute at all.",
      stacklevel=_CALLER,
    )


def _plan(given, parts, classifier, **shared):
  """Returns the training function and recipe of each model, in order.

  Args:
    given: Recipes by type that replace the defaults, those of the toon faces.
    parts: The generator and its latents.
    classifier: Labels edits, for a generator that cannot encode; or None.
    **shared: Settings of all default recipes.
  """
  reads_edits = generators.can_encode(parts.generator) or classifier
  shared |= {"final_learning_rate": 0.0, "warmup_steps": 50, "width": 512}
  shared |= {"balanced_fraction": 0.5}
  plan = {
    "attributes": (
      attribute_model.training,
      settings.Attributes(
        **shared,
        depth=3,
        learning_rate=1e-3,
        noise_scale=2.0,
        edit_weight=1.0 if reads_edits else 0.0,
      ),
    ),
    "flow": (
      flow_matching.training,
      settings.Flow(**shared, depth=3, learning_rate=3e-3, average_decay=0.995),
    ),
    parts_of.ACTOR: (
      actor_critic.training,
      settings.Actor(
        **shared,
        depth=4,
        learning_rate=1.5e-3,
        imitation_weight=100.0,
        lessons=min(
          max(_FEWEST_LESSONS, 2 * len(parts.latents["train"])), _MOST_LESSONS
        ),
        attribute_weight=120.0,
        attribute_noise=2.0,
        critic_steps=1,
        average_decay=0.995,
        beta_2=0.99,
      ),
    ),
  }
  if parts.mapping is not None:
    # For few labels: shallow networks that drop half of their units per step.
    small = {"depth": 1, "members": 5, "noise_scale": 3.0, "dropout": 0.5}
    make, recipe = plan["attributes"]
    plan["attributes"] = make, dataclasses.replace(recipe, **small)
    # Its negatives are nearly as realistic as draws: it takes longer.
    of_realism = shared | {"steps": _REALISM_STEPS * shared["steps"]}
    of_realism.pop("balanced_fraction")
    plan["realism"] = (
      realism_model.training,
      settings.Realism(
        **of_realism | {"width": 256}, depth=2, learning_rate=1e-3
      ),
    )
    # A search gives the best answers, in a second.
    for name in ("flow", parts_of.ACTOR):
      if type(plan[name][1]) not in given:
        del plan[name]
  for name, (make, recipe) in plan.items():
    plan[name] = make, given.get(type(recipe), recipe)
  # It learns from all other critics.
  if settings.SearchActor in given:
    recipe = given[settings.SearchActor]
    plan[amortised_search.MODEL] = amortised_search.training, recipe
  return plan


def by_type(
  recipes: settings.Training | Sequence[settings.Training],
) -> dict[type, settings.Training]:
  """Returns recipes by their type.

  Raises:
    ValueError: One is not a recipe of `fit`, or two are of the same model.
  """
  if isinstance(recipes, settings.Training):
    recipes = [recipes]
  known = (
    settings.Attributes,
    settings.Flow,
    settings.Actor,
    settings.Realism,
    settings.SearchActor,
  )
  for recipe in recipes:
    if type(recipe) not in known:
      raise ValueError(
        "fit trains by recipes.Attributes, recipes.Flow, recipes.Actor, "
        "recipes.Realism and recipes.SearchActor; "
        f"got {recipe!r:.60}."
      )
  found = {type(recipe): recipe for recipe in recipes}
  if len(found) < len(recipes):
    raise ValueError("There are two recipes for the same model.")
  return found
