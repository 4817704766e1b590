"""Straight moves along one direction per attribute."""

import tensorflow as tf

from lc_keras.constraints import completion
from lc_keras.models import linear_directions
from lc_keras.samplers import sampler

# Distance beyond even odds that scores are moved to, in nats.
MARGIN = 3.0


class LinearDirection(sampler.Transformer):
  """Makes the most probable move that brings scores to their targets.

  Conditional manipulation by subspace projection (Shen et al. 2020, section
  2.2), for any number of attributes at once. Among all moves d with

      n_k . d = (+-margin) - score_k    if k is requested and not yet met
      n_k . d = 0                       if k is met already, or kept

  it takes the most probable, the shortest in units of the deviation of latents
  (see `LinearDirections.moves`). A pseudo-inverse finds it, so that attributes
  whose directions coincide get the nearest compromise.

  Of a constraint, only values and mask matter, not its weights or realism.

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
  >>> directions = lc_keras.LinearDirections(3, num_attributes=2)
  >>> _ = directions.normals.assign(9.0 * tf.eye(2, 3))
  >>> _ = directions.moves.assign(9.0 * tf.eye(2, 3))
  >>> sampler = lc_keras.LinearDirection(judges, directions)
  >>> sampler.sample(rows, seeds).attribute_probabilities.numpy().round()
  array([[1., 0.],
         [1., 0.],
         [1., 0.],
         [1., 0.]], dtype=float32)
  """

  def __init__(
    self,
    judges: sampler.Judges,
    directions: linear_directions.LinearDirections,
    margin: tf.Tensor | float = MARGIN,
  ):
    """Creates the sampler.

    Args:
      judges: The critics.
      directions: Scores and their normals.
      margin: Distance beyond even odds that a score is to have, in nats: a
        number or a tensor [batch].
    """
    super().__init__(judges)
    self._directions = directions
    self._margin = margin

  def sample(self, constraint, seeds):
    """See base class. Open attributes move along with requested ones."""
    values, asked = self._asked(constraint)
    return self._move(self._start(seeds), constraint, values, asked, asked)

  def edit(self, latents, edit, seeds):
    """See base class. Deterministic: the seeds do not matter."""
    values, asked = self._asked(edit.asked)
    return self._move(latents, edit.shown, values, asked, tf.ones_like(asked))

  def _asked(self, constraint):
    """Returns values and mask; excluded attributes are requested off."""
    values = completion.complete(
      self.judges.attributes,
      tf.ones_like(constraint.values),
      constraint.values,
      constraint.mask,
    )
    ruled_out = (1.0 - constraint.mask) * (1.0 - values)
    return values, constraint.mask + ruled_out

  def _move(self, start, shown, values, asked, held):
    """Moves the scores that are not at their targets yet.

    Args:
      start: [batch, latent_size].
      shown: The constraint that is shown to the critic.
      values: [batch, num_attributes], targets: above 0.5 for positive scores.
      asked: [batch, num_attributes] in {0, 1}, 1 for requested attributes.
      held: [batch, num_attributes] in {0, 1}, 0 for attributes whose scores may
        move along.
    """
    sides = tf.where(values > 0.5, 1.0, -1.0)
    margins = tf.reshape(self._margin, [-1, 1])
    missing = margins - sides * self._directions(start)
    missing = sides * asked * tf.maximum(missing, 0.0)
    # d = M^T (N M^T)^+ missing, M the moves, without those of free scores.
    products = tf.matmul(
      self._directions.normals, self._directions.moves, transpose_b=True
    )
    products *= held[:, :, tf.newaxis] * held[:, tf.newaxis, :]
    shares = tf.linalg.matvec(tf.linalg.pinv(products), missing)
    latents = start + tf.matmul(shares, self._directions.moves)
    steps = tf.reduce_any(missing != 0.0, axis=-1)
    return self._result(latents, shown, steps, start)
