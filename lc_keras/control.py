"""Control over a frozen generator, as one object.

>>> import numpy as np
>>> import lc_keras
>>> from lc_keras import recipes
>>> def decode(z):  # Any frozen generator of 8 x 8 images.
...   return 1.0 / (1.0 + np.exp(-np.tile(z, [1, 16]))).reshape(-1, 8, 8, 1)
>>> def encode(x):
...   return np.log(x / (1.0 - x)).reshape(-1, 64)[:, :4]
>>> generator = lc_keras.Generator(decode, encoder=encode, latent_size=4)
>>> images = decode(np.random.default_rng(0).normal(size=[200, 4]))
>>> left = images[:, 0, 0, 0] > 0.5
>>> control = lc_keras.LatentConstraints(generator, ["Left"])
>>> small = {"steps": 4, "batch_size": 32, "width": 8, "depth": 1}
>>> history = control.fit(
...   images, left, verbose=0, recipes=(
...     recipes.Attributes(**small),
...     recipes.Flow(**small),
...     recipes.Actor(**small, critic_steps=1),
...   )
... )
>>> list(history)
['attributes', 'flow', 'actor_0.1']
>>> control.sample("not Left", n=3, seed=0).images.shape
(3, 8, 8, 1)
"""

import dataclasses
import functools
import numbers
import operator
import os
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import controlled_images
from lc_keras import fit as fitting
from lc_keras import parts as parts_of
from lc_keras import preset
from lc_keras import priors
from lc_keras import progress
from lc_keras import recipes as settings
from lc_keras import saving
from lc_keras import spelling
from lc_keras import tensorflow_banners
from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import constraint as constraints
from lc_keras.constraints import expressions
from lc_keras.constraints import requests
from lc_keras.data import arrays
from lc_keras.generators import decoding
from lc_keras.generators import generator as generators
from lc_keras.learning import acquire
from lc_keras.learning import constraint_names
from lc_keras.learning import embedding
from lc_keras.learning import encoding
from lc_keras.learning import labels as some_labels
from lc_keras.learning import learned_constraints
from lc_keras.learning.rules import kinds as rule_kinds
from lc_keras.models import encoder
from lc_keras.models import storage
from lc_keras.samplers import scaled

_BATCH_SIZE = 64
_LARGEST_SEED = 2**31 - 1


