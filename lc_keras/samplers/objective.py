"""The loss that a search minimises: terms of a move, and their weights."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras.samplers import sampler

# Noisy copies of a latent vector that D_attr reads at each step.
_COPIES = 3
# Noise of the robust objective, in units of sigma_bar.
ROBUST_NOISE = 3.0


class Readings(NamedTuple):
  """The judges' readings of latents.

  Attributes:
    realism: [batch], the critic's logits.
    attribute_logits: [batch, num_attributes] each, of the attribute critic on
      the latents and on each noisy copy.
  """

  realism: tf.Tensor
  attribute_logits: list[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Objective:
  """The loss that a search minimises, and a constraint's actor is trained on.

  Engel et al. 2018, section 5. The loss of a row is

      attribute_weight * cross-entropy(D_attr(z'), y) of requested attributes
      + keep_weight * the same of the others, with y as read at the start
      + realism_weight * -log D(z', y)
      + distance_weight * L_dist(z', z)
      + same_weight * ||e(z') - e(z)||^2, e being the embedding to preserve

  Attributes:
    judges: The critics.
    attribute_weight: Weight of the requested attributes' cross-entropy, which
      is in nats per attribute.
    keep_weight: Weight of the cross-entropy of attributes that an edit keeps.
    realism_weight: Weight of -log D; multiplied by the constraint's.
    distance_weight: Weight of `losses.latent_distance` to the start.
    attribute_noise: Noise on the latents that D_attr reads, in units of
      sigma_bar: the targets must hold with some margin, in each noisy copy.
    same_weight: Weight of the embedding's distance; multiplied by the
      constraint's `same`.
  """

  judges: sampler.Judges
  attribute_weight: float = 1.0
  keep_weight: float = 0.0
  realism_weight: float = 0.05
  distance_weight: float = 0.0
  attribute_noise: float = 0.0
  same_weight: float = 1.0

  @classmethod
  def robust(cls, judges: sampler.Judges) -> "Objective":
    """Returns an objective whose results also show in the image.

    docs/results/ablations.md has figures of these weights and of others.
    """
    return cls(
      judges,
      attribute_weight=6.0,
      keep_weight=3.0,
      realism_weight=0.3,
      attribute_noise=ROBUST_NOISE,
    )

  def draw(
    self, seeds: tf.Tensor, number: tf.Tensor | int = 0, steps: int = 1
  ) -> tf.Tensor:
    """Returns the noise of several steps, [batch, steps, copies, latent_size].

    Args:
      seeds: int64 [batch]; the noise of row i depends on seeds[i] alone.
      number: Scalar; each number gives other noise.
      steps: Number of steps; drawing for many at a time is faster.
    """
    size = self.judges.posterior_scale.shape[0]
    copies = _COPIES if self.attribute_noise else 0
    shape = [-1, steps, copies, size]
    if not copies:
      return tf.zeros([tf.shape(seeds)[0], *shape[1:]])
    drawn = priors.sample_rows(seeds, steps * copies * size, number)
    scale = self.attribute_noise * self.judges.posterior_scale
    return scale * tf.reshape(drawn, shape)

  def read_judges(
    self,
    latents: tf.Tensor,
    realism: Callable[[tf.Tensor], tf.Tensor],
    noise: tf.Tensor,
  ) -> Readings:
    """Returns the judges' readings of latents.

    Args:
      latents: [batch, latent_size].
      realism: The critic under a constraint, see `Judges.realism_under`.
      noise: [batch, copies, latent_size], one step of the result of `draw`.
    """
    attribute_logits = losses.noisy_readings(
      self.judges.attribute_critic,
      latents,
      tf.unstack(noise, axis=1),
      with_clean=True,
    )
    return Readings(realism(latents), attribute_logits)

  def loss(
    self,
    latents: tf.Tensor,
    start: tf.Tensor,
    edit: sampler.Edit,
    readings: Readings,
  ) -> tf.Tensor:
    """Returns the loss [batch]; that of a row depends on the row alone.

    Args:
      latents: [batch, latent_size], z'.
      start: [batch, latent_size], z.
      edit: The request.
      readings: The judges' readings of `latents`.
    """
    attributes = [
      self.attribute_weight * edit.asked.energy(logits)
      + self.keep_weight * edit.others.energy(logits)
      for logits in readings.attribute_logits
    ]
    values = (
      tf.add_n(attributes) / len(attributes)
      + self.realism_weight
      * edit.asked.realism_weight
      * losses.critic_cross_entropy(readings.realism, True)
      + self.distance_weight
      * losses.latent_distance(latents, start, self.judges.posterior_scale)
    )
    if edit.start_embedding is not None:
      values += (
        self.same_weight
        * edit.asked.same
        * losses.embedding_distance(
          self.judges.embedding(latents), edit.start_embedding
        )
      )
    return values
