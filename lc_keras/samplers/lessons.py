"""Lessons: a teacher's answers to requests, which an actor learns to imitate.

The teacher is a sampler of many steps; the actor learns to give its answers in
one: distillation, as of diffusion models into few steps (Luhman and Luhman,
2021, https://arxiv.org/abs/2101.02388).
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from lc_keras import priors
from lc_keras import progress as progresses
from lc_keras import recipes
from lc_keras.constraints import constraint as constraints
from lc_keras.data import latent_batches
from lc_keras.data import latents as latent_rows
from lc_keras.models import switching
from lc_keras.samplers import flow
from lc_keras.samplers import sampler

Lessons = dict[str, np.ndarray]
_BATCH_SIZE = 500
# The default of `FlowSampler`.
_TEACHER_STEPS = 8
_VALIDATION_LESSONS = 1000


def of_flow(
  parts,
  recipe: recipes.Actor,
  progress: progresses.Progress = progresses.SILENT,
) -> dict[str, Lessons]:
  """Returns lessons in which the flow of `parts` teaches an actor.

  Args:
    parts: `parts.Parts` with the models "flow" and "attributes".
    recipe: Gives the number of lessons and the kinds of requests.
    progress: Shows the progress.

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
  make_batch = make_batch_function(teacher, recipe.masked_fraction, recipe.seed)
  return {
    split: make_lessons(
      make_batch,
      parts.labelled(split),
      count,
      balanced_fraction=recipe.balanced_fraction,
      seed=recipe.seed,
      progress=progress,
    )
    for split, count in counts.items()
  }


def make_batch_function(
  teacher: sampler.Transformer, open_fraction: float = 0.5, seed: int = 0
) -> Callable[[tf.Tensor, Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
  """Returns a `tf.function` that makes a batch of lessons, for `make_lessons`.

  It is traced once for all splits: tracing takes longer than a small split.

  Args:
    teacher: The sampler that answers.
    open_fraction: Share of requests for samples that leave attributes open.
    seed: Seed of all draws.

  Returns:
    A function of a step, an int64 scalar, and a batch of
    `latent_batches.at_random`, which returns lessons of that batch.
  """
  excludes = teacher.judges.attributes.excludes

  def ask(step, batch):
    own = batch["attributes"]
    batch_size = tf.shape(own, tf.int64)[0]
    step_seeds = [tf.stack([tf.cast(step, tf.int32), n]) for n in range(2)]
    seeds = step * batch_size + tf.range(batch_size, dtype=tf.int64)
    seeds += seed * (1 << 32)
    switched, about = switching.switch(own, batch["focus"], excludes)
    mask = switching.random_mask(about, open_fraction, step_seeds[0])
    sampled = teacher.sample(constraints.Constraint(own, mask), seeds)
    real = latent_rows.sample(batch, step_seeds[1])
    stays = (seeds % 4 == 0)[:, tf.newaxis]
    request = constraints.Constraint(
      switched, tf.where(stays, tf.zeros_like(about), about)
    )
    edit = teacher.judges.edit(real, request)
    # The teacher edits only the rows that request a change.
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


def make_lessons(
  make_batch: Callable[
    [tf.Tensor, Mapping[str, tf.Tensor]], dict[str, tf.Tensor]
  ],
  rows: latent_rows.Latents,
  count: int,
  *,
  balanced_fraction: float = 0.0,
  seed: int = 0,
  progress: progresses.Progress = progresses.SILENT,
) -> Lessons:
  """Makes lessons of sampling and of editing encoded images.

  Args:
    make_batch: Makes a batch of lessons, see `make_batch_function`.
    rows: Encoded images, to be edited; their labels become the requests.
    count: Least number of samples, and of edits.
    balanced_fraction: See `latent_batches.at_random`.
    seed: Seed of the choice of rows; give the one of `make_batch_function`.
    progress: Shows the progress.

  Returns:
    Float32 arrays of the same number of rows: "prior" (draws of the prior),
    "prior_values" and "prior_mask" (the requests), "prior_moved" (the teacher's
    samples); and "real", "real_values", "real_mask" and "real_moved", the same
    for encoded images, where one attribute is switched and all others kept. A
    quarter of these request no change.
  """
  batch_size = min(_BATCH_SIZE, len(rows))
  batches = latent_batches.at_random(
    rows, batch_size, balanced_fraction=balanced_fraction, seed=seed
  )
  steps = math.ceil(count / batch_size)
  made = {}
  bar = progress.bar(steps * batch_size, " lessons")
  for step, batch in zip(range(steps), batches):
    first = step * batch_size
    for name, answers in make_batch(tf.constant(step, tf.int64), batch).items():
      if name not in made:
        # Filled in place: joining batches at the end takes twice the memory.
        shape = [steps * batch_size, *answers.shape[1:]]
        made[name] = np.empty(shape, np.float32)
      made[name][first : first + batch_size] = answers
    bar.update(batch_size)
  bar.close()
  return made