class LatentConstraints:
  """A frozen generator and the models that are learned to control it.

  Attributes:
    parts: The generator, the models and the latents, see `parts.Parts`.
  """

  def __init__(
    self,
    generator,
    attributes: Sequence[str] | attribute_names.Attributes | None = None,
  ):
    """Creates the object; nothing is learned yet.

    Args:
      generator: A `Generator`, or a model that `Generator` takes.
      attributes: Names of the attributes that `fit` learns, in the order of
        the columns of its labels; or an `Attributes`, which can also say which
        exclude each other. None takes the names from the labels.

    Raises:
      ValueError: The generator or the names cannot be used.
      TypeError: `generator` is of no supported type.
    """
    if isinstance(generator, parts_of.Parts):
      self.parts = generator
    else:
      if not isinstance(generator, generators.Generator):
        generator = generators.Generator(generator)
      nothing = attribute_names.Attributes(())
      self.parts = parts_of.Parts(generator, nothing, encoded=False)
    if not isinstance(attributes, attribute_names.Attributes | None):
      _check_names(attributes)
    self._asked = attributes
    self._build()

  @classmethod
  def load(
    cls,
    path: str,
    constraints: Sequence[str] | None = None,
    *,
    generator=None,
  ) -> "LatentConstraints":
    """Opens a preset, or a folder that `save` or the trainers wrote.

    Models that are learned later are written to the same folder; those for a
    preset, to runs/<name> in the current directory.

    Args:
      path: The folder; or the name of a preset, see `presets`.
      constraints: Names of the learned constraints to load; None loads all. A
        search preserves each loaded constraint that a request leaves open.
      generator: The generator, if it is a Python function of arrays, which
        cannot be saved.

    Raises:
      FileNotFoundError: There is no such folder, or it has no generator, no
        latents or no such constraint.
      ValueError: A file in it is damaged.
    """
    folder = preset.readable(path)
    return cls(parts_of.read(folder, constraints, generator=generator))

  @property
  def generator(self) -> generators.Generator:
    """The frozen generator."""
    return self.parts.generator

  @property
  def attributes(self) -> attribute_names.Attributes:
    """All attributes that a request can name, learned constraints included."""
    return self.parts.attributes

  def constraint(self, name: str) -> expressions.Expression:
    """Returns the expression of an attribute, to be combined by &, | and ~.

    Raises:
      ValueError: No attribute has this name, or its constraint is damaged or
        was learned for another generator.
    """
    refused = getattr(self.parts, "refused", {})
    if name in refused:
      raise ValueError(refused[name])
    self._check_known()
    attributes = self.attributes
    return expressions.Has(attributes.names[attributes.index(name)])

  @tensorflow_banners.no_retracing_warnings()
  def fit(
    self,
    images=None,
    labels=None,
    *,
    latents=None,
    epochs: int = 5,
    steps_per_epoch: int | None = None,
    recipes: Sequence[settings.Training] = (),
    seed: int = 0,
    validation_split: float = 0.1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    data_dir: str = "data",
  ) -> dict[str, keras.callbacks.History]:
    """Encodes images once, and trains models on the latents and their labels.

    It trains three models in turn: the attribute critic "attributes", the
    conditional "flow", and the actor "actor_0.1", which imitates the flow in a
    single step, with its critic. For a generator with a mapping, the critic
    "realism", which separates draws of the mapping from other latents, replaces
    the last two: requests are answered by a search, and flow and actor are
    trained only if `recipes` has one for them. So is, for any generator,
    "search_actor", which gives a search's answers in one step. Without labels,
    images are encoded and no model is trained; `learn` can then add attributes.
    Without images, and always for a generator that cannot encode, latents are
    drawn.

    A later call replaces all models except learned constraints, the embedding
    and the encoder: the frozen generator still decodes every latent alike.

    Args:
      images: Arrays, a tf.data.Dataset or the name of a data set, see
        `arrays.source`.
      labels: [n, num_attributes] or [n], numbers in [0, 1]; or columns by name,
        a dictionary or a data frame. An unknown label is NaN or an empty cell.
        A generator that cannot encode has no use for labels of given images; it
        takes a classifier that maps decoded draws to logits [batch,
        num_attributes]; or a table with a column `seed`, labels of the images
        that `Generator.sample` makes; or labels of `latents`.
      latents: [n, latent_size], the drawn latents that the labels belong to,
        instead of images; for draws that were not made by `Generator.sample`.
      epochs: Epochs of each model, of `steps_per_epoch` steps each. Latents get
        fresh noise at every step, so that no batch repeats.
      steps_per_epoch: By default one pass over the rows, but at least 100 and
        at most 2,000 steps.
      recipes: Settings that replace all these: one or several of
        `recipes.Attributes`, `recipes.Flow`, `recipes.Actor`, `recipes.Realism`
        and `recipes.SearchActor`. The trainers make the same models of these
        recipes, except the last.
      seed: Seed of drawn latents and of every model without a recipe.
      validation_split: Share of the rows that is held out; above 0.
      callbacks: As of `keras.Model.fit`.
      verbose: As of `keras.Model.fit`.
      data_dir: Folder of prepared data sets.

    Returns:
      The history of each model, by name.

    Raises:
      ValueError: Images, labels and names do not fit together.
    """
    epochs = _whole("epochs", epochs, 1)
    if steps_per_epoch is not None:
      steps_per_epoch = _whole("steps_per_epoch", steps_per_epoch, 1)
    seed = _whole("seed", seed, 0, _LARGEST_SEED)
    recipes = fitting.by_type(recipes)
    labels, latents = fitting.by_seed(self.generator, labels, latents)
    if latents is None:
      parts = fitting.encode(
        self.generator,
        self._with_channels(images),
        labels,
        self._asked,
        seed=seed,
        validation_split=validation_split,
        data_dir=data_dir,
      )
    else:
      parts = fitting.drawn(
        self.generator,
        latents,
        labels,
        self._asked,
        seed=seed,
        validation_split=validation_split,
      )
    parts.learned.update(self.parts.learned)
    for name in (encoder.MODEL, embedding.MODEL):
      if name in self.parts.models:
        parts.models[name] = self.parts.models[name]
    parts.labels.extended(list(parts.learned))  # Raises if a name is taken.
    histories = fitting.train(
      parts,
      recipes,
      epochs=epochs,
      steps_per_epoch=steps_per_epoch,
      seed=seed,
      classifier=labels if callable(labels) else None,
      callbacks=callbacks,
      verbose=verbose,
    )
    self.parts = parts
    self._build()
    return histories

  @tensorflow_banners.no_retracing_warnings()
  def learn(
    self,
    name: str | Mapping,
    *,
    rule=None,
    labels=None,
    verbose: str | int = "auto",
    **options,
  ) -> expressions.Expression | dict[str, expressions.Expression]:
    """Learns a constraint from a rule or from labels, and returns it.

    It replaces a constraint of the same name; no other model changes.

    Args:
      name: Name of the constraint. Or several rules that score the same images,
        by name: {"Dark": rule, "Smiling": {"rule": model, "rule_class": 3}}.
      rule: A function of images [n, height, width, channels] in [0, 1] that
        returns a number per image, or "module:function"; a `Rule`; or a
        classifier: a Keras model, a SavedModel, ONNX or PyTorch, or its file.
      labels: A data frame, a dictionary of columns, an array, a `Labels`, or
        the path of a table, see `labels.read`.
      verbose: Whether to show progress; "auto" does.
      **options: Fields of `recipes.Rule`, such as `threshold`, `rule_class`,
        `like` and `unlike` or `sentence`; and of `recipes.Constraint`.

    Returns:
      The expression of the constraint; for several rules, expressions by name.

    Raises:
      ValueError: The name cannot be used, or the rule or the labels cannot be
        learned from.
    """
    of_rules = {field.name for field in dataclasses.fields(settings.Rule)}
    said = {key: options.pop(key) for key in of_rules & options.keys()}
    said |= {} if rule is None else {"rule": rule}
    asked = name if isinstance(name, Mapping) else {name: {}}
    if labels is not None and (said or asked is name):
      raise ValueError(
        "Give either a rule or labels; threshold, target_range and all other "
        "settings of `recipes.Rule` go with a rule."
      )
    known = [field.name for field in dataclasses.fields(settings.Constraint)]
    for option in options:
      if option not in known:
        known += sorted(of_rules)
        raise ValueError(
          f"Unknown option {option!r}: {spelling.suggest(option, known)}"
        )
    recipe = settings.Constraint(**options)
    for one in asked:
      constraint_names.check_name(one)
    if not self.parts.latents:
      self.fit(verbose=0)
    how = {"progress": progress.Progress(bool(verbose))}
    if labels is not None:
      file = labels if isinstance(labels, str) else None
      labels = some_labels.read(labels, name)
      made = [
        acquire.from_labels(
          self.parts, name, labels, {"file": file}, recipe, **how
        )
      ]
    else:
      checked = {
        one: rule_kinds.make(
          settings.Rule(
            **said | (rule if isinstance(rule, Mapping) else {"rule": rule})
          ),
          self.parts,
        )
        for one, rule in asked.items()
      }
      made = acquire.from_rules(self.parts, checked, recipe, **how)
    for one in made:
      if folder := self._folder():
        learned_constraints.write(folder, one)
        self.parts.refused.pop(one.name, None)
      self.parts.learned[one.name] = one
    self._build()
    requests = {one: self.constraint(one) for one in asked}
    return requests if asked is name else requests[name]

  @tensorflow_banners.no_retracing_warnings()
  def keep(
    self,
    embed,
    latents: np.ndarray | None = None,
    *,
    verbose: str | int = "auto",
    **options,
  ) -> dict:
    """Learns an embedding that edits can preserve, such as a face's identity.

    `transform(..., same=1.0)` then preserves it. A later call replaces it.

    Args:
      embed: A function of images [n, height, width, channels] in [0, 1] to
        vectors [n, d] that are close together for images that count as the
        same: a face recognition network, the features of a classifier. Or the
        vectors of `latents`.
      latents: [n, latent_size]; None draws and decodes some.
      verbose: Whether to show progress; "auto" does.
      **options: "count" of draws, "steps" of training, "seed".

    Returns:
      "rows", "axes", and "explained": the share of the embedding's variance
      that latents predict. If it is low, edits preserve little.

    Raises:
      ValueError: There are too few vectors, or not one for every image.
    """
    if not self.parts.latents:
      self.fit(verbose=0)
    how = progress.Progress(bool(verbose))
    learned = embedding.learn(
      self.parts, embed, latents, progress=how, **options
    )
    return self._adopt(embedding.MODEL, *learned)

  @tensorflow_banners.no_retracing_warnings()
  def learn_encoder(self, *, verbose: str | int = "auto", **options) -> dict:
    """Learns an encoder for a generator that has none, from its own draws.

    `encode` and `transform` then take images, and so do exports. It encodes
    draws of the generator well, and of a photograph what the generator can
    show. `fit` does not use it.

    Args:
      verbose: Whether to show progress; "auto" does.
      **options: Fields of `recipes.Encoder`.

    Returns:
      Errors on held-out draws, see `encoding.learn`.

    Raises:
      ValueError: The generator has an encoder, or an option is out of range.
    """
    learned = encoding.learn(
      self.parts,
      settings.Encoder(**options),
      progress.Progress(bool(verbose)),
    )
    return self._adopt(encoder.MODEL, *learned)

  def _adopt(self, name, model, figures):
    """Adds a model, and writes it to the folder; returns its figures."""
    self.parts.models[name] = model
    if folder := self._folder():
      storage.save(model, os.path.join(folder, name))
    self._build()
    return figures

  def _folder(self):
    """Returns the folder to write new models to; None in memory."""
    if hasattr(self.parts, "folder"):
      self.parts.folder = preset.writable(self.parts.folder)
    return getattr(self.parts, "folder", None)

  def about(self, name: str) -> dict:
    """Returns the manifest of a learned constraint: source, figures, seconds.

    Raises:
      ValueError: No constraint of this name has been learned.
    """
    learned = self.parts.learned
    if name not in learned:
      raise ValueError(
        f"No constraint {name!r} has been learned: "
        + (spelling.suggest(str(name), learned) if learned else "use `learn`.")
      )
    return learned[name].manifest

  def sample(
    self,
    request: expressions.Expression | str,
    n: int = 1,
    seed: int = 0,
    sampler: str = "best",
    skip: int = 0,
  ) -> controlled_images.ControlledImages:
    """Makes images that match a request.

    Args:
      request: An expression, or text: "Smiling, not Male".
      n: Number of images.
      seed: From 0 to 2**31 - 1. The same seed and request give the same images;
        a larger n appends images to those of a smaller one.
      sampler: A name in `SAMPLERS`; or "best": the actor, else the flow, else
        the prior, with a search for attributes that these were not trained on.
        With a mapping: the actor of the search, else the search.
      skip: Number of this seed's images to leave out at the start.

    Raises:
      ValueError: The request is invalid, or there is no such sampler.
    """
    n, skip = _whole("n", n, 1), _whole("skip", skip, 0)
    seeds = _seeds(n, seed) + skip
    constraint = self._request(request).rows(n, skip)
    return self._call(
      (_sample, sampler, constraint.realism_weight),
      constraint.values.numpy(),
      constraint.weights.numpy(),
      seeds=seeds,
    )

  def transform(
    self,
    images: np.ndarray,
    request: expressions.Expression | str,
    seed: int = 0,
    sampler: str = "best",
    strength: float = 1.0,
    same: float = 0.0,
  ) -> controlled_images.ControlledImages:
    """Changes images so that they match a request, and keeps the rest.

    Args:
      images: [n, height, width, channels], floats in [0, 1] or uint8; or
        latents [n, latent_size], of images that the generator made.
      request: See `sample`.
      seed: Seed of the draw of q(z|x).
      sampler: See `sample`.
      strength: Factor of the move in latent space, from 0 up: 0 changes
        nothing, 1 makes the whole change.
      same: Weight of preserving the embedding that `keep` learned, from 0 up; 1
        is usual. Above 0, "best" is the search.

    Raises:
      ValueError: The request is invalid, the images are of another shape or
        range, the generator cannot encode images, or no embedding was learned.
    """
    _check_factor("same", same)
    _check_factor("strength", strength, ", the same for all images")
    if same and embedding.MODEL not in self.parts.models:
      raise ValueError(
        "`same` needs an embedding: learn one with `keep` first."
      )
    if same and sampler not in ("best", "search"):
      raise ValueError(
        f"The sampler {sampler!r} does not support `same`: use 'search'."
      )
    sampler = "search" if same else sampler
    start = self.encode(images, seed)
    request = self._request(request)
    read = self._judges.attribute_critic(tf.constant(start))
    constraint = request.nearest(tf.sigmoid(read))
    return self._call(
      (_transform, sampler, constraint.realism_weight),
      constraint.values.numpy(),
      constraint.weights.numpy(),
      np.full(len(start), strength, np.float32),
      np.full(len(start), same, np.float32),
      start,
      seeds=_seeds(len(start), seed),
    )

  def encode(self, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns draws of q(z|x), float32 [n, latent_size]; latents pass through.

    Raises:
      ValueError: As `transform`.
    """
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) == 2 and shape[1] == self.generator.latent_size:
      return np.asarray(images, np.float32)
    if self.parts.encode is None:
      raise ValueError(
        "This generator cannot encode images: give latents of its samples, or "
        "learn an encoder with `learn_encoder` first."
      )
    images = arrays.check_images(
      self._with_channels(images),
      self.generator.image_shape,
      generators.are_images(self.generator),
    )
    return self._encode(images, _seeds(len(images), seed))["latents"]

  def decode(self, latents: np.ndarray) -> np.ndarray:
    """Returns the images of latent vectors, [n, height, width, channels]."""
    latents, size = np.asarray(latents), self.generator.latent_size
    if latents.dtype.kind not in "iuf" or latents.shape[1:] != (size,):
      raise ValueError(
        f"Latents must be numbers of the shape [n, {size}]; got "
        f"{latents.dtype} of {list(latents.shape)}."
      )
    return self._decode(latents.astype(np.float32))[decoding.IMAGES]

  def save(self, path: str) -> None:
    """Writes everything to a folder, which `lc_keras.load` opens.

    Of a generator that is a Python function of arrays, only a fingerprint is
    written: `load` must be given the function again.

    Args:
      path: The folder; what was saved there before is replaced.

    Raises:
      ValueError: The folder holds something else.
    """
    saving.write(self.parts, path)

  def export(self, path: str) -> None:
    """Writes a SavedModel that a model server can serve.

    Args:
      path: Its folder, which ends in a version: "export/1".

    Raises:
      ValueError: The generator is a Python function of arrays, there are no
        attributes yet, or the folder exists.
    """
    from serving import export  # The library works without it.

    self._check_known()
    path = os.path.normpath(path)
    if not os.path.basename(path).isdigit():
      raise ValueError(
        f"Servers need a number as the name of the folder: {path}/1; got "
        f"{path!r}."
      )
    export.write(self.parts, path)

  def _build(self):
    """Rebuilds judges and compiled functions; called after every training."""
    generator = self.parts.generator
    self._compiled = {}
    self._samplers = {}
    self._judges = self.parts.judges() if self.parts.latents else None
    self._decode = decoding.decoder(generator)
    at_once = batched.rows_at_once(generator.image_shape, _BATCH_SIZE)

    def encoded(images, seeds):
      posterior = self.parts.encode(images)
      noise = priors.sample_rows(seeds, generator.latent_size)
      return {"latents": posterior.mean() + posterior.stddev() * noise}

    self._encode = batched.Batched(encoded, at_once)

  def _check_known(self):
    if not len(self.attributes):
      raise ValueError(
        "This generator has no attributes to request yet: `fit` it with "
        "labels, or `learn` a constraint first."
      )

  def _request(self, request):
    self._check_known()
    if isinstance(request, expressions.Expression):
      return requests.Request(request, self.attributes)
    if not isinstance(request, str):
      raise ValueError(
        'A request is a text, such as "Smiling, not Male", or an expression, '
        f"such as lc_keras.Has(...); got {request!r:.60}."
      )
    return requests.parse(request, self.attributes)

  def _with_channels(self, images):
    """Adds the channel axis to grey images [n, height, width]."""
    *sides, channels = self.generator.image_shape
    shape = np.shape(images) if hasattr(images, "shape") else None
    is_image = generators.are_images(self.generator)
    if is_image and channels == 1 and shape and shape[1:] == (*sides,):
      return np.asarray(images)[..., np.newaxis]
    return images

  def _call(self, key, *arrays, seeds):
    """Runs a sampler, compiled when it is first needed."""
    function, name, realism_weight = key
    if name not in self._samplers:
      self._samplers[name] = self.parts.build_sampler(name)
    if key not in self._compiled:
      called = functools.partial(function, self._samplers[name], realism_weight)
      self._compiled[key] = batched.Batched(called, _BATCH_SIZE)
    result = self._compiled[key](*arrays, seeds)
    read = result["attribute_probabilities"]
    return controlled_images.ControlledImages(
      images=self.decode(result["latents"]),
      latents=result["latents"],
      realism=result["realism"],
      probabilities=dict(zip(self.attributes.names, read.T)),
      converged=result["converged"],
      distance=result["distance"],
      steps=result["steps"],
      plot=getattr(self.generator, "plot", None),
    )


def _sample(sampler, realism_weight, values, weights, seeds):
  constraint = constraints.Constraint(values, weights, realism_weight)
  return sampler.sample(constraint, seeds)._asdict()


def _transform(
  sampler, realism_weight, values, weights, strength, same, start, seeds
):
  constraint = constraints.Constraint(values, weights, realism_weight, same)
  moves = scaled.Scaled(sampler, strength)
  return moves.transform(start, constraint, seeds)._asdict()


def _check_names(names):
  if isinstance(names, str) or not isinstance(names, Iterable):
    raise ValueError(f"Attributes are a list of names; got {names!r} alone.")
  for name in names:
    if "," in str(name):
      raise ValueError(
        "An attribute's name is a text without commas, for requests are "
        f"separated by commas; got {name!r}."
      )
  attribute_names.Attributes(names)  # Raises for unspellable names.


def _check_factor(name, value, more=""):
  if not (isinstance(value, numbers.Real) and 0.0 <= value < float("inf")):
    raise ValueError(f"{name} must be a number from 0 up{more}; got {value!r}.")


def _whole(name, value, low, high=None):
  """Returns an integer, Python's or NumPy's; raises ValueError for others."""
  try:
    number = operator.index(value)
  except TypeError:
    number = None
  if number is None or number < low or (high is not None and number > high):
    bounds = f"from {low} up" if high is None else f"from {low} to {high}"
    raise ValueError(f"{name} must be a whole number {bounds}; got {value!r}.")
  return number


def _seeds(count: int, seed: int) -> np.ndarray:
  """Returns one seed per row; two values of `seed` share no row."""
  seed = _whole("seed", seed, 0, _LARGEST_SEED)
  return np.arange(count, dtype=np.int64) + (np.int64(seed) << np.int64(32))


load = LatentConstraints.load
