"""Learns a constraint for a run's generator: from a rule, or from labels."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import recipes
from lc_keras import version
from lc_keras.constraints import rule as rules
from lc_keras.generators import decoding
from lc_keras.generators import generator as generators
from lc_keras.learning import amortised
from lc_keras.learning import examples as example_sets
from lc_keras.learning import fitting
from lc_keras.learning import labels as label_sets
from lc_keras.learning import learnt as learned_constraints
from lc_keras.learning import scoring
from lc_keras.learning import trust
from lc_keras.models import value_model
from lc_keras.samplers import objective

# Images that a rule is tried on, and that its speed is measured with.
_CHECKED = 256
_TIMED = 16
_RECIPE = recipes.Constraint()


def from_rule(
  parts,
  name: str,
  rule: rules.Rule,
  recipe: recipes.Constraint = _RECIPE,
  *,
  strategy: tf.distribute.Strategy | None = None,
  say: Callable[[str], None] = lambda message: None,
  callbacks: Sequence[keras.callbacks.Callback] = (),
) -> learned_constraints.Learnt:
  """Learns what a rule says of decoded latent vectors; no labels are needed.

  Engel et al. 2018, section 6. Half of what is scored comes from the prior,
  and, if there are encoded images, half from these, without their labels: it is
  there that samplers go.

  Args:
    parts: `parts.Parts`.
    name: What the constraint is called in wishes.
    rule: Scores images.
    recipe: How.
    strategy: To train with.
    say: Tells the user how far it is.
    callbacks: For `keras.Model.fit`.

  Raises:
    ValueError: The name cannot be used, the rule is no rule, or accepts too few
      images, or too many.
  """
  started = time.monotonic()
  _check_name(parts, name)
  generator = parts.generator
  decode = decoding.decoder(generator)
  scored = []

  def read(latents):
    # The images of a chunk are gone before those of the next one are made.
    return np.concatenate(
      [rule.values(p[decoding.IMAGES]) for p in decode.pieces(latents)]
    )

  def oracle(latents):
    scored.append(read(latents))
    return rule.targets(scored[-1])

  draw = _drawer(parts)
  at_once = batched.rows_at_once(generator.image_shape, _CHECKED // 4)
  tried = draw(max(4 * at_once, _TIMED), recipe.seed)
  say(f"Trying {rule} on {len(tried)} images")
  rule.check(decode(tried)[decoding.IMAGES], rare=True)
  began = time.monotonic()
  read(tried[:_TIMED])
  say(_duration(recipe, (time.monotonic() - began) / _TIMED))
  try:
    examples = scoring.collect(
      draw,
      oracle,
      lambda: _model(parts, recipe, strategy),
      parts.posterior_scale,
      count=recipe.count,
      limit=recipe.limit,
      folds=recipe.folds,
      seed=recipe.seed,
      say=say,
    )
  except scoring.TooFewError:
    # Of a rule that never differs, more can be said.
    rule.check_varies(np.concatenate(scored))
    raise
  source = {**rule.identity, "scored": len(examples)}
  return _learn(
    parts,
    name,
    examples,
    oracle,
    recipe,
    strategy,
    callbacks,
    source,
    continuous=not rule.binary,
    started=started,
  )


def from_labels(
  parts,
  name: str,
  labels: label_sets.Labels,
  source: dict,
  recipe: recipes.Constraint = _RECIPE,
  *,
  strategy: tf.distribute.Strategy | None = None,
  callbacks: Sequence[keras.callbacks.Callback] = (),
) -> learned_constraints.Learnt:
  """Learns from the labels of some images, or of some latent vectors.

  Args:
    parts: `parts.Parts`.
    name: What the constraint is called in wishes.
    labels: Of rows of the training split of the cache, if not of latents.
    source: Where the labels come from, for the manifest.
    recipe: How.
    strategy: To train with.
    callbacks: For `keras.Model.fit`.

  Raises:
    ValueError: The name cannot be used, or the labels cannot be learnt from.
  """
  started = time.monotonic()
  _check_name(parts, name)
  by_image = labels.ids is not None or labels.files is not None
  if by_image and not parts.encoded:
    raise ValueError(
      "The latents of this generator are draws of the prior and not encoded "
      "images, so that labels by image mean nothing: give labels of what seeds "
      "make (a column `seed`), of latent vectors (`z0`, `z1`, ...), or a rule."
    )
  labels = labels.located(parts.files)
  mean, scale = labels.rows(parts.latents["train"], parts.posterior_scale)
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
    reread = batched.Batched(
      lambda latents: {"value": tf.sigmoid(model(_again(parts, latents)))},
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
    callbacks,
    {**source, "labels": len(examples)},
    continuous=bool(continuous),
    started=started,
    model=model,
  )


def _learn(
  parts,
  name,
  examples,
  oracle,
  recipe,
  strategy,
  callbacks,
  source,
  *,
  continuous,
  started,
  model=None,
):
  """Trains, calibrates and describes a critic, and perhaps an actor."""
  model = model or _model(parts, recipe, strategy)
  edits = [fitting.downhill(model, parts.covariance, continuous)]
  edits *= recipe.rounds - 1
  learner = None
  if recipe.actor_steps:
    learner = amortised.Learner(
      parts,
      learned_constraints.Learnt(name, model, {"continuous": continuous}),
      recipe.actor_steps,
      seed=recipe.seed,
      strategy=strategy,
      callbacks=callbacks,
    )
    edits += [learner.edit] * (recipes.ACTOR_ROUNDS - 1)
  if oracle is None:
    # Nothing can say what an edit shows: there are none to learn from.
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
  figures = trust.calibrate(model, examples)
  manifest = {
    "generator": parts.fingerprint,
    "continuous": continuous,
    "source": source,
    "recipe": dataclasses.asdict(recipe),
    "figures": figures,
    "trustworthy": trust.trustworthy(figures),
    "margin": trust.margin(model, examples, objective.ROBUST_NOISE),
    "lc_keras": version.__version__,
  }
  if learner:
    learner.train(examples)
    manifest["actor"] = learner.figures(oracle)
  manifest["seconds"] = time.monotonic() - started
  return learned_constraints.Learnt(
    name, model, manifest, learner and learner.actor
  )


def _model(parts, recipe, strategy):
  """Returns an untrained model."""
  keras.utils.set_random_seed(recipe.seed)
  with (strategy or tf.distribute.get_strategy()).scope():
    model = value_model.ValueModel(
      parts.generator.latent_size, recipe.width, recipe.depth, recipe.folds
    )
    fitting.compile_model(model, recipe.all_steps, recipe.noise_scale)
  return model


def _drawer(parts):
  """Returns what makes draws: of the prior, and of encoded images if any."""
  encodes = generators.can_encode(parts.generator)

  def draw(count, seed):
    random = np.random.default_rng(seed)
    latents = random.normal(size=[count, parts.generator.latent_size])
    if encodes:
      rows = random.integers(len(parts.latents["train"]), size=count // 2)
      half = slice(0, count // 2)
      latents[half] *= parts.latents["train"].scale[rows]
      latents[half] += parts.latents["train"].mean[rows]
    return latents.astype(np.float32)

  return draw


def _duration(recipe, seconds):
  """Returns a sentence on how long scoring takes, at so many seconds a row."""
  edits = (recipe.all_steps // recipe.steps - 1) * fitting.EDITS
  rows = recipe.count + edits
  total = rows * seconds
  told = f"{total:.0f} s" if total < 100 else f"{total / 60:.0f} min"
  return f"About {rows:,} images are scored, {1 / seconds:.3g} a second: {told}"


def _again(parts, latents):
  """Returns the posterior means of what latents decode to."""
  generator = parts.generator
  return generator.encode(generator.decode(latents).mean()).mean()


def _check_name(parts, name):
  learned_constraints.check_name(name)
  # Raises if the run's own attributes have it.
  parts.own_attributes.extended([name])
