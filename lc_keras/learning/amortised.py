"""Learns a constraint's actor: what a search does in many steps, in one."""

import dataclasses
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from lc_keras import parts as parts_lib
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.evaluation import intervals
from lc_keras.learning import examples as examples_lib
from lc_keras.learning import fitting
from lc_keras.learning import learnt as learnt_lib
from lc_keras.models import value_actor
from lc_keras.samplers import objective as objective_lib

_BATCH_SIZE = 256
_LEARNING_RATE = 1e-3
_WARMUP_STEPS = 50
# An actor that may go anywhere the judges like goes too far, as published.
_DISTANCE_WEIGHT = 0.1
# Encoded images that it learns from at most, and that it is tried on.
_ROWS = 20_000
_TRIED = 512


def learn(
  parts: parts_lib.Parts,
  learnt: learnt_lib.Learnt,
  examples: examples_lib.Examples,
  oracle: fitting.Oracle | None,
  *,
  steps: int,
  seed: int = 0,
  strategy: tf.distribute.Strategy | None = None,
  callbacks: Sequence[keras.callbacks.Callback] = (),
) -> learnt_lib.Learnt:
  """Returns a constraint with an actor.

  The actor is trained on the very loss that a search minimises
  (`Objective.robust`, and the published pull towards the start).

  Args:
    parts: The run.
    learnt: The constraint, with its critic.
    examples: What that was learnt from, rows of either kind; the actor also
      learns from encoded images, by what the critic reads.
    oracle: Says of what the actor made what it really is; None if nobody can.
    steps: Of training.
    seed: Of everything.
    strategy: To train with.
    callbacks: For `keras.Model.fit`.
  """
  started = time.monotonic()
  judges = learnt_lib.extend(parts.judges(), [learnt])
  objective = dataclasses.replace(
    objective_lib.Objective.robust(judges), distance_weight=_DISTANCE_WEIGHT
  )

  def loss_of_move(start, moved, value, seeds):
    goal = objective.keeping(start, _only(judges, value))
    seen = objective.look(moved, goal, seeds, tf.constant(0))
    return objective.loss(moved, start, goal, seen)

  keras.utils.set_random_seed(seed)
  with (strategy or tf.distribute.get_strategy()).scope():
    model = value_actor.ValueActor(len(parts.posterior_scale))
    model.whitening.adapt(parts.train)
    model.compile(
      keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(
          0.0, steps, warmup_target=_LEARNING_RATE, warmup_steps=_WARMUP_STEPS
        )
      ),
      loss_of_move=loss_of_move,
      read_value=learnt.model,
      continuous=learnt.continuous,
      jit_compile=False,
    )
  rows = examples.and_(_encoded(parts, learnt, seed))
  model.fit(
    rows.batches(_BATCH_SIZE, seed),
    steps_per_epoch=steps,
    callbacks=list(callbacks),
    shuffle=False,
    verbose=0,
  )
  figures = _figures(parts, judges, learnt, model, oracle, seed)
  figures["seconds"] = time.monotonic() - started
  return dataclasses.replace(
    learnt, actor=model, manifest={**learnt.manifest, "actor": figures}
  )


def _encoded(parts, learnt, seed):
  """Returns rows of the training split, with what the critic reads."""
  rows = np.random.default_rng(seed).permutation(len(parts.train))[:_ROWS]
  mean = parts.train.mean[rows]
  logits = learnt.model.predict(mean, batch_size=4096, verbose=0)
  return examples_lib.Examples.of(
    mean, parts.train.scale[rows], logits > 0.0, folds=1
  )


def _figures(parts, judges, learnt, model, oracle, seed):
  """Returns how often a single step of the actor makes what is asked for.

  Of encoded images that read otherwise; of rows of the training split, since
  not every run has another, with noise that training has not met.
  """
  random = np.random.default_rng((seed, 1))
  rows = random.permutation(len(parts.train))[:_TRIED]
  noise = random.normal(size=[len(rows), len(parts.posterior_scale)])
  start = parts.train.mean[rows] + parts.train.scale[rows] * noise
  start = tf.constant(start, tf.float32)
  wanted = 1.0 - np.round(tf.sigmoid(learnt.model(start)).numpy())
  moved = model(start, tf.constant(wanted))
  read = tf.sigmoid(learnt.model(moved)).numpy()
  kept = judges.keep(start, _only(judges, tf.constant(wanted)))
  all_read = kept.satisfied(tf.sigmoid(judges.attribute_critic(moved))).numpy()
  shares = {"read": np.round(read) == wanted, "read_and_others_kept": all_read}
  if oracle is not None:
    shares["true"] = np.round(oracle(moved.numpy())) == wanted
  return {
    "rows": len(rows),
    **{
      name: {
        "value": float(share.mean()),
        "interval": intervals.share(share),
      }
      for name, share in shares.items()
    },
  }


def _only(judges, value):
  """Returns the wish for a value of the last attribute, [batch]."""
  column = tf.one_hot(len(judges.attributes) - 1, len(judges.attributes))
  return constraint_lib.Constraint(
    value[:, tf.newaxis] * column, tf.ones_like(value)[:, tf.newaxis] * column
  )
