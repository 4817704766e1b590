"""A frozen generator and everything that was learned for it.

`Parts` are held in memory, or read from a folder that the trainers or
`LatentConstraints.save` wrote, in the same format:

  run.json                      data set, attributes, image shape and crop
  refiner/ or vae/, gan/,
  generator/                    the generator, see `generators.generator.load`
  latents/cache/                encoded data, see `data.latent_cache`
  attributes/, flow/, ...       a model each, see `models.storage`
  constraints/<name>/           constraints learned afterwards, see `learning`
"""

import dataclasses
import functools
import os
from collections.abc import (
  Callable,
  Iterator,
  Mapping,
  MutableMapping,
  Sequence,
)

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import files
from lc_keras import priors
from lc_keras import run_folder
from lc_keras import spelling
from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import constraint as constraints
from lc_keras.data import latent_cache
from lc_keras.data import latents as latent_rows
from lc_keras.data import preprocessing as preprocessings
from lc_keras.generators import generator as generators
from lc_keras.generators import mapping as mappings
from lc_keras.learning import constraint_names
from lc_keras.learning import learned_constraints
from lc_keras.models import encoder
from lc_keras.models import storage
from lc_keras.models import whitening
from lc_keras.samplers import extended
from lc_keras.samplers import flow
from lc_keras.samplers import gradient_search
from lc_keras.samplers import rejection
from lc_keras.samplers import sampler
from lc_keras.samplers import table
from lc_keras.samplers import typicality
from lc_keras.samplers import unconditional

tfd = tfp.distributions

ACTOR = "actor_0.1"
# Calibration uses the first of these splits that exists, else "train".
_HELD_OUT = ("validation", "test")
# Rows per evaluation of a critic.
_PIECE = 8192


