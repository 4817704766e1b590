"""Gradient search: an optimiser in place of an actor, row by row."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from lc_keras.constraints import constraint as constraints
from lc_keras.samplers import objective as objectives
from lc_keras.samplers import sampler

# Maps a constraint and seeds to latent vectors [batch, latent_size].
Starts = Callable[[constraints.Constraint, tf.Tensor], tf.Tensor]

# Adam's momentum and its guard against division by zero, as Kingma and Ba
# (2015) recommend; the paper uses them, too.
_BETA_1 = 0.9
_EPSILON = 1e-8
# Steps whose noise is drawn together.
_STEPS_PER_DRAW = 10


class GradientSearch(sampler.Transformer):
  """Minimises a constraint's `Objective` in z by Adam, row by row.

  A row has converged and stops when D(z', y) exceeds 0.3 and each requested
  attribute reads within `tolerance` of its target. A row that has converged at
  the start is returned bit for bit, after 0 steps. Every call resets Adam. (The
  authors' notebook carries its moments from one edit to the next, and takes
  step 0 for "did not converge", so that it moves rows that need no move.)

  The defaults are as published. They find adversarial latents, which D_attr
  reads as requested but which decode to other images: in most dimensions of
  q(z) encoded images hardly vary, so that D_attr was not trained on moves
  there, yet Adam moves as far as elsewhere. `covariance` makes the search move
  where encoded images vary; noise in the objective avoids changes that only
  D_attr sees.

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> attributes = lc_keras.Attributes(["Smiling", "Male"])
  >>> judges = lc_keras.Judges(
  ...   attributes,
  ...   critic=lambda z, values, mask: 3.0 - z[:, 2] ** 2,
  ...   attribute_critic=lambda z: 9.0 * z[:, :2],
  ...   posterior_scale=tf.fill([3], 0.1),
  ... )
  >>> rows = lc_keras.parse("Smiling, not Male", attributes).rows(4)
  >>> seeds = tf.range(4, dtype=tf.int64)
  >>> made = lc_keras.GradientSearch(judges, max_steps=10).sample(rows, seeds)
  >>> tuple(made.latents.shape)
  (4, 3)
  """

  def __init__(
    self,
    judges: sampler.Judges,
    objective: objectives.Objective | None = None,
    *,
    covariance: tf.Tensor | None = None,
    tolerance: float = 1e-2,
    keep_tolerance: float = math.inf,
    learning_rate: float = 1e-2,
    beta_2: float = 0.999,
    max_steps: int = 300,
    starts: Starts | None = None,
  ):
    """Creates the sampler.

    Args:
      judges: The critics.
      objective: The loss, with the same judges; None is the published one.
      covariance: [latent_size, latent_size], of the encoder's means, see
        `latents.covariance`. The search then uses whitened coordinates, and one
        Adam step size for the whole row.
      tolerance: Largest distance of a probability from its target; larger where
        the judges' margin is, see `Judges.tolerance`.
      keep_tolerance: Largest distance of a kept attribute's probability from
        its value at the start for a row to stop; without limit in the published
        search. It does not count for `converged`.
      learning_rate: Learning rate of Adam, about the size of a step in each
        dimension; of the whitened coordinates if `covariance` is given.
      beta_2: Decay of Adam's second moments. The published value slows a row
        down near its target, where D_attr saturates.
      max_steps: Steps after which an unfinished row stops, not converged.
      starts: Makes the starts of samples, such as another sampler's samples of
        the same constraint, which are realistic and nearly meet it. None, as
        published, starts from draws of the prior.
    """
    super().__init__(judges)
    self._objective = objective or objectives.Objective(judges)
    self._root = None if covariance is None else _square_root(covariance)
    self._tolerance = tolerance
    self._keep_tolerance = keep_tolerance
    self._learning_rate = learning_rate
    self._beta_2 = beta_2
    self._max_steps = max_steps
    self._starts = starts

  @classmethod
  def robust(
    cls,
    judges: sampler.Judges,
    covariance: tf.Tensor,
    starts: Starts | None = None,
  ) -> "GradientSearch":
    """Returns a search whose edits also show in the image.

    Args:
      judges: The critics; the realism of results takes the place of D.
      covariance: See `__init__`.
      starts: See `__init__`.
    """
    judges = judges.with_realism_as_critic()
    return cls(
      judges,
      objectives.Objective.robust(judges),
      covariance=covariance,
      keep_tolerance=0.3,
      learning_rate=2e-2,
      beta_2=0.9,
      starts=starts,
    )

  @classmethod
  def near(
    cls,
    judges: sampler.Judges,
    covariance: tf.Tensor,
    starts: Starts | None = None,
  ) -> "GradientSearch":
    """Returns a search near its start, for a generator with a mapping.

    Critics of a mapping's latents learn from few labels and are never certain:
    a search that continues until they are loses a face's identity, and in the
    end leaves the set of images. So this one penalises distance and stops
    earlier.

    Args:
      judges: The critics.
      covariance: See `__init__`.
      starts: See `__init__`.
    """
    return cls(
      judges,
      dataclasses.replace(
        objectives.Objective.robust(judges), distance_weight=0.1
      ),
      covariance=covariance,
      tolerance=0.05,
      keep_tolerance=0.3,
      learning_rate=5e-3,
      beta_2=0.9,
      max_steps=240,
      starts=starts,
    )

  def sample(self, constraint, seeds):
    """See base class. `converged` is the published criterion.

    `distance` and `steps` are those of the search alone.
    """
    starts = self._starts or (lambda constraint, seeds: self._start(seeds))
    return self.improve(starts(constraint, seeds), constraint, seeds)

  def edit(self, latents, edit, seeds):
    """See base class. `converged` is the published criterion."""
    return self.search(latents, edit, seeds)

  def improve(
    self,
    start: tf.Tensor,
    constraint: constraints.Constraint,
    seeds: tf.Tensor,
    rows: tf.Tensor | None = None,
  ) -> sampler.Result:
    """Searches from samples, without keeping any of their attributes.

    Args:
      start: [batch, latent_size].
      constraint: Of `batch` rows.
      seeds: int64 [batch], any numbers.
      rows: See `search`.
    """
    others = dataclasses.replace(
      constraint, weights=tf.zeros_like(constraint.weights)
    )
    edit = sampler.Edit(constraint, constraint, others, constraint.values)
    if self._starts is not None:
      # Critics are hardly trained on requests that leave all attributes open.
      # They are shown the starts' attributes instead, which mean little for
      # draws of the prior.
      edit = edit._replace(shown=self.judges.edit(start, constraint).shown)
    return self.search(start, edit, seeds, rows)

  def search(
    self,
    start: tf.Tensor,
    edit: sampler.Edit,
    seeds: tf.Tensor,
    rows: tf.Tensor | None = None,
  ) -> sampler.Result:
    """Minimises the loss of an edit.

    Args:
      start: [batch, latent_size], the start of the search; the edit may have
        been made for other latents.
      edit: The request.
      seeds: int64 [batch], any numbers.
      rows: bool [batch], False for rows not to move; None moves all.
    """
    if rows is None:
      rows = tf.ones_like(start[:, 0], tf.bool)
    objective = self._objective
    tolerance = self.judges.tolerance(edit.asked, self._tolerance)

    def satisfied(readings):
      good = tf.sigmoid(readings.realism) > sampler.REALISM_THRESHOLD
      for logits in readings.attribute_logits:
        probabilities = tf.sigmoid(logits)
        good &= edit.asked.satisfied(probabilities, tolerance)
        good &= edit.others.satisfied(probabilities, self._keep_tolerance)
      return good

    realism = self.judges.realism_under(edit.shown)

    def draw(step):
      number = step // _STEPS_PER_DRAW
      return objective.draw(seeds, number, _STEPS_PER_DRAW)

    def update(step, move, mean, square, searching, steps, noise):
      if objective.attribute_noise:
        noise = tf.cond(
          step % _STEPS_PER_DRAW == 0, lambda: draw(step), lambda: noise
        )
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(move)
        latents = start + self._in_latents(move)
        readings = objective.read_judges(
          latents, realism, noise[:, step % _STEPS_PER_DRAW]
        )
        # The loss of a row depends on that row alone: so does its gradient.
        values = objective.loss(latents, start, edit, readings)
      gradient = tape.gradient(values, move)
      searching &= ~satisfied(readings)
      step += 1
      mean = _BETA_1 * mean + (1.0 - _BETA_1) * gradient
      square = self._beta_2 * square + (1.0 - self._beta_2) * self._squares(
        gradient
      )
      count = tf.cast(step, tf.float32)
      direction = (mean / (1.0 - _BETA_1**count)) / (
        tf.sqrt(square / (1.0 - self._beta_2**count)) + _EPSILON
      )
      moved = move - self._learning_rate * direction
      move = tf.where(searching[:, tf.newaxis], moved, move)
      steps += tf.cast(searching, tf.int32)
      return step, move, mean, square, searching, steps, noise

    nowhere = tf.zeros_like(start)
    _, move, _, _, _, steps, _ = tf.while_loop(
      lambda step, move, mean, square, searching, *others: (
        (step < self._max_steps) & tf.reduce_any(searching)
      ),
      update,
      [
        tf.constant(0),
        nowhere,
        nowhere,
        nowhere,
        rows,
        tf.zeros_like(start[:, 0], tf.int32),
        tf.zeros_like(draw(0)),
      ],
    )
    latents = start + self._in_latents(move)
    result = self._result(latents, edit.shown, steps, start)
    # As published, kept attributes do not count.
    met = edit.asked.satisfied(result.attribute_probabilities, tolerance)
    return result._replace(
      converged=met & (result.realism > sampler.REALISM_THRESHOLD)
    )

  def _in_latents(self, move):
    return move if self._root is None else tf.matmul(move, self._root)

  def _squares(self, gradient):
    """Returns the squared gradients that Adam averages."""
    squares = tf.square(gradient)
    if self._root is None:
      return squares
    # One step size per row: with one per dimension, those without variance
    # would move as far as the others.
    row = tf.reduce_mean(squares, axis=-1, keepdims=True)
    return tf.broadcast_to(row, tf.shape(squares))


def _square_root(covariance):
  """Returns the symmetric root: it maps white vectors to this covariance."""
  variances, axes = tf.linalg.eigh(tf.cast(covariance, tf.float32))
  # Rounding can make a variance of zero negative.
  scales = tf.sqrt(tf.maximum(variances, 0.0))
  return tf.matmul(axes * scales, axes, transpose_b=True)
