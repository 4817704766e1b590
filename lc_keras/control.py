"""Control over a frozen generator, as one object: `lc_keras.load`.

generator = lc_keras.load("runs/mine")
smiling, male = generator.constraint("Smiling"), generator.constraint("Male")
generator.sample(smiling & ~male, n=16, seed=0)
generator.transform(images, smiling)
"""

import dataclasses
import io
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import parts as parts_lib
from lc_keras import plotting
from lc_keras import priors
from lc_keras import recipes
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.constraints import expressions
from lc_keras.constraints import language
from lc_keras.constraints import rule as rule_lib
from lc_keras.generators import generator as generator_lib
from lc_keras.learning import acquire
from lc_keras.learning import labels as labels_lib
from lc_keras.learning import learnt as learnt_lib
from lc_keras.samplers import sampler as sampler_lib
from lc_keras.samplers import scaled

_BATCH_SIZE = 64
_COLUMNS = 8


@dataclasses.dataclass(frozen=True)
class Made:
  """Images that were made, and what is known of each; a picture in a notebook.

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
    return plotting.grid(padded.reshape(shape), scale=_scale(self.images))

  def _repr_png_(self) -> bytes:
    file = io.BytesIO()
    self.picture().save(file, "PNG")
    return file.getvalue()


class ControlledGenerator:
  """A frozen generator, and all that constrains it.

  Attributes:
    parts: The run that it comes from.
  """

  def __init__(self, run_dir: str, constraints: Sequence[str] | None = None):
    """Opens a run folder.

    Args:
      run_dir: What a trainer, or `trainers.import_generator`, has written. All
        constraints in it that were learnt for this generator can be asked for.
      constraints: Those to know, of the constraints in it; None is all. A
        search keeps what it knows and is not asked to change.

    Raises:
      FileNotFoundError: It is no run folder, or has no generator or latents,
        or no such constraint.
      ValueError: Something in it is damaged.
    """
    self.parts = parts_lib.read(run_dir, constraints)
    self._learnt = self.parts.learned
    self._refused = self.parts.refused
    self._build()

  @property
  def attributes(self) -> attributes_lib.Attributes:
    """All that can be asked for, constraints included."""
    return self._judges.attributes

  def constraint(self, name: str) -> expressions.Expression:
    """Returns the wish for an attribute, to be joined by &, | and ~.

    Raises:
      ValueError: Nothing has this name, or it was learnt for another generator.
    """
    if name in self._refused:
      raise ValueError(self._refused[name])
    attributes = self.attributes
    return expressions.Has(attributes.names[attributes.index(name)])

  def learn_rule(
    self,
    name: str,
    rule: str | Callable[[np.ndarray], np.ndarray],
    *,
    threshold: float | None = None,
    target_range: tuple[float, float] | None = None,
    **options,
  ) -> expressions.Expression:
    """Learns a constraint from a rule and returns it; see `Rule`, `from_rule`.

    It is kept in the run folder; one of the same name is replaced.

    Args:
      name: What to call it.
      rule: A function of images [n, height, width, channels] in [0, 1], or
        where there is one, "module:function".
      threshold: Values from here up are what is wanted.
      target_range: Values in here are what is wanted.
      **options: Of `recipes.Constraint`, such as `seed`.
    """
    checked = rule_lib.Rule(rule, threshold, target_range)
    recipe = recipes.Constraint(**options)
    return self._add(acquire.from_rule(self.parts, name, checked, recipe))

  def learn_labels(
    self, name: str, labels: labels_lib.Labels | str, **options
  ) -> expressions.Expression:
    """Learns a constraint from labels and returns it; see `from_labels`.

    It is kept in the run folder; one of the same name is replaced.

    Args:
      name: What to call it.
      labels: Labels, or a CSV file of them, see `labels.read`.
      **options: Of `recipes.Constraint`, such as `seed`.
    """
    source = {"file": labels if isinstance(labels, str) else None}
    if isinstance(labels, str):
      labels = labels_lib.read(labels)
    recipe = recipes.Constraint(**options)
    return self._add(
      acquire.from_labels(self.parts, name, labels, source, recipe)
    )

  def about(self, name: str) -> dict:
    """Returns the manifest of a learnt constraint: source, figures, seconds.

    Raises:
      FileNotFoundError: There is no such constraint.
    """
    return learnt_lib.read_manifest(self.parts.folder, name)

  def sample(
    self,
    wish: expressions.Expression | str,
    n: int = 1,
    seed: int = 0,
    sampler: str = "best",
    first: int = 0,
  ) -> Made:
    """Makes images from nothing but a wish.

    Args:
      wish: What is wanted; also as text, "Smiling, not Male".
      n: How many.
      seed: The same seed and wish give the same images, and the first of many
        are those of few.
      sampler: "best" is the actor of the run, or its flow, or its prior, and a
        search for whatever these do not know; "flow" the same without the
        actor; "search" searches for all.
      first: Leaves out so many images of those that this seed gives.

    Raises:
      ValueError: The wish cannot be meant, or there is no such sampler.
    """
    if n < 1:
      raise ValueError(f"n must be at least 1, got {n}.")
    constraint = self._expression(wish).rows(n, first)
    return self._call(
      ("sample", sampler, constraint.realism_weight),
      constraint.values.numpy(),
      constraint.weights.numpy(),
      seeds=_seeds(n, seed) + first,
    )

  def transform(
    self,
    images: np.ndarray,
    wish: expressions.Expression | str,
    seed: int = 0,
    sampler: str = "best",
    strength: float = 1.0,
  ) -> Made:
    """Changes what is asked for in given images, and nothing else.

    Args:
      images: [n, height, width, channels], numbers in [0, 1].
      wish: See `sample`.
      seed: Of the draw of q(z|x).
      sampler: See `sample`.
      strength: From 0 up: 1 makes the change, 0 none, and between and beyond
        the same by less or more.

    Raises:
      ValueError: The wish cannot be meant, the images are of another shape or
        range, or the generator cannot encode images.
    """
    if not 0.0 <= strength < np.inf:
      raise ValueError(f"strength must be a number from 0 up, got {strength}.")
    start = self.encode(images, seed)
    expression = self._expression(wish)
    read = self._judges.attribute_critic(tf.constant(start))
    constraint = expression.nearest(tf.sigmoid(read))
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
    if not generator_lib.can_encode(self.parts.generator):
      raise ValueError(
        "This generator cannot encode, so that it can make images and not "
        "change any."
      )
    images = np.asarray(images, np.float32)
    wanted = self.parts.generator.image_shape
    if images.shape[1:] != tuple(wanted) or not len(images):
      raise ValueError(
        f"Expected images of shape [n, {', '.join(map(str, wanted))}], got "
        f"{list(images.shape)}."
      )
    if not (images.min() >= 0.0 and images.max() <= 1.0):
      raise ValueError("Expected images of numbers in [0, 1].")
    return self._encode(images, _seeds(len(images), seed))["latents"]

  def decode(self, latents: np.ndarray) -> np.ndarray:
    """Returns the images of latent vectors, [n, height, width, channels]."""
    return self._decode(np.asarray(latents, np.float32))["images"]

  def _add(self, learnt):
    learnt_lib.write(self.parts.folder, learnt)
    self._learnt[learnt.name] = learnt
    self._refused.pop(learnt.name, None)
    self._build()
    return self.constraint(learnt.name)

  def _build(self):
    """Puts judges and samplers together, anew for every constraint."""
    parts, generator = self.parts, self.parts.generator
    self._judges = parts.judges()
    self._samplers: dict[str, sampler_lib.Transformer] = {
      name: parts.build_sampler(name) for name in ("best", *parts.available())
    }
    self._compiled = {}
    self._decode = batched.Batched(
      lambda latents: {"images": generator.decode(latents).mean()}, _BATCH_SIZE
    )

    def encoded(images, seeds):
      posterior = generator.encode(images)
      noise = priors.sample_rows(seeds, generator.latent_size)
      return {"latents": posterior.mean() + posterior.stddev() * noise}

    self._encode = batched.Batched(encoded, _BATCH_SIZE)

  def _expression(self, wish):
    if not len(self.attributes):
      raise ValueError(
        "Nothing can be asked of this generator yet: learn a constraint first, "
        "with learn_rule or learn_labels."
      )
    if isinstance(wish, str):
      return language.parse(wish, self.attributes)
    return expressions.Request(wish, self.attributes)

  def _call(self, key, *arrays, seeds):
    """Runs a sampler, compiled when it is first needed."""
    how, name, realism_weight = key
    if name not in self._samplers:
      raise ValueError(
        f"Unknown sampler {name!r}; known: {', '.join(self._samplers)}."
      )
    if key not in self._compiled:
      self._compiled[key] = batched.Batched(
        self._function(how, self._samplers[name], realism_weight),
        _BATCH_SIZE,
      )
    result = self._compiled[key](*arrays, seeds)
    read = result["attribute_probabilities"]
    return Made(
      images=self.decode(result["latents"]),
      latents=result["latents"],
      realism=result["realism"],
      probabilities=dict(zip(self.attributes.names, read.T)),
      converged=result["converged"],
      distance=result["distance"],
      steps=result["steps"],
    )

  def _function(self, how, sampler, realism_weight):
    """Returns what is compiled: a sampler as a function of tensors."""

    def sample(values, weights, seeds):
      constraint = constraint_lib.Constraint(values, weights, realism_weight)
      return sampler.sample(constraint, seeds)._asdict()

    def transform(values, weights, strength, start, seeds):
      constraint = constraint_lib.Constraint(values, weights, realism_weight)
      moves = scaled.Scaled(sampler, strength)
      return moves.transform(start, constraint, seeds)._asdict()

    return {"sample": sample, "transform": transform}[how]


def _seeds(count: int, seed: int) -> np.ndarray:
  """Returns a seed a row; other seeds have no row in common."""
  return np.arange(count, dtype=np.int64) + (np.int64(seed) << np.int64(32))


def _scale(images: np.ndarray) -> int:
  """Returns how many screen pixels an image pixel should get."""
  return max(1, 96 // images.shape[2])
