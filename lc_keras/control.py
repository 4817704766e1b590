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
import io
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
import tqdm

from lc_keras import batched
from lc_keras import parts as parts_of
from lc_keras import plotting
from lc_keras import priors
from lc_keras import recipes as settings
from lc_keras import saving
from lc_keras import training as trainings
from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import constraint as constraints
from lc_keras.constraints import expressions
from lc_keras.constraints import language
from lc_keras.data import arrays
from lc_keras.data import latents as latent_rows
from lc_keras.generators import decoding
from lc_keras.generators import generator as generators
from lc_keras.learning import acquire
from lc_keras.learning import labels as some_labels
from lc_keras.learning import learnt as learned_constraints
from lc_keras.learning import progress
from lc_keras.learning.rules import kinds as rule_kinds
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import flow_matching
from lc_keras.samplers import lessons
from lc_keras.samplers import scaled

_BATCH_SIZE = 64
_COLUMNS = 8
# Draws of the prior that take the place of encoded images, by split, and how
# far one of them can be moved without it being seen.
_DRAWS = {"train": 20_000, "validation": 2_000}
_DRAWN_SCALE = 0.1
# An epoch by default: once over the rows, within these bounds.
_FEWEST_STEPS, _MOST_STEPS = 100, 2_000
_BATCH_SIZE_OF_FIT = 256


