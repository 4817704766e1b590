"""Fits the critic of a constraint, and has it meet its own mistakes."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from lc_keras import losses
from lc_keras.learning import examples as example_sets
from lc_keras.models import edits as led_edits
from lc_keras.models import value_model

# Latents [n, latent_size] to what is true of what they decode to, [n].
Oracle = Callable[[np.ndarray], np.ndarray]
# Examples and a seed to some of their rows, led to where a model reads them
# otherwise.
Edit = Callable[[example_sets.Examples, tuple[int, int]], example_sets.Examples]

_BATCH_SIZE = 128
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 1e-2
# Edits of a round; each has to be decoded.
EDITS = 1024


def compile_model(
  model: value_model.ValueModel, steps: int, noise_scale: float = 1.0
) -> None:
  """Compiles a model for `learn`, in the scope of its strategy.

  Args:
    model: Not trained yet.
    steps: In all, over all rounds.
    noise_scale: See `ValueModel.compile`.
  """
  model.compile(
    keras.optimizers.AdamW(
      keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps),
      weight_decay=_WEIGHT_DECAY,
    ),
    noise_scale=noise_scale,
    jit_compile=False,
  )


def learn(
  model: value_model.ValueModel,
  examples: example_sets.Examples,
  oracle: Oracle,
  edits: Sequence[Edit],
  *,
  steps: int,
  seed: int = 0,
  callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
  """Trains a model; between two rounds it is shown what its edits really are.

  Whoever follows a critic finds latent vectors that it misreads, see
  `AttributeModel`. So after each round but the last somebody leads some rows to
  where it reads them otherwise, and what the oracle says of these are more
  examples.

  Args:
    model: Compiled.
    examples: What is known.
    oracle: Says what is true, such as a rule on what a latent decodes to.
    edits: Who leads rows after each round; the last round has none after it.
    steps: Of each round.
    seed: Of the order of rows, and of the edits.
    callbacks: For `keras.Model.fit`, such as one that shows progress.
  """
  known = examples
  for number in range(len(edits) + 1):
    model.fit(
      known.batches(_BATCH_SIZE, seed + number),
      steps_per_epoch=steps,
      epochs=number + 1,
      initial_epoch=number,
      callbacks=list(callbacks),
      shuffle=False,
      verbose=0,
    )
    if number < len(edits):
      edited = edits[number](examples, (seed, number))
      labelled = dataclasses.replace(
        edited, value=np.asarray(oracle(edited.mean), np.float32)
      )
      known = known.and_(labelled)


def downhill(
  model: value_model.ValueModel, covariance: np.ndarray, continuous: bool
) -> Edit:
  """Returns what leads rows along the slope of a model, see `edits.lead`.

  Args:
    model: Reads them.
    covariance: [latent_size, latent_size], see `edits.lead`.
    continuous: Whether values between 0 and 1 are asked for, too.
  """

  def edit(examples, seed):
    rows, start, wanted = requests(examples, continuous, seed)
    moved = led_edits.lead(
      tf.constant(start),
      lambda z: losses.attribute_cross_entropy(
        model(z)[:, tf.newaxis], wanted[:, np.newaxis]
      ),
      tf.constant(covariance, tf.float32),
      tf.constant(seed, tf.int32),
    )
    return dataclasses.replace(rows, mean=moved.numpy())

  return edit


def requests(
  examples: example_sets.Examples, continuous: bool, seed: tuple[int, int]
) -> tuple[example_sets.Examples, np.ndarray, np.ndarray]:
  """Returns rows to lead somewhere else, as many that are on as off.

  Args:
    examples: Rows of either kind.
    continuous: Whether values between 0 and 1 are asked for, too.
    seed: Of the choice of rows, and of their noise.

  Returns:
    The rows, draws of their posteriors [n, latent_size], and what to make of
    them, [n] in [0, 1]; all float32.
  """
  random = np.random.default_rng(seed)
  count = min(len(examples), EDITS)
  lists = [np.flatnonzero(~examples.on), np.flatnonzero(examples.on)]
  rows = examples.take(
    np.concatenate([random.choice(rows, count // 2) for rows in lists])
  )
  wanted = 1.0 - np.round(rows.value)
  if continuous:
    wanted = random.uniform(size=len(rows)).astype(np.float32)
  noise = random.normal(size=rows.mean.shape).astype(np.float32)
  return rows, rows.mean + rows.scale * noise, wanted
