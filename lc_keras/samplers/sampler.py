"""The interface of samplers, and the judges of their results.

A sampler moves latent vectors to where a constraint holds. It consists of
TensorFlow operations without Python side effects: it runs eagerly, inside
`tf.function`, and in an exported signature. No row depends on the rows beside
it, and every random draw comes from the row's own seed.

>>> from lc_keras.samplers import rejection
>>> judges = Judges(
...   attribute_names.Attributes(["Smiling"]),
...   critic=lambda latents, values, mask: priors.realism_logits(latents),
...   attribute_critic=lambda latents: 4.0 * latents[:, :1],
...   posterior_scale=tf.ones([2]),
... )
>>> smiling = constraints.Constraint(tf.ones([3, 1]), tf.ones([3, 1]))
>>> seeds = tf.range(3, dtype=tf.int64)
>>> rejection.BestOfN(judges).sample(smiling, seeds).converged.numpy()
array([ True,  True,  True])
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import completion
from lc_keras.constraints import constraint as constraints

# A row has converged where its realism is above this, and its targets are met
# (Engel et al. 2018, section 5).
REALISM_THRESHOLD = 0.3


class Edit(NamedTuple):
  """A request to change latent vectors, with all that it keeps.

  Attributes:
    asked: The constraint on the attributes to change; others have weight 0.
    shown: The constraint that is shown to the critic: `asked`, and the other
      attributes as read at the start, 0 or 1, with 0 for those that the request
      rules out. Only attributes that may replace a removed one are open, see
      `Attributes.freed`.
    others: The constraint on the attributes to keep; its targets are the
      probabilities read at the start, where its energy has its minimum and no
      gradient.
    start_attributes: [batch, num_attributes] in {0, 1}, the attribute critic's
      reading of the start.
    start_embedding: [batch, n], the embedding of the start, to be preserved;
      None preserves none.
  """

  asked: constraints.Constraint
  shown: constraints.Constraint
  others: constraints.Constraint
  start_attributes: tf.Tensor
  start_embedding: tf.Tensor | None = None

  def narrowed(self, count: int) -> "Edit":
    """Returns the edit of the first `count` attributes alone."""
    *parts, attributes, embedding = self
    parts = (part.narrowed(count) for part in parts)
    return Edit(*parts, attributes[:, :count], embedding)


@dataclasses.dataclass(frozen=True)
class Judges:
  """The critics that evaluate, in latent space, whether a constraint holds.

  Attributes:
    attributes: The attributes, in the order of the columns.
    critic: D(z, y), maps (latents, values, mask) to logits [batch]: whether
      latents are realistic and as requested.
    attribute_critic: D_attr(z), maps latents to logits [batch, num_attributes].
    posterior_scale: float32 [latent_size], sigma_bar.
    margin: float32 [2, num_attributes], how far from 0 (first row) and from 1
      the attribute critic reads real images that are off and on, under the
      noise of a search. A search for closer readings leaves the set of images.
      None sets no such limit.
    draws: Maps seeds and the number of a draw to latents, the starts of
      samples, see `Generator.draw`. None draws from the prior.
    embedding: Maps latents to [batch, n], the embedding that an edit can
      preserve, see `Constraint.same`. None if none was learned.
    realism: Maps latents to logits [batch], the realism of results whatever the
      request, see `Typicality`. None takes it from `critic`.
  """

  attributes: attribute_names.Attributes
  critic: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
  attribute_critic: Callable[[tf.Tensor], tf.Tensor]
  posterior_scale: tf.Tensor
  margin: tf.Tensor | None = None
  draws: Callable[..., tf.Tensor] | None = None
  embedding: Callable[[tf.Tensor], tf.Tensor] | None = None
  realism: Callable[[tf.Tensor], tf.Tensor] | None = None

  def realism_of(
    self, latents: tf.Tensor, constraint: constraints.Constraint
  ) -> tf.Tensor:
    """Returns the realism of results, [batch] in [0, 1]."""
    if self.realism is not None:
      return tf.sigmoid(self.realism(latents))
    return tf.sigmoid(self.realism_logits(latents, constraint))

  def realism_logits(
    self, latents: tf.Tensor, constraint: constraints.Constraint
  ) -> tf.Tensor:
    """Returns the critic's logits under the constraint, [batch]."""
    return self.critic(latents, constraint.values, constraint.mask)

  def realism_under(
    self, constraint: constraints.Constraint
  ) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `realism_logits` under one constraint, a function of latents.

    A critic with a method `under` (see `Critic`) reads the constraint once.
    """
    if hasattr(self.critic, "under"):
      return self.critic.under(constraint.values, constraint.mask)
    return lambda latents: self.realism_logits(latents, constraint)

  def with_realism_as_critic(self) -> "Judges":
    """Returns judges whose D is the realism of results, if there is one.

    The D of an actor was trained on no other samples: it reads good ones of a
    search as unrealistic, so that a search for a high D overshoots.
    """
    realism = self.realism
    if realism is None:
      return self
    return dataclasses.replace(
      self, critic=lambda latents, values, mask: realism(latents)
    )

  def tolerance(
    self, constraint: constraints.Constraint, least: float
  ) -> tf.Tensor | float:
    """Returns the largest distance of a probability from its target.

    Args:
      constraint: The targets.
      least: Lowest tolerance; the one for values between 0 and 1, and for all
        values without a margin.

    Returns:
      A number, or [batch, num_attributes].
    """
    if self.margin is None:
      return least
    off, on = self.margin[0], self.margin[1]
    values = constraint.values
    return tf.where(
      values >= 1.0,
      tf.maximum(on, least),
      tf.where(values <= 0.0, tf.maximum(off, least), least),
    )

  def attribute_energy(
    self, latents: tf.Tensor, constraint: constraints.Constraint
  ) -> tf.Tensor:
    """Returns -log p(c|z) under the attribute critic.

    Args:
      latents: [batch, latent_size].
      constraint: c.

    Returns:
      [batch], in nats: the cross-entropies of the targets, each times its
      weight, summed.
    """
    logits = self.attribute_critic(latents)
    return constraint.energy(logits) * tf.reduce_sum(constraint.weights, -1)

  def realism_energy(
    self, latents: tf.Tensor, constraint: constraints.Constraint
  ) -> tf.Tensor:
    """Returns -log D(z) under the constraint times its weight, [batch]."""
    logits = self.realism_logits(latents, constraint)
    return constraint.realism_weight * losses.critic_cross_entropy(logits, True)

  def edit(
    self, latents: tf.Tensor, constraint: constraints.Constraint
  ) -> Edit:
    """Returns the edit that meets a constraint and keeps open attributes.

    Args:
      latents: [batch, latent_size], the start.
      constraint: The targets of the attributes to change.
    """
    logits = self.attribute_critic(latents)
    start = tf.cast(logits > 0.0, tf.float32)
    probabilities = tf.sigmoid(logits)
    values, mask = constraint.values, constraint.mask
    freed = completion.freed(self.attributes, start, values, mask)
    shown = dataclasses.replace(
      constraint,
      values=completion.complete(self.attributes, start, values, mask),
      weights=tf.where(mask > 0.0, constraint.weights, 1.0 - freed),
    )
    others = dataclasses.replace(
      constraint,
      values=completion.complete(self.attributes, probabilities, values, mask),
      weights=1.0 - tf.maximum(mask, freed),
    )
    embedding = None
    same = constraint.same
    if self.embedding is not None and (tf.is_tensor(same) or same != 0.0):
      embedding = self.embedding(latents)
    return Edit(constraint, shown, others, start, embedding)


class Result(NamedTuple):
  """Latent vectors that a sampler made, with the judges' readings.

  Attributes:
    latents: [batch, latent_size].
    realism: [batch] in [0, 1], see `Judges.realism_of`.
    attribute_probabilities: [batch, num_attributes] in [0, 1], the attribute
      critic's reading.
    distance: [batch], `losses.latent_distance` that the row was moved; 0 for
      samples that have no start.
    converged: bool [batch], realistic (above `REALISM_THRESHOLD`) and all
      targets met.
    steps: int32 [batch], sequential network evaluations of the row; 0 for a row
      that was not moved.
  """

  latents: tf.Tensor
  realism: tf.Tensor
  attribute_probabilities: tf.Tensor
  distance: tf.Tensor
  converged: tf.Tensor
  steps: tf.Tensor


def choose(rows: tf.Tensor, first: Result, second: Result) -> Result:
  """Returns rows of the first result where `rows`, bool [batch], is True.

  >>> import tensorflow as tf
  >>> first, second = ([tf.fill([2, 3], value)] * 6 for value in (1, 2))
  >>> choose(tf.constant([True, False]), first, second).latents[:, 0].numpy()
  array([1, 2], dtype=int32)
  """
  return Result(
    *(
      tf.where(tf.reshape(rows, [-1] + [1] * (one.shape.rank - 1)), one, other)
      for one, other in zip(first, second)
    )
  )


class Sampler(abc.ABC):
  """Makes latent vectors for which a constraint holds."""

  def __init__(self, judges: Judges):
    self.judges = judges

  @property
  def latent_size(self) -> int:
    """Size of a latent vector."""
    return self.judges.posterior_scale.shape[0]

  @property
  def num_known_attributes(self) -> int:
    """Number of attributes that it uses, the first ones of its judges."""
    return len(self.judges.attributes)

  @abc.abstractmethod
  def sample(
    self, constraint: constraints.Constraint, seeds: tf.Tensor
  ) -> Result:
    """Makes a latent vector for each row, from its seed alone.

    Args:
      constraint: Of `batch` rows. Attributes that it leaves open may come out
        either way.
      seeds: int64 [batch], any numbers.
    """

  def _prior(
    self, seeds: tf.Tensor, draw: tf.Tensor | int | None = None
  ) -> tf.Tensor:
    return priors.sample_rows(seeds, self.latent_size, draw)

  def _start(
    self, seeds: tf.Tensor, draw: tf.Tensor | int | None = None
  ) -> tf.Tensor:
    """Returns where samples start: draws of the prior, or of a mapping."""
    return (self.judges.draws or self._prior)(seeds, draw)

  def _result(
    self,
    latents: tf.Tensor,
    constraint: constraints.Constraint,
    steps: tf.Tensor | int,
    start: tf.Tensor | None = None,
  ) -> Result:
    """Returns latents with the judges' readings.

    Args:
      latents: [batch, latent_size].
      constraint: The constraint that is shown to the critic.
      steps: [batch] or a scalar.
      start: [batch, latent_size], the latents before the move, if there was
        one.
    """
    judges = self.judges
    realism = judges.realism_of(latents, constraint)
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
  """A sampler that can also edit given latent vectors."""

  def transform(
    self,
    latents: tf.Tensor,
    constraint: constraints.Constraint,
    seeds: tf.Tensor,
  ) -> Result:
    """Changes the requested attributes, and keeps all others.

    Args:
      latents: [batch, latent_size], such as draws of q(z|x).
      constraint: Of `batch` rows. The attributes that it leaves open are kept.
      seeds: int64 [batch], any numbers.
    """
    return self.edit(latents, self.judges.edit(latents, constraint), seeds)

  @abc.abstractmethod
  def edit(self, latents: tf.Tensor, edit: Edit, seeds: tf.Tensor) -> Result:
    """Changes latents as `transform` does, given the judges' reading of them.

    Args:
      latents: [batch, latent_size], the start.
      edit: `Judges.edit` of these latents.
      seeds: int64 [batch], any numbers.
    """