@dataclasses.dataclass(frozen=True)
class ControlledImages:
  """Images that were made, and the critics' reading; a picture in a notebook.

  Attributes:
    images: float32 [n, height, width, channels] in [0, 1].
    latents: float32 [n, latent_size].
    realism: float32 [n] in [0, 1], the critic's belief.
    probabilities: By attribute, float32 [n] in [0, 1], as its critic reads it.
    converged: bool [n], whether the critics find a row realistic and as asked.
    distance: float32 [n], see `sampler.Result`.
    steps: int32 [n], evaluations of a network, one after the other.
  """

  images: np.ndarray
  latents: np.ndarray
  realism: np.ndarray
  probabilities: dict[str, np.ndarray]
  converged: np.ndarray
  distance: np.ndarray
  steps: np.ndarray

  def picture(self, columns: int = _COLUMNS):
    """Returns a `PIL.Image` of all images, row by row."""
    columns = min(columns, len(self.images))
    missing = -len(self.images) % columns
    padded = np.pad(self.images, [(0, missing)] + [(0, 0)] * 3)
    shape = (-1, columns, *self.images.shape[1:])
    # An image is at least 96 pixels wide on a screen.
    scale = max(1, 96 // self.images.shape[2])
    return plotting.grid(padded.reshape(shape), scale=scale)

  def _repr_png_(self) -> bytes:
    file = io.BytesIO()
    self.picture().save(file, "PNG")
    return file.getvalue()


class LatentConstraints:
  """A frozen generator, and all that is learned to control it.

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
      generator: A `Generator`, or a model that can be made one.
      attributes: Names of the attributes that `fit` learns, in the order of
        the columns of its labels; or an `Attributes`, which can also say which
        exclude each other. None takes the names that come with the labels.

    Raises:
      ValueError: The generator cannot be used; so is TypeError.
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
    """Opens a folder that `save` or the trainers wrote.

    What `learn` learns from then on is kept in the folder, too.

    Args:
      path: The folder.
      constraints: Names of the learned constraints to know; None is all. A
        search keeps what it knows and is not asked to change.
      generator: The generator, if it could not be saved: a Python function of
        arrays.

    Raises:
      FileNotFoundError: It is no such folder, or has no generator or latents,
        or no such constraint.
      ValueError: Something in it is damaged.
    """
    return cls(parts_of.read(path, constraints, generator=generator))

  @property
  def generator(self) -> generators.Generator:
    """The frozen generator."""
    return self.parts.generator

  @property
  def attributes(self) -> attribute_names.Attributes:
    """All attributes that can be asked for, learned constraints included."""
    return self.parts.attributes

  def constraint(self, name: str) -> expressions.Expression:
    """Returns the request for an attribute, to be joined by &, | and ~.

    Raises:
      ValueError: Nothing has this name, or it was learned for another
        generator.
    """
    refused = getattr(self.parts, "refused", {})
    if name in refused:
      raise ValueError(refused[name])
    attributes = self.attributes
    return expressions.Has(attributes.names[attributes.index(name)])

  def fit(
    self,
    images=None,
    labels=None,
    *,
    epochs: int = 5,
    steps_per_epoch: int | None = None,
    recipes: Sequence[settings.Training] = (),
    seed: int = 0,
    validation_split: float = 0.1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    data_dir: str = "data",
  ) -> dict[str, keras.callbacks.History]:
    """Encodes images once, and trains on the latents and their labels.

    Three models, one after the other: the attribute critic "attributes", the
    conditional "flow", and the actor "actor_0.1" with its critic, which
    imitates the flow in a single step. Without labels, images are encoded and
    nothing is trained: `learn` then adds attributes. Without images, and always
    for a generator that cannot encode, latents are draws of the prior.

    What is learned again replaces what there was.

    Args:
      images: Arrays, a tf.data.Dataset or the name of a data set, see
        `arrays.source`.
      labels: [n, num_attributes] or [n], numbers in [0, 1]; or a dictionary or
        a frame of columns. For a generator that cannot encode, labels of images
        say nothing: instead, a classifier, which gives images decoded from
        draws logits [batch, num_attributes].
      epochs: Epochs of each model. An epoch is `steps_per_epoch` steps: the
        latents of a batch get fresh noise at every step, so that no batch ever
        comes twice.
      steps_per_epoch: By default as many as it takes to see every row once, at
        least 100 and at most 2,000.
      recipes: Settings, instead of all these: a `recipes.Attributes`, a
        `recipes.Flow`, a `recipes.Actor`, or some of them. The trainers make
        the same models of the same recipes.
      seed: Of everything that no recipe is given for.
      validation_split: Share of the images that is held out; above 0.
      callbacks: As of `keras.Model.fit`.
      verbose: As of `keras.Model.fit`.
      data_dir: Folder of prepared data sets.

    Returns:
      The history of each model, by name.

    Raises:
      ValueError: Images, labels and names do not fit together.
    """
    if not isinstance(epochs, int) or epochs < 1:
      raise ValueError(
        f"epochs must be a whole number from 1 up; got {epochs!r}."
      )
    if isinstance(recipes, settings.Training):
      recipes = [recipes]
    parts = self._encode_all(images, labels, seed, validation_split, data_dir)
    rows = len(parts.latents["train"])
    batch_size = min(rows, _BATCH_SIZE_OF_FIT)
    if steps_per_epoch is None:
      steps_per_epoch = math.ceil(rows / batch_size)
      steps_per_epoch = min(max(steps_per_epoch, _FEWEST_STEPS), _MOST_STEPS)
    plan = _recipes(
      recipes,
      batch_size=batch_size,
      steps=epochs * steps_per_epoch,
      steps_per_epoch=steps_per_epoch,
      seed=seed,
    )
    histories = {}
    if not len(parts.labels):
      plan = {}
    for name, (train, recipe) in plan.items():
      options = {}
      if name == parts_of.ACTOR and recipe.imitation_weight:
        options["lessons"] = lessons.of_flow(
          parts, recipe, _progress("lessons of the flow", verbose)
        )
      if verbose:
        print(f"Training {name}")
      training = train(recipe, parts, **options)
      histories[name] = trainings.fit(
        training, recipe, callbacks=callbacks, verbose=verbose
      )
      parts.models[name] = training.model
    self.parts = parts
    self._build()
    return histories

  def _encode_all(self, images, labels, seed, validation_split, data_dir):
    """Returns parts with latents, and without models."""
    generator, asked = self.generator, self._asked
    learned = dict(self.parts.learned)
    if images is None or not generators.can_encode(generator):
      read = labels if callable(labels) else None
      if images is not None or (labels is not None and read is None):
        raise ValueError(
          "This generator cannot encode, so that images and their labels say "
          "nothing of its latents: give neither, or as labels a classifier of "
          "images, a function that returns logits."
          if not generators.can_encode(generator)
          else "Labels are given, and no images that they are labels of."
        )
      if not isinstance(asked, attribute_names.Attributes):
        asked = attribute_names.Attributes(() if read is None else asked or ())
      if read is not None and not len(asked):
        raise ValueError(
          "A classifier does not say what it reads: name the attributes, "
          'LatentConstraints(generator, attributes=["Smiling", ...]).'
        )
      latents = {
        split: latent_rows.draw(
          generator,
          count,
          _DRAWN_SCALE,
          (seed, number),
          read=read and (lambda shown: asked.likely(read(shown))),
        )
        for number, (split, count) in enumerate(_DRAWS.items())
      }
      return parts_of.Parts(
        generator, asked, latents=latents, learned=learned, encoded=False
      )
    if not validation_split > 0.0:
      raise ValueError(
        "validation_split must be above 0: held-out rows say which epoch of "
        "each model is best."
      )
    source = arrays.source(
      images,
      labels,
      asked,
      validation_split=validation_split,
      data_dir=data_dir,
    )
    if source.image_shape != tuple(generator.image_shape):
      raise ValueError(
        f"The images have the shape {source.image_shape}; those of this "
        f"generator have {tuple(generator.image_shape)}."
      )
    latents = source.encode(generator)
    return parts_of.Parts(
      generator,
      source.attributes,
      latents=latents,
      learned=learned,
      preprocessing=source.preprocessing,
      files=source.file_names(arrays.TRAIN),
    )

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

    One of the same name is replaced. Nothing else changes.

    Args:
      name: What to call it. Or several rules by name, which look at the same
        images, {"Dark": rule, "Smiling": {"rule": model, "rule_class": 3}}.
      rule: A function of images [n, height, width, channels] in [0, 1] that
        returns a number for each, or "module:function"; a `Rule`; or a
        classifier: a Keras model, a SavedModel, ONNX or PyTorch, or its file.
      labels: A frame, a dictionary of columns, an array, a `Labels`, or a
        table in a file, see `labels.read`.
      verbose: Whether to tell how far it is; "auto" does.
      **options: Of `recipes.Rule`, such as `threshold`, `rule_class`, `like`
        and `unlike` or `sentence`; and of `recipes.Constraint`, such as `seed`.

    Returns:
      The request for it; of several, by name.

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
    recipe = settings.Constraint(**options)
    for one in asked:
      learned_constraints.check_name(one)
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
      if hasattr(self.parts, "folder"):
        learned_constraints.write(self.parts.folder, one)
        self.parts.refused.pop(one.name, None)
      self.parts.learned[one.name] = one
    self._build()
    requests = {one: self.constraint(one) for one in asked}
    return requests if asked is name else requests[name]

  def about(self, name: str) -> dict:
    """Returns what is known of a learned constraint: source, figures, seconds.

    Raises:
      KeyError: There is no such constraint.
    """
    return self.parts.learned[name].manifest

  def sample(
    self,
    request: expressions.Expression | str,
    n: int = 1,
    seed: int = 0,
    sampler: str = "best",
    skip: int = 0,
  ) -> ControlledImages:
    """Makes images that match a request.

    Args:
      request: An expression, or text: "Smiling, not Male".
      n: How many.
      seed: The same seed and request give the same images, and those of a small
        n come first among those of a larger one.
      sampler: "best" is the actor, or without one the flow, or the prior, with
        a search for all attributes that these do not know; or a name in
        `SAMPLERS`.
      skip: Leaves out so many of the images that this seed gives.

    Raises:
      ValueError: The request cannot be meant, or there is no such sampler.
    """
    if n < 1:
      raise ValueError(f"n must be at least 1, got {n}.")
    constraint = self._request(request).rows(n, skip)
    return self._call(
      ("sample", sampler, constraint.realism_weight),
      constraint.values.numpy(),
      constraint.weights.numpy(),
      seeds=_seeds(n, seed) + skip,
    )

  def transform(
    self,
    images: np.ndarray,
    request: expressions.Expression | str,
    seed: int = 0,
    sampler: str = "best",
    strength: float = 1.0,
  ) -> ControlledImages:
    """Changes images so that they match a request, and keeps all else.

    Args:
      images: [n, height, width, channels], floats in [0, 1] or uint8.
      request: See `sample`.
      seed: Of the draw of q(z|x).
      sampler: See `sample`.
      strength: From 0 up: 1 makes the change, 0 none, and between and beyond
        the same by less or more.

    Raises:
      ValueError: The request cannot be meant, the images are of another shape
        or range, or the generator cannot encode images.
    """
    if not 0.0 <= strength < np.inf:
      raise ValueError(f"strength must be a number from 0 up, got {strength}.")
    start = self.encode(images, seed)
    request = self._request(request)
    read = self._judges.attribute_critic(tf.constant(start))
    constraint = request.nearest(tf.sigmoid(read))
    return self._call(
      ("transform", sampler, constraint.realism_weight),
      constraint.values.numpy(),
      constraint.weights.numpy(),
      np.full(len(start), strength, np.float32),
      start,
      seeds=_seeds(len(start), seed),
    )

  def encode(self, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns draws of q(z|x), float32 [n, latent_size].

    Raises:
      ValueError: As `transform`.
    """
    if not generators.can_encode(self.generator):
      raise ValueError(
        "This generator cannot encode: it can make images and not change any."
      )
    images = arrays.check_images(images, self.generator.image_shape)
    return self._encode(images, _seeds(len(images), seed))["latents"]

  def decode(self, latents: np.ndarray) -> np.ndarray:
    """Returns the images of latent vectors, [n, height, width, channels]."""
    return self._decode(np.asarray(latents, np.float32))[decoding.IMAGES]

  def save(self, path: str) -> None:
    """Writes everything to a folder, which `lc_keras.load` opens.

    Of a generator that is a Python function of arrays, only which images it
    makes: `load` has to be given the function again.

    Args:
      path: The folder; what was there before is replaced.
    """
    saving.write(self.parts, path)

  def export(self, path: str) -> None:
    """Writes a SavedModel that a model server can serve.

    Args:
      path: Its folder, which ends in a version: "export/1".

    Raises:
      ValueError: The generator is a Python function of arrays.
    """
    from serving import export  # The laboratory works without it.

    export.write(self.parts, path)

  def _build(self):
    """Makes judges and functions anew, as after every training."""
    generator = self.parts.generator
    self._compiled = {}
    self._samplers = {}
    self._judges = self.parts.judges() if self.parts.latents else None
    self._decode = decoding.decoder(generator)
    at_once = batched.rows_at_once(generator.image_shape, _BATCH_SIZE)

    def encoded(images, seeds):
      posterior = generator.encode(images)
      noise = priors.sample_rows(seeds, generator.latent_size)
      return {"latents": posterior.mean() + posterior.stddev() * noise}

    self._encode = batched.Batched(encoded, at_once)

  def _request(self, request):
    if not len(self.attributes):
      raise ValueError(
        "Nothing can be asked of this generator yet: `fit` it with labels, or "
        "`learn` a constraint first."
      )
    if isinstance(request, str):
      return language.parse(request, self.attributes)
    return expressions.Request(request, self.attributes)

  def _call(self, key, *arrays, seeds):
    """Runs a sampler, compiled when it is first needed."""
    how, name, realism_weight = key
    if name not in self._samplers:
      self._samplers[name] = self.parts.build_sampler(name)
    if key not in self._compiled:
      self._compiled[key] = batched.Batched(
        _function(how, self._samplers[name], realism_weight), _BATCH_SIZE
      )
    result = self._compiled[key](*arrays, seeds)
    read = result["attribute_probabilities"]
    return ControlledImages(
      images=self.decode(result["latents"]),
      latents=result["latents"],
      realism=result["realism"],
      probabilities=dict(zip(self.attributes.names, read.T)),
      converged=result["converged"],
      distance=result["distance"],
      steps=result["steps"],
    )


def _function(how, sampler, realism_weight):
  """Returns what is compiled: a sampler as a function of tensors."""

  def sample(values, weights, seeds):
    constraint = constraints.Constraint(values, weights, realism_weight)
    return sampler.sample(constraint, seeds)._asdict()

  def transform(values, weights, strength, start, seeds):
    constraint = constraints.Constraint(values, weights, realism_weight)
    moves = scaled.Scaled(sampler, strength)
    return moves.transform(start, constraint, seeds)._asdict()

  return {"sample": sample, "transform": transform}[how]


def _recipes(given, **shared):
  """Returns how to train each model, in order, by name, with its recipe.

  Args:
    given: Recipes that take the place of ours, which are those of the toon
      faces.
    **shared: Settings of all of ours.
  """
  shared |= {"final_learning_rate": 0.0, "warmup_steps": 50, "width": 512}
  shared |= {"balanced_fraction": 0.5}
  plan = {
    "attributes": (
      attribute_model.training,
      settings.Attributes(
        **shared, depth=3, learning_rate=1e-3, noise_scale=2.0, edit_weight=1.0
      ),
    ),
    "flow": (
      flow_matching.training,
      settings.Flow(**shared, depth=3, learning_rate=3e-3, average_decay=0.995),
    ),
    parts_of.ACTOR: (
      actor_critic.training,
      settings.Actor(
        **shared,
        depth=4,
        learning_rate=1.5e-3,
        imitation_weight=100.0,
        lessons=20_000,
        attribute_weight=120.0,
        attribute_noise=2.0,
        critic_steps=1,
        average_decay=0.995,
        beta_2=0.99,
      ),
    ),
  }
  by_type = {type(recipe): recipe for recipe in given}
  if len(by_type) < len(given):
    raise ValueError("There are two recipes for the same model.")
  for name, (train, recipe) in plan.items():
    plan[name] = train, by_type.pop(type(recipe), recipe)
  if by_type:
    names = ", ".join(kind.__name__ for kind in by_type)
    raise ValueError(
      f"fit has no use for a recipe of {names}: it trains by Attributes, Flow "
      "and Actor."
    )
  return plan


def _check_names(names):
  if isinstance(names, str):
    raise ValueError(f"Attributes are a list of names; got {names!r} alone.")
  for name in names:
    if "," in str(name):
      raise ValueError(
        "An attribute's name is a text without commas, for requests are "
        f"separated by commas; got {name!r}."
      )
  attribute_names.Attributes(names)  # Refuses what no request could spell.


def _progress(description, verbose):
  if not verbose:
    return iter
  return lambda batches: tqdm.tqdm(batches, desc=description)


def _seeds(count: int, seed: int) -> np.ndarray:
  """Returns a seed a row; other seeds have no row in common."""
  return np.arange(count, dtype=np.int64) + (np.int64(seed) << np.int64(32))


load = LatentConstraints.load
