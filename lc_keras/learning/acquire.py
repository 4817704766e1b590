"""Learns a constraint for a run's generator: from a rule, or from labels."""

import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import progress as progresses
from lc_keras import recipes
from lc_keras import version
from lc_keras.constraints import rule as rule_of_images
from lc_keras.data import latents as latent_rows
from lc_keras.data import pipeline
from lc_keras.generators import decoding
from lc_keras.generators import generator as generators
from lc_keras.learning import amortised
from lc_keras.learning import calibration
from lc_keras.learning import constraint_names
from lc_keras.learning import examples as example_sets
from lc_keras.learning import fitting
from lc_keras.learning import labels as label_sets
from lc_keras.learning import learned_constraints
from lc_keras.learning import rule_scores
from lc_keras.learning import scoring
from lc_keras.models import value_model
from lc_keras.samplers import objective

_RECIPE = recipes.Constraint()
# Random stream of the draws for rules, apart from those of the splits.
_STREAM = 8


def from_rules(
  parts,
  rules: Mapping[str, rule_of_images.Rule],
  recipe: recipes.Constraint = _RECIPE,
  *,
  strategy: tf.distribute.Strategy | None = None,
  progress: progresses.Progress = progresses.SILENT,
) -> Iterator[learned_constraints.LearnedConstraint]:
  """Learns constraints from rules about decoded latents; needs no labels.

  Engel et al. 2018, section 6. The rules score draws of the prior; if there are
  encoded images, half of the draws are of their posteriors, since samplers go
  there. All rules score the same images.

  Args:
    parts: `parts.Parts`.
    rules: Rules by the names of the constraints in requests.
    recipe: The settings.
    strategy: Distribution strategy of the training.
    progress: Shows the progress.

  Yields:
    For each rule in order, its constraint, as soon as it is learned.

  Raises:
    ValueError: A name cannot be used, a rule fails a check, or a rule accepts
      too few or too many images.
  """
  started = time.monotonic()
  _check_names(parts, rules)
  draw = drawer(parts)
  scores = rule_scores.RuleScores(
    parts.generator, rules, draw, recipe.seed, progress
  )
  rounds = recipe.all_steps // recipe.steps
  scores.begin(recipe.count + len(rules) * (rounds - 1) * fitting.EDITS)
  for name, rule in rules.items():
    oracle = functools.partial(scores, name)
    try:
      examples = scoring.collect(
        functools.partial(scores.plain, name),
        draw,
        oracle,
        lambda: _model(parts, recipe, strategy),
        parts.posterior_scale,
        count=recipe.count,
        limit=recipe.limit,
        folds=recipe.folds,
        seed=recipe.seed,
        say=progress.say,
      )
    except scoring.TooFewError:
      # Raises a better message if all targets are the same.
      scores.check_varies(name)
      raise
    yield _learn(
      parts,
      name,
      examples,
      oracle,
      recipe,
      strategy,
      progress,
      {**rule.identity, "scored": len(examples)},
      continuous=not rule.binary,
      started=started,
    )
    started = time.monotonic()
  scores.end()


def from_labels(
  parts,
  name: str,
  labels: label_sets.Labels,
  source: dict,
  recipe: recipes.Constraint = _RECIPE,
  *,
  strategy: tf.distribute.Strategy | None = None,
  progress: progresses.Progress = progresses.SILENT,
) -> learned_constraints.LearnedConstraint:
  """Learns a constraint from labels of images or of latent vectors.

  Args:
    parts: `parts.Parts`.
    name: Name of the constraint in requests.
    labels: Labels of latents, of seeds, or of images of the training split.
    source: Where the labels come from, for the manifest.
    recipe: The settings.
    strategy: Distribution strategy of the training.
    progress: Shows the progress.

  Raises:
    ValueError: The name cannot be used, or the labels cannot be learned from.
  """
  started = time.monotonic()
  _check_names(parts, [name])
  by_image = labels.ids is not None or labels.files is not None
  if by_image and not parts.encoded:
    raise ValueError(
      "The latents of this generator are draws of the prior and not encoded "
      "images, so that labels by image do not apply: give labels of what seeds "
      "make (a column `seed`), of latent vectors (`z0`, `z1`, ...), or a rule."
    )
  labels = labels.located(parts.files)
  mean, scale = labels.rows(
    parts.latents["train"], parts.posterior_scale, parts.generator
  )
  examples = example_sets.Examples.of(
    mean,
    scale,
    labels.value,
    labels.weight / labels.weight.mean(),
    folds=recipe.folds,
    seed=recipe.seed,
  )
  kinds = int((~examples.on).sum()), int(examples.on.sum())
  if min(kinds) < recipe.folds:
    raise ValueError(
      f"The labels have {kinds[1]} rows that are on and {kinds[0]} that are "
      f"off; at least {recipe.folds} of each are needed."
    )
  model = _model(parts, recipe, strategy)
  oracle = None
  if generators.can_encode(parts.generator):
    again = decoding.reader(
      parts.generator, lambda images: parts.generator.encode(images).mean()
    )
    reread = batched.Batched(
      lambda latents: {"value": tf.sigmoid(model(again(latents)))},
      batched.rows_at_once(parts.generator.image_shape),
    )

    def oracle(latents):
      return reread(latents)["value"]

  continuous = not np.isin(labels.value, (0.0, 1.0)).all()
  return _learn(
    parts,
    name,
    examples,
    oracle,
    recipe,
    strategy,
    progress,
    {**source, "labels": len(examples)},
    continuous=bool(continuous),
    started=started,
    model=model,
  )


