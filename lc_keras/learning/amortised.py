"""Learns a constraint's actor, whose single step replaces a search."""

import dataclasses
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from lc_keras import recipes
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.evaluation import intervals
from lc_keras.learning import calibration
from lc_keras.learning import examples as example_sets
from lc_keras.learning import fitting
from lc_keras.learning import learned_constraints
from lc_keras.models import adam
from lc_keras.models import value_actor
from lc_keras.samplers import objective as objective_lib

_BATCH_SIZE = 128
_LEARNING_RATE = 1e-3
# As published for actors. (A search needs less of either, since it stops when
# all targets are met.)
_REALISM_WEIGHT = 1.0
_DISTANCE_WEIGHT = 0.1
# Most encoded images to train on, and number of those to evaluate on.
_ROWS = 20_000
_TRIED = 512


class Learner:
  """Trains an actor in alternation with its critic.

  Its loss is that of a search, with the published weights of realism and of the
  distance to the start. An actor soon misleads a critic that is not trained on
  its edits: with ink_mass of Fashion-MNIST, all of an actor's edits read as
  requested, and 66% were. Trained on some of them between rounds, 93% were.

  Attributes:
    actor: The actor.
  """

  def __init__(
    self,
    parts,
    learned: learned_constraints.LearnedConstraint,
    steps: int,
    *,
    seed: int = 0,
    strategy: tf.distribute.Strategy | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
  ):
    """Creates the actor.

    Args:
      parts: `parts.Parts`.
      learned: The constraint; its critic may be trained between rounds.
      steps: Steps of all rounds together.
      seed: Seed of weights and draws.
      strategy: Distribution strategy of the training.
      callbacks: Callbacks for `keras.Model.fit`.
    """
    self._parts = parts
    self._learned = learned
    self._seed = seed
    self._callbacks = list(callbacks)
    rounds = recipes.ACTOR_ROUNDS
    self._ends = [steps * (n + 1) // rounds for n in range(rounds)]
    self._done = 0
    self._seconds = 0.0
    # Readings of typical images that are off and on, see `Judges.margin`.
    self._typical = tf.Variable([0.0, 1.0], trainable=False)
    self._judges = learned_constraints.extend(parts.own_judges(), [learned])
    self._objective = dataclasses.replace(
      objective_lib.Objective.robust(self._judges),
      realism_weight=_REALISM_WEIGHT,
      distance_weight=_DISTANCE_WEIGHT,
    )
    keras.utils.set_random_seed(seed)
    with (strategy or tf.distribute.get_strategy()).scope():
      self.actor = value_actor.ValueActor(len(parts.posterior_scale))
      self.actor.whitening.adapt(parts.latents["train"])
      self.actor.compile(
        adam.Adam(
          keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
        ),
        loss_of_move=self._loss,
        read_value=learned.model,
        continuous=learned.continuous,
      )

  def train(self, examples: example_sets.Examples) -> None:
    """Trains for the remaining rounds.

    Args:
      examples: The critic's examples, on and off. Encoded images are added,
        labelled by the critic.
    """
    while self._ends:
      self._train(examples)

  def edit(
    self, examples: example_sets.Examples, seed: tuple[int, int]
  ) -> example_sets.Examples:
    """Trains for a round and edits some rows by the actor; a `fitting.Edit`."""
    self._train(examples)
    rows, start, wanted = fitting.requests(
      examples, self._learned.continuous, seed
    )
    moved = self.actor(tf.constant(start), tf.constant(wanted))
    return dataclasses.replace(rows, mean=moved.numpy())

  def figures(self, oracle: fitting.Oracle | None) -> dict:
    """Returns how often a single step of the actor meets a request.

    Encoded images are edited to the opposite of their reading. They are of the
    training split, since not every run has another, with noise of a new seed.

    Args:
      oracle: Labels the actor's results; None if there is none.

    Returns:
      JSON values: "rows", "seconds" of training, and the shares "read" (by the
      critic), "read_and_others_kept" and "true" (by the oracle), each with
      "value" and "interval" (95%).
    """
    judges, critic = self._judges, self._learned.model
    random = np.random.default_rng((self._seed, 1))
    train = self._parts.latents["train"]
    rows = random.permutation(len(train))[:_TRIED]
    noise = random.normal(size=train.mean[rows].shape)
    start = tf.constant(
      train.mean[rows] + train.scale[rows] * noise, tf.float32
    )
    wanted = 1.0 - np.round(tf.sigmoid(critic(start)).numpy())
    moved = self.actor(start, tf.constant(wanted))
    kept = judges.edit(start, self._request(tf.constant(wanted))).shown
    shares = {
      "read": np.round(tf.sigmoid(critic(moved)).numpy()) == wanted,
      "read_and_others_kept": kept.satisfied(
        tf.sigmoid(judges.attribute_critic(moved))
      ).numpy(),
    }
    if oracle is not None:
      shares["true"] = np.round(oracle(moved.numpy())) == wanted
    return {
      "rows": len(rows),
      "seconds": self._seconds,
      **{
        name: {"value": float(share.mean()), "interval": intervals.share(share)}
        for name, share in shares.items()
      },
    }

  def _train(self, examples):
    """Trains for a round."""
    started = time.monotonic()
    off, on = calibration.margin(
      self._learned.model, examples, objective_lib.ROBUST_NOISE
    )
    self._typical.assign([off, 1.0 - on])
    rows = examples.and_(self._encoded())
    end = self._ends.pop(0)
    if end > self._done:
      self.actor.fit(
        rows.batches(_BATCH_SIZE, self._seed + self._done),
        steps_per_epoch=end - self._done,
        callbacks=self._callbacks,
        shuffle=False,
        verbose=0,
      )
    self._done = end
    self._seconds += time.monotonic() - started

  def _loss(self, start, moved, value, seeds):
    """Returns the loss of a move, see `ValueActor.compile`."""
    off, on = self._typical[0], self._typical[1]
    edit = self._judges.edit(start, self._request(off + value * (on - off)))
    readings = self._objective.read_judges(
      moved,
      self._judges.realism_under(edit.shown),
      self._objective.draw(seeds)[:, 0],
    )
    return self._objective.loss(moved, start, edit, readings)

  def _request(self, value):
    """Returns the request for values [batch] of the constraint alone."""
    count = len(self._judges.attributes)
    column = tf.one_hot(count - 1, count)
    return constraint_lib.Constraint(
      value[:, tf.newaxis] * column,
      tf.ones_like(value)[:, tf.newaxis] * column,
    )

  def _encoded(self):
    """Returns rows of the training split, labelled by the critic."""
    train = self._parts.latents["train"]
    rows = np.random.default_rng(self._seed).permutation(len(train))[:_ROWS]
    mean = train.mean[rows]
    logits = self._learned.model.predict(mean, batch_size=4096, verbose=0)
    return example_sets.Examples.of(
      mean, train.scale[rows], logits > 0.0, folds=1
    )
