"""Trains a critic and an actor in the latent space of a frozen model.

Engel et al. 2018, sections 3 and 4, with six changes, each a setting whose
other value is the published recipe:

- the actor also learns requests on REAL latents ("this face, but smiling"),
  not only repairs of prior samples (`real_weight`);
- a request may leave attributes open (`masked_fraction`): nobody has to fill in
  ten values to ask for one;
- a frozen attribute critic tells the actor directly which attributes its
  latents decode to (`attribute_weight`): rare ones are obeyed much sooner;
- prior samples begin with the mean and the covariance of q(z)
  (`whitening.adapt`): that needs no network, and is most of the way;
- a flow can be its teacher (`imitate`, `teacher_weight`, `lessons`): samples of
  a flow vary as much as real images, and against a critic alone few different
  faces are left;
- what is used after training is a moving average of the actor's weights
  (`average_decay`): single steps differ more than their average.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras import requests
from lc_keras.models import actor
from lc_keras.models import critic
from lc_keras.models import distilled_actor
from lc_keras.models import flow_matching
from lc_keras.models import moving_average
from lc_keras.models import whitening

# Streams of random numbers within one step, see `priors.step_seed`.
_STREAMS_PER_UPDATE = 8


class _Request(NamedTuple):
  """What the actor is asked for: one request a row."""

  start: tf.Tensor  # What it moves.
  wanted: tf.Tensor  # Values.
  mask: tf.Tensor  # What it is told of them.
  read: tf.Tensor  # What the attribute critic looks at.
  goal: tf.Tensor | None = None  # What the teacher made of it.


class ActorCritic(keras.Model):
  """An actor G(z, y) and a critic D(z, y), trained in turns.

  Attributes:
    actor: The moving average of the trained actor; what is used afterwards.
    trained_actor: What the optimiser updates.
    critic: D(z, y).
  """

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    flow_sizes: Sequence[int] | None = None,
    **kwargs,
  ):
    """Creates and builds the networks.

    Args:
      latent_size: Size of z.
      num_attributes: Size of y.
      width: Units of every hidden layer, see `Critic` and `Actor`.
      depth: Number of hidden layers.
      flow_sizes: Width and depth of the flow that a `DistilledActor` is to
        begin as, see `imitate`; None for the published actor.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.latent_size = latent_size
    self.arguments = {
      "latent_size": latent_size,
      "num_attributes": num_attributes,
      "width": width,
      "depth": depth,
      "flow_sizes": flow_sizes and list(flow_sizes),
    }
    sizes = (latent_size, num_attributes)
    self.whitening = whitening.Whitening(latent_size, name="whitening")

    def new_actor(name):
      if flow_sizes is None:
        return actor.Actor(*sizes, width, depth, name=name)
      return distilled_actor.DistilledActor(
        *sizes, *flow_sizes, self.whitening, name=name
      )

    self.actor = new_actor("actor")
    self.actor.trainable = False
    self.trained_actor = new_actor("trained_actor")
    self.critic = critic.Critic(*sizes, width, depth, name="critic")
    self.actor.set_weights(self.trained_actor.get_weights())
    names = (
      "critic_loss",
      "penalty",
      "actor_loss",
      "realism",
      "distance",
      "attribute_loss",
      "imitation_loss",
    )
    self._means = {name: keras.metrics.Mean(name) for name in names}
    self.built = True

  @property
  def metrics(self):
    """What a step returns; `realism` is D(G(z, y), y) in [0, 1]."""
    return list(self._means.values())

  def imitate(self, flow: flow_matching.FlowMatching) -> None:
    """Begins as a flow: takes over its whitening and its weights.

    Args:
      flow: Of the sizes that the model was created with.
    """
    self.whitening.set_weights(flow.whitening.get_weights())
    for network in (self.actor, self.trained_actor):
      network.begin_as(flow)

  def begin(self, prior: tf.Tensor) -> tf.Tensor:
    """Returns what the actor is given for prior samples, [batch, latent_size].

    Themselves, unless the whitening has been adapted; then draws of the normal
    distribution with mean and covariance of q(z).
    """
    return self.whitening.undo(self.whitening.noise(prior))

  def compile(
    self,
    actor_optimizer: keras.optimizers.Optimizer,
    critic_optimizer: keras.optimizers.Optimizer,
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
    average_decay: float = 0.999,
    **kwargs,
  ):
    """Sets the losses, and builds both optimisers before `fit` needs them.

    Args:
      actor_optimizer: For the actor.
      critic_optimizer: For the critic.
      posterior_scale: [latent_size], sigma_bar.
      excludes: [num_attributes, num_attributes], see `Attributes.excludes`.
      read_attributes: Maps latents to attribute logits, [batch,
        num_attributes]: a frozen `AttributeCritic`. A function rather than a
        layer of this model: it is neither trained nor saved here.
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
      average_decay: Of the moving average of the actor's weights, per update.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer=actor_optimizer, loss=None, **kwargs)
    self.critic_optimizer = critic_optimizer
    actor_optimizer.build(self.trained_actor.trainable_variables)
    critic_optimizer.build(self.critic.trainable_variables)
    self._posterior_scale = tf.constant(posterior_scale, tf.float32)
    self._excludes = tf.constant(excludes, tf.float32)
    # Behind a function, or Keras would take a layer for a part of this model.
    self._read_attributes = lambda latents: read_attributes(latents)
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
    self._average_decay = average_decay

  def call(self, latents, values, mask):
    """Returns G(z, y), [batch, latent_size]."""
    return self.actor(latents, values, mask)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. One update of the critic per sub-batch, then the actor's.

    The turns are unrolled: an optimiser's update inside tf.cond fails under
    MirroredStrategy.

    Args:
      batch: "mean" and "scale" [batch, turns, latent_size], "attributes"
        [batch, turns, num_attributes] and "focus" [batch, turns], the
        attribute that a request on this row switches. The last turn is the
        actor's. Perhaps "lessons" for it, see `lessons.make`.
    """
    batch = dict(batch)
    lessons = batch.pop("lessons", None)
    turns = batch["mean"].shape[1]
    for turn in range(turns):
      rows = {name: value[:, turn] for name, value in batch.items()}
      rows["lessons"] = lessons
      seeds = self._seeds(turn)
      if turn < turns - 1:
        self._update_critic(rows, seeds)
      else:
        self._update_actor(rows, seeds)
    return {name: mean.result() for name, mean in self._means.items()}

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. The critic and the average actor, with fixed noise.

    Args:
      batch: As for `train_step`, without turns: "mean" is [batch,
        latent_size].
    """
    seeds = [(0, stream) for stream in range(_STREAMS_PER_UPDATE)]
    self._note(self._critic_terms(batch, seeds))
    self._note(self._actor_terms(self.actor, batch, seeds))
    return {name: mean.result() for name, mean in self._means.items()}

  def _seeds(self, turn):
    first = turn * _STREAMS_PER_UPDATE
    step = self.optimizer.iterations
    return [
      priors.step_seed(step, first + stream)
      for stream in range(_STREAMS_PER_UPDATE)
    ]

  def _update_critic(self, rows, seeds):
    with tf.GradientTape() as tape:
      terms = self._critic_terms(rows, seeds)
      loss = tf.nn.compute_average_loss(terms["critic_loss"])
    variables = self.critic.trainable_variables
    self.critic_optimizer.apply(tape.gradient(loss, variables), variables)
    self._note(terms)

  def _update_actor(self, rows, seeds):
    with tf.GradientTape() as tape:
      terms = self._actor_terms(self.trained_actor, rows, seeds)
      loss = tf.nn.compute_average_loss(terms["actor_loss"])
    variables = self.trained_actor.trainable_variables
    self.optimizer.apply(tape.gradient(loss, variables), variables)
    moving_average.update(
      self.actor,
      self.trained_actor,
      self.optimizer.iterations,
      self._average_decay,
    )
    self._note(terms)

  def _critic_terms(self, rows, seeds):
    """Returns the critic's losses, one per row: three blocks and a penalty."""
    real = _sample_posterior(rows, seeds[0])
    own = rows["attributes"]
    wrong, mask = self._wrong(rows, seeds[1], seeds[6])
    # A fake has the labels of the real row beside it; it starts from the
    # prior, or from a real row that has other labels.
    prior = _prior(rows, seeds[2])
    start, wanted = self.begin(prior), own
    if self._real_weight:
      from_prior = _every_second(own)
      start = tf.where(from_prior, start, real)
      wanted = tf.where(from_prior, own, wrong)
    moved = self.trained_actor(start, wanted, mask)
    # Some are the prior itself. No row is both, so that one draw does.
    raw = tf.random.stateless_uniform(tf.shape(own)[:1], seeds[3])
    raw = (raw < self._prior_fraction)[:, tf.newaxis]
    fake = tf.stop_gradient(tf.where(raw, prior, moved))
    mix = tf.random.stateless_uniform([tf.shape(own)[0], 1], seeds[5])
    real_logits, fake_logits, wrong_logits, slopes = self.critic.compare(
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

  def _actor_terms(self, network, rows, seeds):
    """Returns the actor's losses, one per row: a prior and a real request."""
    requests_ = self._requests(rows, seeds)
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
    terms = self._request_terms(network, together, tf.concat(noise, 0))
    if not self._real_weight:
      return terms
    weight = self._real_weight / (1.0 + self._real_weight)
    for name, values in terms.items():
      prior, real = tf.split(values, 2)
      terms[name] = (1.0 - weight) * prior + weight * real
    return terms

  def _requests(self, rows, seeds):
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
      return prior._replace(start=self.begin(prior.start)), real
    own = rows["attributes"]
    wrong, mask = self._wrong(rows, seeds[1], seeds[5])
    # Of a prior sample, what is open may become anything.
    prior = _Request(self.begin(_prior(rows, seeds[2])), own, mask, mask)
    # A quarter keeps its own labels: "nothing to do, stay".
    stay = _every_second(own) & _every_second(own, 2)
    wanted = tf.where(stay, own, wrong)
    # Of a real row, what is open has to stay.
    wanted = tf.where(mask > 0.0, wanted, own)
    start = _sample_posterior(rows, seeds[0])
    return prior, _Request(start, wanted, mask, tf.ones_like(mask))

  def _request_terms(self, network, request, noise):
    """Returns the losses of one request a row."""
    moved = network(request.start, request.wanted, request.mask)
    logits = self.critic(moved, request.wanted, request.mask)
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
    switched, about = requests.switch(own, rows["focus"], self._excludes)
    other = tf.random.stateless_uniform(tf.shape(own)[:1], seed)
    other = (other < 1.0 - self._switched_fraction)[:, tf.newaxis]
    wrong = tf.where(other, tf.roll(own, 1, axis=0), switched)
    return wrong, requests.open_some(about, self._masked_fraction, mask_seed)

  def _note(self, terms):
    for name, values in terms.items():
      self._means[name].update_state(values)


def _prior(rows, seed):
  return tf.random.stateless_normal(tf.shape(rows["mean"]), seed)


def _sample_posterior(rows, seed):
  noise = tf.random.stateless_normal(tf.shape(rows["mean"]), seed)
  return rows["mean"] + rows["scale"] * noise


def _every_second(rows, stride=1):
  """Returns a [batch, 1] mask: True for every second run of `stride` rows."""
  positions = tf.range(tf.shape(rows)[0])
  return (positions // stride % 2 == 0)[:, tf.newaxis]
