"""What a run folder holds, loaded when it is needed and put together.

Reads only; which trainer wrote a part does not matter here.
"""

import functools
import json
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lc_keras import files
from lc_keras import priors
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.data import latent_cache
from lc_keras.data import latents as latents_lib
from lc_keras.generators import generator as generator_lib
from lc_keras.models import storage
from lc_keras.models import whitening
from lc_keras.samplers import actor
from lc_keras.samplers import flow
from lc_keras.samplers import gradient_search
from lc_keras.samplers import open_requests
from lc_keras.samplers import refined
from lc_keras.samplers import sampler
from lc_keras.samplers import unconditional

ACTOR = "actor_0.1"


class Parts:
  """A run's models, each loaded once.

  Attributes:
    folder: The run folder.
    about: run.json: data set, image shape, attributes.
    load: Returns the model of a stage.
  """

  def __init__(self, run_dir: str):
    """Opens a run folder.

    Raises:
      FileNotFoundError: It is none.
    """
    path = os.path.join(run_dir, "run.json")
    if not os.path.exists(path):
      raise FileNotFoundError(
        f"{run_dir!r} is no run folder: it has no run.json. Give the --run_dir "
        "that the trainers were given."
      )
    with open(path, encoding="utf-8") as file:
      self.about = json.load(file)
    self.folder = run_dir
    self.load = functools.cache(self._load)

  def _load(self, stage):
    files.check_name(stage, "a stage")
    return storage.load(os.path.join(self.folder, stage))

  def has(self, stage: str) -> bool:
    """Returns whether a stage has left a model."""
    return os.path.exists(os.path.join(self.folder, stage, storage.WEIGHTS))

  @functools.cached_property
  def generator(self) -> generator_lib.Generator:
    """The generative model."""
    return generator_lib.load(self.folder)

  @functools.cached_property
  def fingerprint(self) -> str:
    """Which generative model it is."""
    return generator_lib.fingerprint(self.folder)

  @property
  def attributes(self) -> attributes_lib.Attributes:
    """What the run's own attribute critic knows; nothing, if it has none."""
    if not self.has("attributes"):
      return attributes_lib.Attributes(())
    return attributes_lib.Attributes(
      self.about["attributes"],
      self.about["exclusive"],
      self.about.get("continuous", ()),
    )

  @functools.cached_property
  def train(self) -> latents_lib.Latents:
    """The training split of the latent cache."""
    cache = os.path.join(self.folder, "latents", "cache")
    return latent_cache.read(cache, "train", {"generator": self.fingerprint})

  @functools.cached_property
  def posterior_scale(self) -> np.ndarray:
    """[latent_size], sigma_bar."""
    cache = os.path.join(self.folder, "latents", "cache")
    manifest = latent_cache.read_manifest(
      cache, {"generator": self.fingerprint}
    )
    return np.asarray(manifest["posterior_scale"], np.float32)

  @functools.cached_property
  def covariance(self) -> np.ndarray:
    """[latent_size, latent_size], of the encoder's means."""
    return latents_lib.covariance(self.train)

  @functools.cached_property
  def begin(self) -> Callable[[tf.Tensor], tf.Tensor]:
    """Gives draws of the prior the mean and the covariance of q(z)."""
    if not generator_lib.can_encode(self.generator):
      return tf.identity  # They have: it is the prior that it was made for.
    moments = whitening.Whitening(self.generator.latent_size)
    moments.adapt(self.train)
    return lambda prior: moments.undo(moments.noise(prior))

  def judges(self, critic: str = ACTOR) -> sampler.Judges:
    """Returns who judges.

    Args:
      critic: Stage whose critic says what is realistic; if there is none,
        that of the stage `realism` does, and without that the prior.
    """
    attributes = self.attributes
    return sampler.Judges(
      attributes,
      self._critic(critic),
      self.load("attributes").critic if len(attributes) else _no_attributes,
      tf.constant(self.posterior_scale),
    )

  def _critic(self, stage):
    if self.has(stage):
      return self.load(stage).critic
    unconditional_critic = priors.realism_logits
    if self.has("realism"):
      unconditional_critic = self.load("realism")
    return lambda latents, values, mask: unconditional_critic(latents)

  def first(
    self, judges: sampler.Judges, stage: str = ACTOR
  ) -> sampler.Transformer:
    """Returns an actor; if there is none, the flow, or the model as it is.

    Args:
      judges: Of the run's own attributes.
      stage: Of the actor.
    """
    teacher = self.teacher(judges)
    if not self.has(stage):
      return teacher
    model = self.load(stage)
    return open_requests.OpenRequests(
      actor.ActorSampler(judges, model.actor, begin=model.begin), teacher
    )

  def teacher(self, judges: sampler.Judges) -> sampler.Transformer:
    """Returns the flow, or the generative model as it is."""
    if self.has("flow"):
      return flow.FlowSampler(judges, self.load("flow"))
    return unconditional.Unconditional(judges, self.begin)

  def search(
    self, judges: sampler.Judges, first: sampler.Sampler
  ) -> gradient_search.GradientSearch:
    """Returns the search, its samples begun by another sampler.

    Args:
      judges: Of all that can be asked for.
      first: Knows the first columns of it.
    """

    def begin(constraint: constraint_lib.Constraint, seeds: tf.Tensor):
      return first.sample(refined.known_to(first, constraint), seeds).latents

    return gradient_search.GradientSearch.robust(judges, self.covariance, begin)


def _no_attributes(latents):
  return tf.zeros([tf.shape(latents)[0], 0])
