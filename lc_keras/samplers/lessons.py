"""Lessons: a sampler's answers to requests, for an actor to imitate.

A sampler that takes many steps answers once, and an actor learns to do the same
in one: distillation, as of diffusion models into few steps (Luhman and
Luhman, 2021, https://arxiv.org/abs/2101.02388).
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf

from lc_keras import priors
from lc_keras import recipes
from lc_keras.constraints import constraint as constraints
from lc_keras.data import latent_batches
from lc_keras.data import latents as latent_rows
from lc_keras.models import switching
from lc_keras.samplers import flow
from lc_keras.samplers import sampler

Lessons = dict[str, np.ndarray]
_BATCH_SIZE = 500
# The sampler's own.
_TEACHER_STEPS = 8
_VALIDATION_LESSONS = 1000


def of_flow(
  parts,
  recipe: recipes.Actor,
  progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Lessons]:
  """Returns the lessons that the flow of parts gives an actor.

  Args:
    parts: `parts.Parts` with the models "flow" and "attributes".
    recipe: Says how many lessons, and which.
    progress: Wraps the batches, to show the progress.

  Returns:
    Lessons for the splits "train" and "validation".
  """
  teacher = flow.FlowSampler(
    parts.own_judges(), parts.models["flow"], steps=_TEACHER_STEPS
  )
  counts = {
    "train": recipe.lessons,
    "validation": min(recipe.lessons, _VALIDATION_LESSONS),
  }
  lesson = function(teacher, recipe.masked_fraction, recipe.seed)
  return {
    split: make(
      lesson,
      parts.labelled(split),
      count,
      balanced_fraction=recipe.balanced_fraction,
      seed=recipe.seed,
      progress=progress,
    )
    for split, count in counts.items()
  }


def function(
  teacher: sampler.Transformer, open_fraction: float = 0.5, seed: int = 0
) -> Callable[[tf.Tensor, Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
  """Returns what makes a batch of lessons, for `make`.

  It is traced once for all splits: that takes longer than small ones do.

  Args:
    teacher: Samples and transforms.
    open_fraction: Share of requests for samples that leave something open.
    seed: Of all draws.

  Returns:
    A function of a step, an int64 scalar, and a batch as of
    `latent_batches.at_random` to a batch of what `make` returns.
  """
  excludes = teacher.judges.attributes.excludes

  def ask(step, batch):
    own = batch["attributes"]
    batch_size = tf.shape(own, tf.int64)[0]
    step_seeds = [tf.stack([tf.cast(step, tf.int32), n]) for n in range(2)]
    seeds = step * batch_size + tf.range(batch_size, dtype=tf.int64)
    seeds += seed * (1 << 32)
    switched, about = switching.switch(own, batch["focus"], excludes)
    mask = switching.open_some(about, open_fraction, step_seeds[0])
    sampled = teacher.sample(constraints.Constraint(own, mask), seeds)
    noise = tf.random.stateless_normal(tf.shape(batch["mean"]), step_seeds[1])
    real = batch["mean"] + batch["scale"] * noise
    stays = (seeds % 4 == 0)[:, tf.newaxis]
    request = constraints.Constraint(
      switched, tf.where(stays, tf.zeros_like(about), about)
    )
    edit = teacher.judges.edit(real, request)
    # Where nothing is asked for, nobody is asked.
    others = tf.where(seeds % 4 != 0)
    chosen = [tf.gather_nd(all_of, others) for all_of in (switched, about)]
    edited = teacher.transform(
      tf.gather_nd(real, others),
      constraints.Constraint(*chosen),
      tf.gather_nd(seeds, others),
    )
    return {
      "prior": priors.sample_rows(seeds, teacher.latent_size),
      "prior_values": own,
      "prior_mask": mask,
      "prior_moved": sampled.latents,
      "real": real,
      "real_values": edit.shown.values,
      "real_mask": edit.shown.mask,
      "real_moved": tf.tensor_scatter_nd_update(real, others, edited.latents),
    }

  latents = tf.TensorSpec([None, teacher.latent_size])
  spec = {
    "mean": latents,
    "scale": latents,
    "attributes": tf.TensorSpec([None, len(excludes)]),
    "focus": tf.TensorSpec([None], tf.int64),
  }
  return tf.function(ask, [tf.TensorSpec([], tf.int64), spec], autograph=False)


def make(
  lesson: Callable[[tf.Tensor, Mapping[str, tf.Tensor]], dict[str, tf.Tensor]],
  rows: latent_rows.Latents,
  count: int,
  *,
  balanced_fraction: float = 0.0,
  seed: int = 0,
  progress: Callable[[Iterable], Iterable] = iter,
) -> Lessons:
  """Asks a sampler for samples, and for edits of encoded images.

  Args:
    lesson: Makes a batch of them, see `function`.
    rows: Encoded images: their labels become requests, and they are edited.
    count: How many of each, at least.
    balanced_fraction: See `latent_batches.at_random`.
    seed: Of the choice of rows; that of `function`.
    progress: Wraps the batches, to show how far it is.

  Returns:
    Float32 arrays of the same number of rows: "prior" (draws of the prior),
    "prior_values" and "prior_mask" (the requests), "prior_moved" (the teacher's
    samples); and "real", "real_values", "real_mask" and "real_moved", the same
    for encoded images, where one attribute is switched and all others kept. A
    quarter of these ask for no change.
  """
  batch_size = min(_BATCH_SIZE, len(rows))
  batches = latent_batches.at_random(
    rows, batch_size, balanced_fraction=balanced_fraction, seed=seed
  )
  steps = math.ceil(count / batch_size)
  made = {}
  for step, batch in zip(progress(range(steps)), batches):
    first = step * batch_size
    for name, answers in lesson(tf.constant(step, tf.int64), batch).items():
      if name not in made:
        # Filled in place: joined in the end, all would be held twice.
        shape = [steps * batch_size, *answers.shape[1:]]
        made[name] = np.empty(shape, np.float32)
      made[name][first : first + batch_size] = answers
  return made