def from_data_set(
  parts,
  name: str,
  dataset: str | None,
  attribute: str,
  *,
  data_dir: str,
  limit: int | None = None,
  **options,
) -> learned_constraints.LearnedConstraint:
  """Learns a constraint from labels of the data set whose images are encoded.

  "test" in the manifest has figures on the test split.

  Args:
    parts: `parts.Parts`.
    name: Name of the constraint in requests.
    dataset: Name of the data set; None if there is none.
    attribute: One of its attributes, perhaps one that no model was trained on.
    data_dir: Folder of prepared data sets.
    limit: Number of labels to use, the first ones; by default, all.
    **options: See `from_labels`.

  Raises:
    ValueError: The latents are not those of a data set, or it has no such
      attribute.
  """
  if dataset is None or not generators.can_encode(parts.generator):
    raise ValueError(
      f"There are no labels of {attribute}: the latents of this generator are "
      "not encoded images of a data set. Give labels of what seeds make (a "
      "table with the columns seed and value), or a rule."
    )

  def read(split, limit=None):
    """Returns the rows whose label is known, and the labels."""
    value = pipeline.labels(
      dataset, split, attribute, data_dir=data_dir, limit=limit
    )
    rows = np.flatnonzero(~np.isnan(value))
    return rows, value[rows]

  ids, value = read("train", limit)
  labels = label_sets.Labels(value, ids=ids)
  source = {"dataset": dataset, "attribute": attribute}
  learned = from_labels(parts, name, labels, source, **options)
  rows, value = read("test")
  learned.manifest["test"] = calibration.of_latents(
    learned.model, parts.latents["test"].take(rows), value
  )
  return learned


def _learn(
  parts,
  name,
  examples,
  oracle,
  recipe,
  strategy,
  progress,
  source,
  *,
  continuous,
  started,
  model=None,
):
  """Trains, calibrates and describes a critic, and perhaps an actor."""
  callbacks = [progress.steps(recipe.all_steps + recipe.actor_steps)]
  model = model or _model(parts, recipe, strategy)
  edits = [fitting.gradient_edit(model, parts.covariance, continuous)]
  edits *= recipe.rounds - 1
  learner = None
  if recipe.actor_steps:
    learner = amortised.Learner(
      parts,
      learned_constraints.LearnedConstraint(
        name, model, {"continuous": continuous}
      ),
      recipe.actor_steps,
      seed=recipe.seed,
      strategy=strategy,
      callbacks=callbacks,
    )
    edits += [learner.edit] * (recipes.ACTOR_ROUNDS - 1)
  if oracle is None:
    # Without an oracle, edits cannot be labelled and learned from.
    edits = []
  fitting.learn(
    model,
    examples,
    oracle,
    edits,
    steps=recipe.all_steps // (len(edits) + 1),
    seed=recipe.seed,
    callbacks=callbacks,
  )
  figures = calibration.calibrate(model, examples)
  manifest = {
    "generator": parts.fingerprint,
    "continuous": continuous,
    "source": source,
    "recipe": dataclasses.asdict(recipe),
    "figures": figures,
    # No better than its source.
    "trustworthy": calibration.trustworthy(figures)
    and source.get("trustworthy", True),
    "margin": calibration.margin(model, examples, objective.ROBUST_NOISE),
    "lc_keras": version.__version__,
  }
  if learner:
    learner.train(examples)
    manifest["actor"] = learner.figures(oracle)
  manifest["seconds"] = time.monotonic() - started
  return learned_constraints.LearnedConstraint(
    name, model, manifest, learner and learner.actor
  )


def _model(parts, recipe, strategy):
  """Returns an untrained critic, compiled."""
  keras.utils.set_random_seed(recipe.seed)
  with (strategy or tf.distribute.get_strategy()).scope():
    model = value_model.ValueModel(
      parts.generator.latent_size,
      recipe.width,
      recipe.depth,
      recipe.folds,
      parts.scales,
    )
    fitting.compile_model(model, recipe.all_steps, recipe.noise_scale)
  return model


def drawer(parts):
  """Returns a function that draws from the prior and from encoded images.

  Args:
    parts: `parts.Parts`.

  Returns:
    A function (count, seed) that returns float32 [count, latent_size].
  """
  encodes = generators.can_encode(parts.generator)

  def draw(count, seed):
    if parts.mapping is not None:
      return latent_rows.draw_means(parts.generator, count, (seed, _STREAM))
    random = np.random.default_rng(seed)
    latents = random.normal(size=[count, parts.generator.latent_size])
    if encodes:
      rows = random.integers(len(parts.latents["train"]), size=count // 2)
      half = slice(0, count // 2)
      latents[half] *= parts.latents["train"].scale[rows]
      latents[half] += parts.latents["train"].mean[rows]
    return latents.astype(np.float32)

  return draw


def _check_names(parts, names):
  for name in names:
    constraint_names.check_name(name)
  # Raises for names that are ambiguous in requests.
  others = [name for name in parts.learned if name not in names]
  parts.own_attributes.extended(others).extended(names)
