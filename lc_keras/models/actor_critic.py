"""Trains a critic and an actor in the latent space of a frozen generator.

Engel et al. 2018, sections 3 and 4. `actor_requests` makes the training rows;
this module has the networks, the losses and the steps, with these changes:

- prior samples are first mapped to the mean and the covariance of q(z)
  (`whitening.adapt`), which needs no network and covers most of the distance;
- a frozen attribute critic tells the actor directly which attributes its
  latents decode to (`attribute_weight`): it learns rare ones much sooner;
- the actor can start with the weights of the flow that it imitates (`imitate`);
- after training, a moving average of the actor's weights is used
  (`average_decay`), which varies less than the weights of single steps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from lc_keras import losses
from lc_keras import priors
from lc_keras import recipes
from lc_keras import training as trainings
from lc_keras.data import latent_batches
from lc_keras.models import actor
from lc_keras.models import actor_requests
from lc_keras.models import adam
from lc_keras.models import critic
from lc_keras.models import distilled_actor
from lc_keras.models import flow_matching
from lc_keras.models import moving_average
from lc_keras.models import stored_model
from lc_keras.models import whitening

# Streams of random numbers within one update, see `priors.step_seed`.
_STREAMS = 8
# Name of the embedding that edits keep, see `learning.embedding`.
_EMBEDDING = "embedding"


class Move(NamedTuple):
  """A request, the actor's answer, and the critics' outputs for it.

  Attributes:
    request: The request.
    moved: [batch, latent_size], the actor's answer.
    realism: [batch], the critic's logits.
    attributes: [batch, num_attributes], the attribute critic's logits of a
      noisy copy.
    posterior_scale: [latent_size], sigma_bar.
    embedding_distance: [batch], squared, between the embeddings of
      `request.start` and `moved`; 0 without an embedding.
  """

  request: actor_requests.Request
  moved: tf.Tensor
  realism: tf.Tensor
  attributes: tf.Tensor
  posterior_scale: tf.Tensor
  embedding_distance: tf.Tensor


# The terms of the actor's loss, [batch] each. A new one is a function here and
# its weight, `<name>_weight`, a field of `recipes.Actor`.
TERMS: dict[str, Callable[[Move], tf.Tensor]] = {
  "realism": lambda move: losses.critic_cross_entropy(move.realism, True),
  # `answer` is that of the row's lesson; without one, the start.
  "distance": lambda move: losses.latent_distance(
    move.moved, move.request.answer, move.posterior_scale
  ),
  "attribute": lambda move: losses.attribute_cross_entropy(
    move.attributes, move.request.values, move.request.read
  ),
  "imitation": lambda move: tf.reduce_mean(
    tf.square(move.moved - move.request.answer), axis=-1
  ),
  "same": lambda move: move.embedding_distance,
}


class ActorCritic(stored_model.StoredModel):
  """An actor G(z, y) and a critic D(z, y), trained in turns.

  >>> model = ActorCritic(8, 2, width=16, depth=1)
  >>> asked = tf.ones([3, 2])
  >>> model(tf.zeros([3, 8]), asked, asked).shape
  TensorShape([3, 8])

  Attributes:
    actor: The moving average of the trained actor, used after training.
    trained_actor: The actor that the optimiser updates.
    critic: D(z, y).
  """

  REPORTS = ("critic_loss", "penalty", "actor_loss", *TERMS)

  def __init__(
    self,
    latent_size: int,
    num_attributes: int,
    width: int = 2048,
    depth: int = 4,
    flow_sizes: Sequence[int] | None = None,
    strides: int = 1,
    masked: bool = True,
    **kwargs,
  ):
    """Creates and builds the networks.

    Args:
      latent_size: Size of z.
      num_attributes: Size of y.
      width: Units of every hidden layer, see `Critic` and `Actor`.
      depth: Number of hidden layers.
      flow_sizes: Width and depth of the flow whose weights a `DistilledActor`
        starts with, see `imitate`; None for the published actor.
      strides: Strides of the `DistilledActor`.
      masked: Whether the networks are given a request's mask, see `Actor`; a
        `DistilledActor` always is.
      **kwargs: For `keras.Model`.
    """
    super().__init__(**kwargs)
    self.latent_size = latent_size
    sizes = (latent_size, num_attributes)
    self.whitening = whitening.Whitening(latent_size, name="whitening")

    def new_actor(name):
      if flow_sizes is None:
        return actor.Actor(*sizes, width, depth, masked, name=name)
      return distilled_actor.DistilledActor(
        *sizes, *flow_sizes, self.whitening, strides, name=name
      )

    self.actor, self.trained_actor = moving_average.pair(new_actor, "actor")
    self.critic = critic.Critic(*sizes, width, depth, masked, name="critic")
    self.built = True

  def imitate(self, flow: flow_matching.FlowMatching) -> None:
    """Copies the whitening and the weights of a flow.

    Args:
      flow: A flow with the sizes that the model was created with.
    """
    self.whitening.set_weights(flow.whitening.get_weights())
    for network in (self.actor, self.trained_actor):
      network.start_as(flow)

  def starts(self, prior: tf.Tensor) -> tf.Tensor:
    """Returns the actor's latents for prior samples, [batch, latent_size].

    The samples themselves, unless the whitening has been adapted; then draws of
    the normal distribution with mean and covariance of q(z).
    """
    return self.whitening.undo(self.whitening.noise(prior))

  def compile(
    self,
    actor_optimizer: keras.optimizers.Optimizer,
    critic_optimizer: keras.optimizers.Optimizer,
    recipe: recipes.Actor,
    *,
    read_attributes: Callable[[tf.Tensor], tf.Tensor],
    posterior_scale: tf.Tensor,
    excludes: tf.Tensor,
    embed: Callable[[tf.Tensor], tf.Tensor] | None = None,
    **kwargs,
  ):
    """Sets the losses, and builds both optimisers before `fit` needs them.

    Args:
      actor_optimizer: For the actor.
      critic_optimizer: For the critic.
      recipe: The settings.
      read_attributes: Maps latents to logits [batch, num_attributes]: a frozen
        `AttributeCritic`, which this model neither trains nor saves.
      posterior_scale: [latent_size], sigma_bar.
      excludes: [num_attributes, num_attributes], see `Attributes.excludes`.
      embed: Maps latents to the embedding to keep, [batch, n]; None keeps none.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(
      actor_optimizer,
      variables=self.trained_actor.trainable_variables,
      **kwargs,
    )
    self.critic_optimizer = critic_optimizer
    critic_optimizer.build(self.critic.trainable_variables)
    self._recipe = recipe
    # Wrapped in a function, or Keras would track it as a part of this model.
    self._read_attributes = lambda latents: read_attributes(latents)
    self._embed = None if embed is None else lambda latents: embed(latents)
    self._posterior_scale = tf.constant(posterior_scale, tf.float32)
    self._excludes = tf.constant(excludes, tf.float32)

  def call(self, latents, values, mask):
    """Returns G(z, y), [batch, latent_size]."""
    return self.actor(latents, values, mask)

  def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. The last turn updates the actor, each other the critic.

    The turns are unrolled: an optimiser's update inside tf.cond fails under
    MirroredStrategy.

    Args:
      batch: "mean" and "scale" [batch, turns, latent_size], "attributes"
        [batch, turns, num_attributes] and "focus" [batch, turns], the
        attribute that a request on this row switches. With imitation also
        "lessons" for the last turn, see `lessons.make_lessons`.
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
    return self._report()

  def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict:
    """See base class. Uses the average actor, and the same noise every time.

    Args:
      batch: As for `train_step`, without turns: "mean" is [batch,
        latent_size].
    """
    seeds = [(0, stream) for stream in range(_STREAMS)]
    return self._report(
      **self._critic_terms(batch, seeds),
      **self._actor_terms(self.actor, batch, seeds),
    )

  def _seeds(self, turn):
    first = turn * _STREAMS
    step = self.optimizer.iterations
    return [
      priors.step_seed(step, first + stream) for stream in range(_STREAMS)
    ]

  def _update_critic(self, rows, seeds):
    with tf.GradientTape() as tape:
      terms = self._critic_terms(rows, seeds)
      loss = tf.nn.compute_average_loss(terms["critic_loss"])
    variables = self.critic.trainable_variables
    self.critic_optimizer.apply(tape.gradient(loss, variables), variables)
    self._report(**terms)

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
      self._recipe.average_decay,
    )
    self._report(**terms)

  def _critic_terms(self, rows, seeds):
    """Returns the critic's losses, [batch], and its gradient penalty."""
    recipe = self._recipe
    told = actor_requests.comparison(
      rows, recipe, self._excludes, self.starts, seeds
    )
    moved = self.trained_actor(told.start, told.fake_labels, told.mask)
    # Some fakes are prior samples that the actor has not moved.
    raw = tf.random.stateless_uniform(tf.shape(told.own)[:1], seeds[3])
    raw = (raw < recipe.prior_fraction)[:, tf.newaxis]
    fake = tf.stop_gradient(tf.where(raw, told.prior, moved))
    mix = tf.random.stateless_uniform([tf.shape(told.own)[0], 1], seeds[5])
    real_logits, fake_logits, wrong_logits, slopes = self.critic.compare(
      told.real, fake, mix, told.own, told.fake_labels, told.wrong, told.mask
    )
    # Another row's labels may equal the row's own where the mask is 1: such a
    # row is no negative.
    differs = (told.wrong != told.own) & (told.mask > 0.0)
    is_wrong = tf.cast(tf.reduce_any(differs, axis=-1), tf.float32)
    penalty = losses.gradient_penalty(slopes)
    loss = (
      losses.critic_cross_entropy(real_logits, True)
      + losses.critic_cross_entropy(fake_logits, False)
      + recipe.wrong_weight
      * is_wrong
      * losses.critic_cross_entropy(wrong_logits, False)
      + recipe.penalty_weight * penalty
    )
    return {"critic_loss": loss, "penalty": penalty}

  def _actor_terms(self, network, rows, seeds):
    """Returns the actor's losses, [batch]: means over prior and real requests.

    Args:
      network: The trained actor, or the average one.
      rows: A batch without turns.
      seeds: Seeds of the draws.
    """
    requests = actor_requests.requests(
      rows, self._recipe, self._excludes, self.starts, seeds
    )
    noise = tf.concat(
      [
        tf.random.stateless_normal(tf.shape(request.start), seed)
        for request, seed in zip(requests, seeds[6:])
      ],
      axis=0,
    )
    # Both requests of a row go through the networks together: fewer and larger
    # products.
    together = actor_requests.Request(
      *(tf.concat(parts, axis=0) for parts in zip(*requests))
    )
    terms = self._terms(network, together, noise)
    if len(requests) == 1:
      return terms
    weight = self._recipe.real_weight / (1.0 + self._recipe.real_weight)
    for name, values in terms.items():
      prior, real = tf.split(values, 2)
      terms[name] = (1.0 - weight) * prior + weight * real
    return terms

  def _terms(self, network, request, noise):
    moved = network(request.start, request.values, request.mask)
    realism = self.critic(moved, request.values, request.mask)
    noise *= self._recipe.attribute_noise * self._posterior_scale
    (attributes,) = losses.noisy_readings(
      self._read_attributes, moved, [noise], with_clean=False
    )
    distance = tf.zeros_like(realism)
    if self._embed is not None:
      distance = losses.embedding_distance(
        self._embed(moved), self._embed(request.start)
      )
    move = Move(
      request, moved, realism, attributes, self._posterior_scale, distance
    )
    terms = {name: term(move) for name, term in TERMS.items()}
    loss = sum(
      getattr(self._recipe, f"{name}_weight") * values
      for name, values in terms.items()
    )
    return {"actor_loss": loss, **terms}


