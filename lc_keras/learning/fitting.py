"""Trains the critic of a constraint, also on edits that mislead it."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from lc_keras import losses
from lc_keras.learning import examples as example_sets
from lc_keras.models import edits as critic_edits
from lc_keras.models import value_model

# Maps latents [n, latent_size] to the true values of their images, [n].
Oracle = Callable[[np.ndarray], np.ndarray]
# Maps examples and a seed to some of their rows, moved to where a model reads
# other values.
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
    model: The untrained model.
    steps: Steps of all rounds together.
    noise_scale: See `ValueModel.compile`.
  """
  model.compile(
    keras.optimizers.AdamW(
      keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps),
      weight_decay=_WEIGHT_DECAY,
    ),
    noise_scale=noise_scale,
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
  """Trains a model in rounds; after each but the last, it learns from edits.

  Optimising latents by a critic leads to some that it misreads, see
  `AttributeModel`. So after each round but the last, some rows are moved to
  where the model reads other values, labelled by the oracle, and added to the
  examples.

  Args:
    model: The compiled model.
    examples: The examples of the first round.
    oracle: Labels moved rows, such as by a rule about their images.
    edits: For each round but the last, the function that moves rows after it.
    steps: Steps of each round.
    seed: Seed of the order of rows, and of the edits.
    callbacks: Callbacks for `keras.Model.fit`, such as for progress.
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


def gradient_edit(
  model: value_model.ValueModel, covariance: np.ndarray, continuous: bool
) -> Edit:
  """Returns a function that moves rows along a model's gradient.

  Args:
    model: The model.
    covariance: [latent_size, latent_size], see `edits.descend`.
    continuous: Whether targets may lie between 0 and 1.
  """

  def edit(examples, seed):
    rows, start, wanted = requests(examples, continuous, seed)
    moved = critic_edits.descend(
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
  """Returns rows to edit, half of them on, and their targets.

  Args:
    examples: Rows of either kind.
    continuous: Whether targets may lie between 0 and 1.
    seed: Seed of the choice of rows, and of their noise.

  Returns:
    The rows, draws of their posteriors [n, latent_size], and their targets, [n]
    in [0, 1]; all float32.
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
