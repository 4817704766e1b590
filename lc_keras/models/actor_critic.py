"""Trains a critic and an actor in the latent space of a frozen model.

Engel et al. 2018, sections 3 and 4. `actor_critic_recipe` has what the two are
asked and what it costs them, and what differs there from what was published;
here are the networks and the steps, with three changes more:

- prior samples begin with the mean and the covariance of q(z)
  (`whitening.adapt`): that needs no network, and is most of the way;
- the actor can begin as the flow that teaches it (`imitate`);
- what is used after training is a moving average of the actor's weights
  (`average_decay`): single steps differ more than their average.
"""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from lc_keras import priors
from lc_keras.models import actor
from lc_keras.models import actor_critic_recipe
from lc_keras.models import critic
from lc_keras.models import distilled_actor
from lc_keras.models import flow_matching
from lc_keras.models import moving_average
from lc_keras.models import whitening


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
    recipe: actor_critic_recipe.Recipe,
    average_decay: float = 0.999,
    **kwargs,
  ):
    """Sets the losses, and builds both optimisers before `fit` needs them.

    Args:
      actor_optimizer: For the actor.
      critic_optimizer: For the critic.
      recipe: What they are asked, and what it costs them.
      average_decay: Of the moving average of the actor's weights, per update.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer=actor_optimizer, loss=None, **kwargs)
    self.critic_optimizer = critic_optimizer
    actor_optimizer.build(self.trained_actor.trainable_variables)
    critic_optimizer.build(self.critic.trainable_variables)
    self._recipe = recipe
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
    seeds = [(0, stream) for stream in range(actor_critic_recipe.STREAMS)]
    self._note(self._recipe.critic_terms(self, batch, seeds))
    self._note(self._recipe.actor_terms(self, self.actor, batch, seeds))
    return {name: mean.result() for name, mean in self._means.items()}

  def _seeds(self, turn):
    first = turn * actor_critic_recipe.STREAMS
    step = self.optimizer.iterations
    return [
      priors.step_seed(step, first + stream)
      for stream in range(actor_critic_recipe.STREAMS)
    ]

  def _update_critic(self, rows, seeds):
    with tf.GradientTape() as tape:
      terms = self._recipe.critic_terms(self, rows, seeds)
      loss = tf.nn.compute_average_loss(terms["critic_loss"])
    variables = self.critic.trainable_variables
    self.critic_optimizer.apply(tape.gradient(loss, variables), variables)
    self._note(terms)

  def _update_actor(self, rows, seeds):
    with tf.GradientTape() as tape:
      terms = self._recipe.actor_terms(self, self.trained_actor, rows, seeds)
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

  def _note(self, terms):
    for name, values in terms.items():
      self._means[name].update_state(values)