def training(
  recipe: recipes.Actor,
  parts,
  *,
  lessons: Mapping[str, Mapping[str, tf.Tensor]] | None = None,
) -> trainings.Training:
  """Returns the training of an actor and its critic on the latents of parts.

  Args:
    recipe: The settings.
    parts: `parts.Parts` with the model "attributes"; with imitation, "flow".
    lessons: Lessons of the splits "train" and "validation", see
      `lessons.make_lessons`; needed with imitation.
  """
  rows, held_out = parts.labelled("train"), parts.labelled("validation")
  sizes = (rows.mean.shape[1], len(parts.labels), recipe.width, recipe.depth)
  # Loaded before the seed is set: initial weights depend on the seed alone.
  attribute_critic = parts.models["attributes"].critic
  flow = parts.models["flow"] if recipe.imitation_weight else None
  if recipe.same_weight and _EMBEDDING not in parts.models:
    raise ValueError(
      "same_weight needs a learned embedding, and there is none: use "
      "`LatentConstraints.keep` first, or set same_weight to 0."
    )
  keras.utils.set_random_seed(recipe.seed)
  masked = recipe.masked_fraction > 0.0
  if flow is not None:
    known = flow.arguments
    model = ActorCritic(
      *sizes,
      flow_sizes=(known["width"], known["depth"]),
      strides=recipe.strides,
      masked=masked,
    )
    model.imitate(flow)
  else:
    model = ActorCritic(*sizes, masked=masked)
    if recipe.match_moments:
      model.whitening.adapt(rows)
  model.made_for = parts.fingerprint or None
  model.compile(
    adam.Adam(trainings.learning_rate(recipe), recipe.beta_1, recipe.beta_2),
    adam.Adam(trainings.learning_rate(recipe, recipe.critic_steps), 0.0, 0.9),
    recipe,
    read_attributes=attribute_critic,
    posterior_scale=parts.posterior_scale,
    excludes=parts.labels.excludes,
    embed=parts.models[_EMBEDDING] if recipe.same_weight else None,
  )

  def batches(step):
    drawn = latent_batches.at_random(
      rows,
      recipe.batch_size,
      turns=recipe.critic_steps + 1,
      balanced_fraction=recipe.balanced_fraction,
      seed=recipe.seed,
      start_step=step,
    )
    if not recipe.imitation_weight:
      return drawn
    return latent_batches.with_lessons(
      drawn,
      lessons["train"],
      recipe.batch_size,
      seed=recipe.seed,
      start_step=step,
    )

  validation = latent_batches.in_order(held_out, recipe.batch_size)
  if not recipe.imitation_weight:
    return trainings.Training(model, batches, validation, "val_attribute")
  validation = latent_batches.with_lessons(
    validation, lessons["validation"], recipe.batch_size
  )
  return trainings.Training(model, batches, validation, "val_imitation")
