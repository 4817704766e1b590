"""What every sampler is, and what it returns.

A sampler moves latent vectors to where a constraint holds. All of it is made
of TensorFlow operations without Python side effects: it runs eagerly, inside
`tf.function`, and in an exported signature. No row depends on the rows beside
it, and every random draw comes from the row's own seed.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.constraints import constraint as constraint_lib

# A row has converged where its critic believes in it at least so much, and
# its targets are met (Engel et al. 2018, section 5).
REALISM_THRESHOLD = 0.3


@dataclasses.dataclass(frozen=True)
class Judges:
  """Who says, in latent space, whether a constraint holds.

  Attributes:
    attributes: The attributes, in the order of the columns.
    critic: (latents, values, mask) to logits [batch]: realistic, and as asked?
    attribute_critic: latents to logits [batch, num_attributes].
    posterior_scale: float32 [latent_size], sigma_bar.
    doubt: float32 [2, num_attributes], how far from 0 (first row) and from 1
      the attribute critic reads, under the noise of a search, real images that
      are off and on: who asks for more gets what no image is like. None is no
      doubt.
  """

  attributes: attributes_lib.Attributes
  critic: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
  attribute_critic: Callable[[tf.Tensor], tf.Tensor]
  posterior_scale: tf.Tensor
  doubt: tf.Tensor | None = None

  def realism_logits(
    self, latents: tf.Tensor, constraint: constraint_lib.Constraint
  ) -> tf.Tensor:
    """Returns the critic's logits under the constraint, [batch]."""
    return self.critic(latents, constraint.values, constraint.mask)

  def realism_under(
    self, constraint: constraint_lib.Constraint
  ) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `realism_logits` of one constraint, to be asked many times.

    A critic with a method `under` (see `Critic`) looks at the constraint once.
    """
    if hasattr(self.critic, "under"):
      return self.critic.under(constraint.values, constraint.mask)
    return lambda latents: self.realism_logits(latents, constraint)

  def tolerance(
    self, constraint: constraint_lib.Constraint, least: float
  ) -> tf.Tensor | float:
    """Returns how far from its target a probability may be.

    Args:
      constraint: What is asked for.
      least: Where there is no doubt, and for values between off and on.

    Returns:
      A number, or [batch, num_attributes].
    """
    if self.doubt is None:
      return least
    off, on = self.doubt[0], self.doubt[1]
    values = constraint.values
    return tf.where(
      values >= 1.0,
      tf.maximum(on, least),
      tf.where(values <= 0.0, tf.maximum(off, least), least),
    )

  def attribute_energy(
    self, latents: tf.Tensor, constraint: constraint_lib.Constraint
  ) -> tf.Tensor:
    """Returns -log p(c|z), as the attribute critic sees it.

    Args:
      latents: [batch, latent_size].
      constraint: c, what is asked for.

    Returns:
      [batch], in nats: the cross-entropies of what is asked for, each times
      its weight, summed.
    """
    logits = self.attribute_critic(latents)
    return constraint.energy(logits) * tf.reduce_sum(constraint.weights, -1)

  def realism_energy(
    self, latents: tf.Tensor, constraint: constraint_lib.Constraint
  ) -> tf.Tensor:
    """Returns -log D(z) under the constraint times its weight, [batch]."""
    logits = self.realism_logits(latents, constraint)
    return constraint.realism_weight * losses.critic_cross_entropy(logits, True)

  def others(
    self, latents: tf.Tensor, constraint: constraint_lib.Constraint
  ) -> constraint_lib.Constraint:
    """Returns the wish that everything left open reads as it does now.

    The targets are probabilities, not classes: where nothing has moved, the
    energy of this constraint is at its minimum and pulls nowhere.

    Args:
      latents: [batch, latent_size], what is to be kept.
      constraint: What is to be changed.

    Returns:
      A constraint of weight 1 on what was open, less what the request rules
      out, and of weight 0 on what was asked for and on what may take the place
      of what is asked to go, see `Attributes.freed`.
    """
    own = tf.sigmoid(self.attribute_critic(latents))
    values, mask = constraint.values, constraint.mask
    return dataclasses.replace(
      constraint,
      values=self.attributes.complete(own, values, mask),
      weights=1.0 - tf.maximum(mask, self.attributes.freed(own, values, mask)),
    )

  def keep(
    self, latents: tf.Tensor, constraint: constraint_lib.Constraint
  ) -> constraint_lib.Constraint:
    """Returns the constraint with everything open held as it is.

    Args:
      latents: [batch, latent_size], what is to be kept.
      constraint: What is to be changed.

    Returns:
      All attributes asked for: those that were open with what is read in the
      latents, less what the request rules out, and a weight of 1. Open is left
      only what may take the place of what is asked to go, see
      `Attributes.freed`.
    """
    own = tf.cast(self.attribute_critic(latents) > 0.0, tf.float32)
    values, mask = constraint.values, constraint.mask
    return dataclasses.replace(
      constraint,
      values=self.attributes.complete(own, values, mask),
      weights=tf.where(
        mask > 0.0,
        constraint.weights,
        1.0 - self.attributes.freed(own, values, mask),
      ),
    )


class Result(NamedTuple):
  """What a sampler made, one entry a row.

  Attributes:
    latents: [batch, latent_size].
    realism: [batch] in [0, 1], the critic's belief in the row.
    attribute_probabilities: [batch, num_attributes] in [0, 1], what the
      attribute critic reads.
    distance: [batch], how far the row was moved, see
      `losses.latent_distance`; 0 for samplers that start from nothing.
    converged: bool [batch], realistic and all targets met.
    steps: int32 [batch], evaluations of a network that the row took one after
      the other; 0 for a row that was left as it was.
  """

  latents: tf.Tensor
  realism: tf.Tensor
  attribute_probabilities: tf.Tensor
  distance: tf.Tensor
  converged: tf.Tensor
  steps: tf.Tensor


class Sampler(abc.ABC):
  """Makes latent vectors for which a constraint holds."""

  def __init__(self, judges: Judges):
    self.judges = judges

  @property
  def latent_size(self) -> int:
    """Size of a latent vector."""
    return self.judges.posterior_scale.shape[0]

  @property
  def knows(self) -> int:
    """How many attributes it heeds: the first ones of those that it judges."""
    return len(self.judges.attributes)

  @abc.abstractmethod
  def sample(
    self, constraint: constraint_lib.Constraint, seeds: tf.Tensor
  ) -> Result:
    """Makes a latent vector for each row, from nothing but its seed.

    Args:
      constraint: Of `batch` rows. What it leaves open comes as it comes.
      seeds: int64 [batch], any numbers.
    """

  def _prior(
    self, seeds: tf.Tensor, draw: tf.Tensor | int | None = None
  ) -> tf.Tensor:
    return priors.sample_rows(seeds, self.latent_size, draw)

  def _result(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    steps: tf.Tensor | int,
    start: tf.Tensor | None = None,
  ) -> Result:
    """Has the judges look at what was made.

    Args:
      latents: [batch, latent_size], what was made.
      constraint: What was asked for.
      steps: [batch] or a scalar.
      start: What the latents were moved from, if anything.
    """
    judges = self.judges
    realism = tf.sigmoid(judges.realism_logits(latents, constraint))
    probabilities = tf.sigmoid(judges.attribute_critic(latents))
    distance = tf.zeros_like(realism)
    if start is not None:
      distance = losses.latent_distance(latents, start, judges.posterior_scale)
    return Result(
      latents=latents,
      realism=realism,
      attribute_probabilities=probabilities,
      distance=distance,
      converged=(realism > REALISM_THRESHOLD)
      & constraint.satisfied(probabilities),
      steps=tf.broadcast_to(tf.cast(steps, tf.int32), tf.shape(realism)),
    )


class Transformer(Sampler):
  """A sampler that can also start from given latent vectors."""

  @abc.abstractmethod
  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraint_lib.Constraint,
    seeds: tf.Tensor,
  ) -> Result:
    """Changes what is asked for in given latent vectors, and nothing else.

    Args:
      latents: [batch, latent_size], such as draws of q(z|x).
      constraint: Of `batch` rows. What it leaves open is kept.
      seeds: int64 [batch], any numbers.
    """