class Parts:
  """A generator and all that was learned for it.

  Attributes:
    generator: The frozen generator.
    labels: The attributes that the training latents are labelled with.
    models: By name: "attributes", "flow", "actor_0.1", "realism", "linear" ...;
      "encoder" is the learned encoder of a generator that has none.
    latents: Encoded data by split: "train", "validation", perhaps "test".
    learned: Constraints that were learned afterwards, by name; the last columns
      of `attributes`, in this order.
    fingerprint: Identifies the generator, see `generators.fingerprint`.
    preprocessing: How a picture becomes an image for `encode`.
    files: File names of the training images, if they come from files.
  """

  def __init__(
    self,
    generator: generators.Generator,
    labels: attribute_names.Attributes,
    *,
    models: MutableMapping[str, keras.Model] | None = None,
    latents: MutableMapping[str, latent_rows.Latents] | None = None,
    learned: dict[str, learned_constraints.LearnedConstraint] | None = None,
    fingerprint: str = "",
    encoded: bool = True,
    preprocessing: preprocessings.Preprocessing | None = None,
    files: Sequence[str] | None = None,
  ):
    self._generator = generator
    self._preprocessing = preprocessing
    self.files = files
    self.labels = labels
    self.models = {} if models is None else models
    self.latents = {} if latents is None else latents
    self.learned = {} if learned is None else learned
    self._fingerprint = fingerprint
    self._encoded = encoded

  @property
  def generator(self) -> generators.Generator:
    """The frozen generator."""
    return self._generator

  @property
  def mapping(self) -> mappings.Draws | None:
    """Draws latents by the generator's mapping; None without a mapping."""
    return getattr(self.generator, "mapping", None)

  @property
  def scales(self) -> list[float] | None:
    """Scales of axes for critics, see `mapping.Draws.scales`; or None."""
    return None if self.mapping is None else self.mapping.scales

  @property
  def fingerprint(self) -> str:
    """Identifies the generator."""
    return self._fingerprint

  @property
  def encoded(self) -> bool:
    """Whether latents are encoded images; else they are draws."""
    return self._encoded

  @property
  def encode(self) -> Callable[[tf.Tensor], tfd.Distribution] | None:
    """Maps images to q(z|x), by its own or a learned encoder; None without."""
    if generators.can_encode(self.generator):
      return self.generator.encode
    if encoder.MODEL not in self.models:
      return None
    posterior = self.models[encoder.MODEL].posterior
    return functools.partial(posterior, self.generator)

  @property
  def preprocessing(self) -> preprocessings.Preprocessing:
    """How a picture becomes an image; by default, its centre, resized."""
    known = self._preprocessing or preprocessings.Preprocessing(
      tuple(self.generator.image_shape)
    )
    are_images = generators.are_images(self.generator)
    return dataclasses.replace(known, are_images=are_images)

  def labelled(self, split: str) -> latent_rows.Latents:
    """Returns the latents of a split, labelled in full.

    The attribute critic predicts the labels that are unknown.
    """
    rows = self.latents[split]
    labels = np.asarray(rows.attributes)
    unknown = np.flatnonzero(np.isnan(labels).any(axis=1))
    if not len(unknown):
      return rows
    labels, critic = labels.copy(), self.models["attributes"].critic
    for part in np.array_split(unknown, -(-len(unknown) // _PIECE)):
      logits = critic(np.asarray(rows.mean[part]))
      labels[part] = latent_rows.completed(labels[part], logits)
    return dataclasses.replace(rows, attributes=labels)

  @property
  def own_attributes(self) -> attribute_names.Attributes:
    """The attributes of the attribute critic; none if there is no critic."""
    if "attributes" in self.models:
      return self.labels
    return attribute_names.Attributes(())

  @property
  def attributes(self) -> attribute_names.Attributes:
    """All attributes that a request can name, learned constraints included."""
    return self.own_attributes.extended(
      list(self.learned),
      [name for name, one in self.learned.items() if one.continuous],
    )

  @functools.cached_property
  def posterior_scale(self) -> np.ndarray:
    """[latent_size], sigma_bar."""
    scale = latent_rows.mean_scale(self.latents["train"])
    return np.asarray(scale, np.float32)

  @functools.cached_property
  def moments(self) -> latent_rows.Moments:
    """Mean and covariance of the training latents."""
    return latent_rows.moments(self.latents["train"])

  @property
  def covariance(self) -> np.ndarray:
    """float32 [latent_size, latent_size], of the encoder's means."""
    return self.moments.covariance.astype(np.float32)

  @functools.cached_property
  def starts(self) -> Callable[[tf.Tensor], tf.Tensor]:
    """Transforms prior draws to the mean and the covariance of q(z)."""
    if self.mapping is None and not generators.can_encode(self.generator):
      return tf.identity  # It was trained on the prior.
    matched = whitening.Whitening(self.generator.latent_size)
    matched.adapt(self.latents["train"])
    return lambda prior: matched.undo(matched.noise(prior))

  @functools.cached_property
  def typicality(self) -> typicality.Typicality:
    """Realism of latents, as reported for all samples and edits."""
    splits = list(self.latents)
    held_out = [one for one in _HELD_OUT if one in splits]
    return typicality.Typicality(
      self.latents["train"], self.latents[[*held_out, "train"][0]]
    )

  def own_judges(self, critic: str = ACTOR) -> sampler.Judges:
    """Returns the critics of the attributes without learned constraints.

    Args:
      critic: Name of the model whose critic samplers use; if it is missing, the
        model "realism", or else the prior.
    """
    attributes = self.own_attributes
    read = _no_attributes
    if len(attributes):
      read = self.models["attributes"].critic
    return sampler.Judges(
      attributes,
      self._realism_critic(critic),
      read,
      tf.constant(self.posterior_scale),
      draws=self.mapping,
      embedding=self.models.get("embedding"),
      # With a mapping, the norm of latents does not measure realism.
      realism=None if self.mapping is not None else self.typicality,
    )

  def judges(self, critic: str = ACTOR) -> sampler.Judges:
    """Returns the critics of all attributes, see `own_judges`."""
    return learned_constraints.extend(
      self.own_judges(critic), tuple(self.learned.values())
    )

  def _realism_critic(self, model):
    unknown = priors.realism_logits
    if self.mapping is not None:
      # Only "realism" was trained on moved draws of a mapping. Their norm is no
      # measure: truncated draws are shorter, and more realistic.
      unknown = _anything_is_real
    elif model in self.models:
      return self.models[model].critic
    realism = self.models.get("realism", unknown)
    return lambda latents, values, mask: realism(latents)

  def available(self) -> list[str]:
    """Returns the names of the samplers whose models are trained."""
    return [
      name
      for name, entry in table.SAMPLERS.items()
      if all(model in self.models for model in entry.needs)
    ]

  def build_sampler(
    self, name: str = "best", actor: str = ACTOR, critic: str | None = None
  ) -> sampler.Sampler:
    """Returns a sampler for all attributes, learned constraints included.

    Args:
      name: A name in `SAMPLERS`; or "best": the actor, else the flow, else the
        generator alone, with a search for attributes that these do not know.
        With a mapping: the actor of the search, else the search.
      actor: Name of the model for "actor" and "best".
      critic: Name of the model whose critic samplers use; by default the actor.

    Raises:
      ValueError: There is no such sampler, or its models are missing.
    """
    own, judges = (
      make(critic or actor) for make in (self.own_judges, self.judges)
    )
    if name == "best":
      if self.mapping is not None:
        trained = "search_actor" in self.models
        name = "search_actor" if trained else "search"
      elif actor in self.models:
        name = "actor"
      else:
        return self._extended(self.build_teacher(own), judges)
    entry = self._entry(name, actor)
    if entry.is_trained:
      return self._extended(entry.build(self, own), judges)
    return entry.build(self, judges)

  def _entry(self, name, actor):
    if name not in table.SAMPLERS:
      raise ValueError(
        f"Unknown sampler {name!r}: "
        + spelling.suggest(str(name), ["best", *table.SAMPLERS])
      )
    entry = table.SAMPLERS[name]
    if name == "actor":
      entry = table.actor_entry(actor)
    missing = [model for model in entry.needs if model not in self.models]
    if missing:
      raise ValueError(
        f"The sampler {name!r} needs the model {' and '.join(missing)}, which "
        f"has not been trained; ready: best, {', '.join(self.available())}."
      )
    return entry

  def _extended(self, base, judges):
    if base.num_known_attributes == len(judges.attributes):
      return base
    return extended.Extended(
      base,
      self.build_search(judges),
      learned_constraints.advance(tuple(self.learned.values())),
    )

  def build_teacher(self, judges: sampler.Judges) -> sampler.Transformer:
    """Returns the flow's sampler, or without a flow the unconditional one.

    Args:
      judges: Result of `own_judges`.
    """
    if self.mapping is not None:
      return unconditional.Unconditional(judges)
    if "flow" in self.models:
      return flow.FlowSampler(judges, self.models["flow"])
    return unconditional.Unconditional(judges, self.starts)

  def build_search(
    self, judges: sampler.Judges
  ) -> gradient_search.GradientSearch:
    """Returns the search, whose samples start from those of the teacher."""
    if self.mapping is not None:
      # The best of several draws is realistic and nearly meets the request.
      best = rejection.BestOfN(judges)
      return gradient_search.GradientSearch.near(
        judges,
        self.covariance,
        lambda constraint, seeds: best.sample(constraint, seeds).latents,
      )
    teacher = self.build_teacher(self.own_judges())
    known = len(self.own_attributes)

    def starts(constraint: constraints.Constraint, seeds: tf.Tensor):
      return teacher.sample(constraint.narrowed(known), seeds).latents

    return gradient_search.GradientSearch.robust(
      judges, self.covariance, starts
    )


def _anything_is_real(latents):
  return tf.zeros([tf.shape(latents)[0]])


def _no_attributes(latents):
  return tf.zeros([tf.shape(latents)[0], 0])


def read(
  folder: str,
  constraints: Sequence[str] | None = None,
  source: Mapping[str, str] | None = None,
  generator: generators.Generator | None = None,
) -> "FolderParts":
  """Returns the parts of a folder, each read when it is first used.

  Args:
    folder: A run folder, or one that was saved.
    constraints: Names of the learned constraints to load; None loads all.
    source: Required source of the latents, besides the generator, see
      `latent_cache.read`.
    generator: The generator, if it could not be saved.

  Raises:
    FileNotFoundError: There is no such folder or constraint.
  """
  return FolderParts(folder, constraints, source, generator)


class FolderParts(Parts):
  """Parts whose generator, models and latents lie in a folder.

  Attributes:
    folder: The folder.
    about: Its `run.json`, see `run_folder.read_about`.
    refused: By name, why a learned constraint cannot be used: it was learned
      for another generator, or is damaged.
  """

  def __init__(
    self,
    folder: str,
    constraints: Sequence[str] | None = None,
    source: Mapping[str, str] | None = None,
    generator: generators.Generator | None = None,
  ):
    self._source = dict(source or {})
    self.about = run_folder.read_about(folder)
    self.folder = folder
    self.refused = {}
    super().__init__(
      generator,
      run_folder.attributes_of(self.about),
      models=_Models(self),
      latents=_Splits(self),
      preprocessing=preprocessings.Preprocessing.from_about(self.about),
    )
    names = constraint_names.names(folder)
    for name in names if constraints is None else constraints:
      try:
        self.learned[name] = learned_constraints.read(
          folder, name, self.fingerprint
        )
      except ValueError as error:
        self.refused[name] = str(error)

  @functools.cached_property
  def generator(self) -> generators.Generator:
    """See base class."""
    return generators.load(self.folder, self._generator)

  @functools.cached_property
  def fingerprint(self) -> str:
    """See base class."""
    return generators.fingerprint(self.folder)

  @functools.cached_property
  def encoded(self) -> bool:
    """See base class."""
    if "encoded" in self.about:
      return self.about["encoded"]
    has_images = self.about["dataset"] is not None
    return has_images and generators.has_encoder(self.folder)

  @functools.cached_property
  def posterior_scale(self) -> np.ndarray:
    """See base class; read from the manifest of the cache."""
    manifest = latent_cache.read_manifest(*self.cache)
    return np.asarray(manifest["posterior_scale"], np.float32)

  @property
  def cache(self) -> tuple[str, dict[str, str]]:
    """The folder of the latent cache, and its required source."""
    folder = os.path.join(self.folder, "latents", "cache")
    return folder, {"generator": self.fingerprint, **self._source}


class _Models(MutableMapping):
  """The models of a folder, each loaded when it is first used."""

  def __init__(self, parts):
    self._parts = parts
    self._folder = parts.folder
    self._loaded = {}

  def __getitem__(self, name: str) -> keras.Model:
    if name not in self._loaded:
      if name not in self:
        raise KeyError(name)
      folder = os.path.join(self._folder, name)
      model = storage.load(folder)
      if model.made_for not in (None, self._parts.fingerprint):
        raise ValueError(
          f"{folder!r} was learned for another generator than {self._folder!r} "
          "has: the same latent vector is another image there. Delete it and "
          "learn it again."
        )
      self._loaded[name] = model
    return self._loaded[name]

  def __setitem__(self, name: str, model: keras.Model):
    self._loaded[name] = model

  def __delitem__(self, name: str):
    del self._loaded[name]

  def __contains__(self, name) -> bool:
    files.check_name(name, "a model")
    path = os.path.join(self._folder, name, storage.WEIGHTS)
    return name in self._loaded or os.path.exists(path)

  def __iter__(self) -> Iterator[str]:
    return iter(sorted({*filter(self.__contains__, os.listdir(self._folder))}))

  def __len__(self) -> int:
    return len(list(iter(self)))


class _Splits(MutableMapping):
  """The splits of a folder's latent cache, each opened when first used."""

  def __init__(self, parts):
    self._parts = parts
    self._opened = {}

  def __getitem__(self, split: str) -> latent_rows.Latents:
    if split not in self._opened:
      folder, source = self._parts.cache
      self._opened[split] = latent_cache.read(folder, split, source)
    return self._opened[split]

  def __setitem__(self, split: str, rows: latent_rows.Latents):
    self._opened[split] = rows

  def __delitem__(self, split: str):
    del self._opened[split]

  def __iter__(self) -> Iterator[str]:
    folder, source = self._parts.cache
    return iter(latent_cache.read_manifest(folder, source)["rows"])

  def __len__(self) -> int:
    return len(list(iter(self)))
