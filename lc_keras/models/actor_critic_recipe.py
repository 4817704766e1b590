"""What an actor and a critic are trained on: requests, and losses per row.

Engel et al. 2018, sections 3 and 4, with changes, each a setting whose other
value is the published recipe:

- the actor also learns requests on REAL latents ("this face, but smiling"),
  not only repairs of prior samples (`real_weight`);
- a request may leave attributes open (`masked_fraction`): nobody has to fill in
  ten values to ask for one;
- a frozen attribute critic tells the actor directly which attributes its
  latents decode to (`attribute_weight`): rare ones are obeyed much sooner;
- a flow can be its teacher (`teacher_weight`, `lessons`): samples of a flow
  vary as much as real images, and against a critic alone few different faces
  are left.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import tensorflow as tf

from lc_keras import losses
from lc_keras.models import switching

# Streams of random numbers within one update, see `priors.step_seed`.
STREAMS = 8

Terms = dict[str, tf.Tensor]


class Networks(Protocol):
  """What is trained: an `ActorCritic`."""

  trained_actor: Callable[..., tf.Tensor]
  critic: Callable[..., tf.Tensor]

  def begin(self, prior: tf.Tensor) -> tf.Tensor:
    """Returns what the actor is given for prior samples."""


class _Request(NamedTuple):
  """What the actor is asked for: one request a row."""

  start: tf.Tensor  # What it moves.
  wanted: tf.Tensor  # Values.
  mask: tf.Tensor  # What it is told of them.
  read: tf.Tensor  # What the attribute critic looks at.
  goal: tf.Tensor | None = None  # What the teacher made of it.


class Recipe:
  """Makes requests of rows, and says what each costs the two networks."""

  def __init__(
    self,
    *,
    posterior_scale: tf.Tensor,
    excludes: tf.Tensor,
    read_attributes: Callable[[tf.Tensor], tf.Tensor],
    teacher_weight: float = 0.0,
    realism_weight: float = 1.0,
    distance_weight: float = 0.1,
    attribute_weight: float = 0.0,
    attribute_noise: float = 0.0,
    real_weight: float = 1.0,
    penalty_weight: float = 10.0,
    prior_fraction: float = 0.1,
    wrong_weight: float = 1.0,
    switched_fraction: float = 0.75,
    masked_fraction: float = 0.5,
  ):
    """Notes the settings.

    Args:
      posterior_scale: [latent_size], sigma_bar.
      excludes: [num_attributes, num_attributes], see `Attributes.excludes`.
      read_attributes: Maps latents to attribute logits, [batch,
        num_attributes]: a frozen `AttributeCritic`. It is neither trained
        nor saved with the others.
      teacher_weight: Weight of the squared distance, per dimension, to what a
        teacher made of the same request; batches then bring "lessons".
      realism_weight: Weight of the critic's judgement in the actor's loss.
      distance_weight: lambda_dist. 0 samples freely, 0.1 keeps identity.
      attribute_weight: Weight of the attribute cross-entropy in the actor's
        loss; 0 is the published recipe.
      attribute_noise: Noise on the latents that the attribute critic reads, in
        units of sigma_bar: what is asked for must hold with some margin.
      real_weight: Weight of real rows against prior rows; 0 trains a sampler
        only and spares the work.
      penalty_weight: Weight of the critic's gradient penalty.
      prior_fraction: Share of the critic's fakes that are raw prior samples.
      wrong_weight: Weight of real rows with wrong labels in the critic's loss.
      switched_fraction: Share of wrong labels that are a row's own with one
        attribute switched; the others are another row's, as published.
      masked_fraction: Share of rows whose requests leave some attributes open;
        0 always asks for all, as published.
    """
    self._posterior_scale = tf.constant(posterior_scale, tf.float32)
    self._excludes = tf.constant(excludes, tf.float32)
    self._read_attributes = read_attributes
    self._teacher_weight = teacher_weight
    self._realism_weight = realism_weight
    self._distance_weight = distance_weight
    self._attribute_weight = attribute_weight
    self._attribute_noise = attribute_noise
    self._real_weight = real_weight
    self._penalty_weight = penalty_weight
    self._prior_fraction = prior_fraction
    self._wrong_weight = wrong_weight
    self._switched_fraction = switched_fraction
    self._masked_fraction = masked_fraction

  def critic_terms(self, networks: Networks, rows, seeds) -> Terms:
    """Returns the critic's losses, one per row: three blocks and a penalty.

    Args:
      networks: The networks.
      rows: A batch without turns, see `ActorCritic.train_step`.
      seeds: `STREAMS` of them.
    """
    real = _sample_posterior(rows, seeds[0])
    own = rows["attributes"]
    wrong, mask = self._wrong(rows, seeds[1], seeds[6])
    # A fake has the labels of the real row beside it; it starts from the
    # prior, or from a real row that has other labels.
    prior = _prior(rows, seeds[2])
    start, wanted = networks.begin(prior), own
    if self._real_weight:
      from_prior = _every_second(own)
      start = tf.where(from_prior, start, real)
      wanted = tf.where(from_prior, own, wrong)
    moved = networks.trained_actor(start, wanted, mask)
    # Some are the prior itself. No row is both, so that one draw does.
    raw = tf.random.stateless_uniform(tf.shape(own)[:1], seeds[3])
    raw = (raw < self._prior_fraction)[:, tf.newaxis]
    fake = tf.stop_gradient(tf.where(raw, prior, moved))
    mix = tf.random.stateless_uniform([tf.shape(own)[0], 1], seeds[5])
    real_logits, fake_logits, wrong_logits, slopes = networks.critic.compare(
      real, fake, mix, own, wanted, wrong, mask
    )
    # Another row's labels may happen to be the right ones, as far as they are
    # asked for: no negative then.
    differs = (wrong != own) & (mask > 0.0)
    is_wrong = tf.cast(tf.reduce_any(differs, axis=-1), tf.float32)
    penalty = losses.gradient_penalty(slopes)
    loss = (
      losses.critic_cross_entropy(real_logits, True)
      + losses.critic_cross_entropy(fake_logits, False)
      + self._wrong_weight
      * is_wrong
      * losses.critic_cross_entropy(wrong_logits, False)
      + self._penalty_weight * penalty
    )
    return {"critic_loss": loss, "penalty": penalty}

  def actor_terms(self, networks: Networks, actor, rows, seeds) -> Terms:
    """Returns the actor's losses, one per row: a prior and a real request.

    Args:
      networks: The networks.
      actor: The trained actor, or the average one.
      rows: As of `critic_terms`.
      seeds: As of `critic_terms`.
    """
    requests_ = self._requests(networks, rows, seeds)
    if not self._real_weight:
      requests_ = requests_[:1]
    noise = [
      tf.random.stateless_normal(tf.shape(request.start), seed)
      for request, seed in zip(requests_, seeds[6:])
    ]
    # Of a row, both are looked at together: fewer and larger products.
    together = _Request(
      *(
        None if part[0] is None else tf.concat(part, 0)
        for part in zip(*requests_)
      )
    )
    terms = self._request_terms(networks, actor, together, tf.concat(noise, 0))
    if not self._real_weight:
      return terms
    weight = self._real_weight / (1.0 + self._real_weight)
    for name, values in terms.items():
      prior, real = tf.split(values, 2)
      terms[name] = (1.0 - weight) * prior + weight * real
    return terms

  def _requests(self, networks, rows, seeds):
    """Returns what the actor is asked: of prior samples, and of real rows."""
    if self._teacher_weight:
      of = rows["lessons"]
      prior, real = (
        _Request(
          of[name],
          of[f"{name}_values"],
          of[f"{name}_mask"],
          of[f"{name}_mask"],
          of[f"{name}_goal"],
        )
        for name in ("prior", "real")
      )
      return prior._replace(start=networks.begin(prior.start)), real
    own = rows["attributes"]
    wrong, mask = self._wrong(rows, seeds[1], seeds[5])
    # Of a prior sample, what is open may become anything.
    prior = _Request(networks.begin(_prior(rows, seeds[2])), own, mask, mask)
    # A quarter keeps its own labels: "nothing to do, stay".
    stay = _every_second(own) & _every_second(own, 2)
    wanted = tf.where(stay, own, wrong)
    # Of a real row, what is open has to stay.
    wanted = tf.where(mask > 0.0, wanted, own)
    start = _sample_posterior(rows, seeds[0])
    return prior, _Request(start, wanted, mask, tf.ones_like(mask))

  def _request_terms(self, networks, actor, request, noise):
    """Returns the losses of one request a row."""
    moved = actor(request.start, request.wanted, request.mask)
    logits = networks.critic(moved, request.wanted, request.mask)
    # What a teacher has made of a row is where it belongs.
    goal = request.start if request.goal is None else request.goal
    distance = losses.latent_distance(moved, goal, self._posterior_scale)
    noise *= self._attribute_noise * self._posterior_scale
    attribute_loss = losses.attribute_cross_entropy(
      self._read_attributes(moved + noise), request.wanted, request.read
    )
    imitation_loss = tf.reduce_mean(tf.square(moved - goal), axis=-1)
    loss = (
      self._realism_weight * losses.critic_cross_entropy(logits, True)
      + self._distance_weight * distance
      + self._attribute_weight * attribute_loss
      + self._teacher_weight * imitation_loss
    )
    return {
      "actor_loss": loss,
      "realism": tf.sigmoid(logits),
      "distance": distance,
      "attribute_loss": attribute_loss,
      "imitation_loss": imitation_loss,
    }

  def _wrong(self, rows, seed, mask_seed):
    """Returns labels that are not a row's own, and what of them is asked for.

    One switched attribute is the hardest negative, and exactly what a request
    is; another row's labels (the published choice) differ in many.
    """
    own = rows["attributes"]
    switched, about = switching.switch(own, rows["focus"], self._excludes)
    other = tf.random.stateless_uniform(tf.shape(own)[:1], seed)
    other = (other < 1.0 - self._switched_fraction)[:, tf.newaxis]
    wrong = tf.where(other, tf.roll(own, 1, axis=0), switched)
    return wrong, switching.open_some(about, self._masked_fraction, mask_seed)


def _prior(rows, seed):
  return tf.random.stateless_normal(tf.shape(rows["mean"]), seed)


def _sample_posterior(rows, seed):
  noise = tf.random.stateless_normal(tf.shape(rows["mean"]), seed)
  return rows["mean"] + rows["scale"] * noise


def _every_second(rows, stride=1):
  """Returns a [batch, 1] mask: True for every second run of `stride` rows."""
  positions = tf.range(tf.shape(rows)[0])
  return (positions // stride % 2 == 0)[:, tf.newaxis]
