"""The actor as an optimiser: every row searches its own way by gradients."""

import tensorflow as tf

from lc_keras import losses
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.samplers import sampler

# Adam's decay rates and its guard against division by zero, as Kingma and Ba
# (2015) recommend and everybody, the paper included, uses them.
_BETA_1 = 0.9
_BETA_2 = 0.999
_EPSILON = 1e-8


class GradientSearch(sampler.Sampler):
  """Minimises the constraint's loss in z by Adam, row by row.

  Engel et al. 2018, section 5. The loss of a row is

      attribute_weight * cross-entropy(D_attr(z'), y), of what is asked for
      + keep_weight * the same of everything else, y as read at the start
      + realism_weight * -log D(z', y)
      + distance_weight * L_dist(z', z)

  A row stops where D(z', y) exceeds 0.3 and each asked attribute reads within
  `tolerance` of its target; one that is there already comes back to the bit,
  after 0 steps. Adam starts afresh in every call. (The authors' notebook
  carries its moments from one edit to the next, and takes step 0 for "did not
  converge", so that it moves what needs no move.) The defaults are as
  published.
  """

  def __init__(
    self,
    judges: sampler.Judges,
    *,
    attribute_weight: float = 1.0,
    keep_weight: float = 0.0,
    realism_weight: float = 0.05,
    distance_weight: float = 0.0,
    tolerance: float = 1e-2,
    learning_rate: float = 1e-2,
    max_steps: int = 300,
  ):
    """Creates the sampler.

    Args:
      judges: Who says whether a constraint holds.
      attribute_weight: Of what is asked for, in nats per attribute.
      keep_weight: Of what a transformation is to keep, in nats per attribute.
      realism_weight: Of -log D; times that of the constraint.
      distance_weight: Of `losses.latent_distance` to the start.
      tolerance: How far from its target a probability may be.
      learning_rate: Of Adam: about how far a step goes in each dimension.
      max_steps: A row that is not there by then has not converged.
    """
    super().__init__(judges)
    self._attribute_weight = attribute_weight
    self._keep_weight = keep_weight
    self._realism_weight = realism_weight
    self._distance_weight = distance_weight
    self._tolerance = tolerance
    self._learning_rate = learning_rate
    self._max_steps = max_steps

  def sample(
    self, constraint: constraint_lib.Constraint, seeds: tf.Tensor
  ) -> sampler.Result:
    """See base class. `converged` is the search's own criterion."""
    nothing = constraint_lib.Constraint(
      constraint.values, tf.zeros_like(constraint.weights)
    )
    return self._search(self._prior(seeds), constraint, constraint, nothing)

  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    seeds: tf.Tensor,
  ) -> sampler.Result:
    """See base class. `converged` is the search's own criterion."""
    return self._search(
      latents,
      constraint,
      self.judges.keep(latents, constraint),
      self.judges.others(latents, constraint),
    )

  def _search(self, start, asked, shown, others):
    """Minimises the loss.

    Args:
      start: [batch, latent_size].
      asked: The constraint that is to be met.
      shown: What the critic is told to expect.
      others: The constraint on what is to be kept.
    """
    judges = self.judges

    def look(latents):
      realism_logits = judges.realism_logits(latents, shown)
      return realism_logits, judges.attribute_critic(latents)

    def satisfied(realism_logits, logits):
      realistic = tf.sigmoid(realism_logits) > sampler.REALISM_THRESHOLD
      return realistic & asked.satisfied(tf.sigmoid(logits), self._tolerance)

    def loss(latents, realism_logits, logits):
      realism_weight = self._realism_weight * asked.realism_weight
      return (
        self._attribute_weight * asked.energy(logits)
        + self._keep_weight * others.energy(logits)
        + realism_weight * losses.critic_cross_entropy(realism_logits, True)
        + self._distance_weight
        * losses.latent_distance(latents, start, judges.posterior_scale)
      )

    def update(step, latents, mean, square, searching, steps):
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(latents)
        seen = look(latents)
        # Each row's loss depends on that row alone: so does its gradient.
        values = loss(latents, *seen)
      gradient = tape.gradient(values, latents)
      searching &= ~satisfied(*seen)
      step += 1
      mean = _BETA_1 * mean + (1.0 - _BETA_1) * gradient
      square = _BETA_2 * square + (1.0 - _BETA_2) * tf.square(gradient)
      count = tf.cast(step, tf.float32)
      move = (mean / (1.0 - _BETA_1**count)) / (
        tf.sqrt(square / (1.0 - _BETA_2**count)) + _EPSILON
      )
      moved = latents - self._learning_rate * move
      latents = tf.where(searching[:, tf.newaxis], moved, latents)
      steps += tf.cast(searching, tf.int32)
      return step, latents, mean, square, searching, steps

    _, latents, _, _, searching, steps = tf.while_loop(
      lambda step, latents, mean, square, searching, steps: (
        (step < self._max_steps) & tf.reduce_any(searching)
      ),
      update,
      [
        tf.constant(0),
        start,
        tf.zeros_like(start),
        tf.zeros_like(start),
        tf.ones_like(start[:, 0], tf.bool),
        tf.zeros_like(start[:, 0], tf.int32),
      ],
    )
    # Who moved in the last step has not been looked at since.
    converged = ~searching | satisfied(*look(latents))
    result = self._result(latents, shown, steps, start)
    return result._replace(converged=converged)
