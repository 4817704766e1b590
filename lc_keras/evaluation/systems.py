"""The systems that are compared, behind one interface: requests in, images out.

A system is three functions of tensors, some of which may be missing. The
interface hides how they work (a sampler in a latent space, a network trained
for it), so that the protocol has no special cases.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import priors
from lc_keras.constraints import attributes as attributes_module
from lc_keras.constraints import completion
from lc_keras.constraints import constraint as constraint_module
from lc_keras.generators import generator as generator_module
from lc_keras.samplers import sampler as sampler_module
from lc_keras.samplers import table

# Maps tensors to "images" [batch, height, width, channels] in [0, 1] and to
# measures of each row, [batch].
Function = Callable[..., Mapping[str, tf.Tensor]]

_BATCH_SIZE = 64
_MEASURES = ("realism", "converged", "steps", "distance")


class Made(NamedTuple):
  """Images, and measures of each.

  Attributes:
    images: float32 [n, height, width, channels] in [0, 1].
    measures: Arrays [n] by name: "milliseconds", NaN for rows that were made
      while a function was compiled; and, of a sampler, "realism", "converged",
      "steps" and "distance", see `sampler.Result`.
  """

  images: np.ndarray
  measures: dict[str, np.ndarray]


class System:
  """Makes images with requested attributes; no row depends on other rows.

  Its methods take arrays: images [n, height, width, channels] in [0, 1]; the
  values of a request, [n, num_attributes] in [0, 1]; its mask, of the same
  shape in {0, 1}, 0 for open or kept attributes; and seeds [n], integers.

  Attributes:
    samples: Whether it has `sample`.
    reconstructs: Whether it has `reconstruct`.
    transforms: Whether it has `transform`, and with it `reconstruct`.
  """

  def __init__(
    self,
    sample: Function | None = None,
    reconstruct: Function | None = None,
    transform: Function | None = None,
    batch_size: int = _BATCH_SIZE,
  ):
    """Compiles the functions, each when it is first called.

    Args:
      sample: Maps (values, mask, seeds) to tensors.
      reconstruct: Maps (images, seeds) to tensors; needed by `transform`.
      transform: Maps (images, values, mask, seeds) to tensors.
      batch_size: Rows per batch.
    """
    functions = sample, reconstruct, transform
    self.samples, self.reconstructs, self.transforms = (
      function is not None for function in functions
    )
    self._sample, self._reconstruct, self._transform = (
      function and batched.Batched(function, batch_size)
      for function in functions
    )

  def sample(self, values, mask, seeds) -> Made:
    """Makes images from a request and a seed per row."""
    return _made(self._sample, values, mask, seeds)

  def reconstruct(self, images, seeds) -> Made:
    """Returns the images that `transform` starts from, with these seeds."""
    return _made(self._reconstruct, images, seeds)

  def transform(self, images, values, mask, seeds) -> Made:
    """Changes the requested attributes of images, and nothing else."""
    return _made(self._transform, images, values, mask, seeds)


@dataclasses.dataclass(frozen=True)
class Dial(table.Dial):
  """The dial of a built system, see `table.Dial` and `Protocol.curve`.

  Attributes:
    variable: Holds its value; a variable, so that it can be set in a system
      that has been compiled.
  """

  variable: tf.Variable


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A system that can be built and measured.

  Attributes:
    title: Title in tables.
    stages: The trainings that it depends on.
    build: Returns the system, and its dial or None.
    is_slow: Whether it takes hundreds of steps per row.
  """

  title: str
  stages: Sequence[str]
  build: Callable[[], tuple[System, Dial | None]]
  is_slow: bool = False

  @property
  def labelled_stages(self) -> list[str]:
    """The trainings to repeat for one more attribute."""
    unlabelled = (*generator_module.STAGES, "latents", "realism")
    return [stage for stage in self.stages if stage not in unlabelled]


def candidates(parts, done: Collection[str]) -> dict[str, Candidate]:
  """Returns the systems of a generator, in the order of a report's tables.

  They are the unconstrained generator, its actors, the other entries of
  `SAMPLERS`, and the baselines. One actor's critic judges the realism of all.

  Args:
    parts: The generator and all that was trained for it, a `parts.Parts`.
    done: The trainings that are finished: "latents", the generator's stages,
      and the names of models.
  """
  # A refined VAE depends on two.
  own = [*filter(done.__contains__, generator_module.STAGES)] or ["vae"]
  found = {
    "prior": Candidate(
      "Prior samples", own, lambda: (prior(parts.generator), None)
    )
  }
  entries = {
    name: table.actor_entry(name, title) for name, title in _actors(done)
  }
  if entries:
    # Without an actor there is no critic that could judge the others.
    (best,) = table.SAMPLERS["actor"].needs
    critic = best if best in entries else next(iter(entries))
    entries |= {n: e for n, e in table.SAMPLERS.items() if n != "actor"}
    for name, entry in entries.items():
      found[name] = Candidate(
        entry.title,
        [*own, "latents", "attributes", *(entry.needs or [critic])],
        lambda entry=entry: _built(parts, entry, critic),
        entry.is_slow,
      )

  def conditional_vae_system():
    model, classifier = (
      parts.models[name] for name in ("conditional_vae", "classifier")
    )
    labels = parts.labelled("train").attributes
    return conditional_vae(model, parts.labels, labels, classifier), None

  def conditional_gan_system():
    labels = parts.labelled("train").attributes
    model = parts.models["conditional_gan"]
    return conditional_gan(model, parts.labels, labels), None

  for name, title, build in (
    ("conditional_vae", "Conditional VAE", conditional_vae_system),
    ("conditional_gan", "Conditional GAN", conditional_gan_system),
  ):
    found[name] = Candidate(title, [name], build)
  return {
    name: candidate
    for name, candidate in found.items()
    if all(stage in done for stage in candidate.stages)
  }


def _actors(done):
  """Returns names and titles: actors named by their lambda, then the others."""
  ranked = []
  for name in filter(lambda name: name.startswith("actor_"), done):
    variant = name.removeprefix("actor_").replace("_", " ")
    try:
      ranked.append((0, float(variant), name, f"Actor, lambda {variant}"))
    except ValueError:
      ranked.append((1, 0.0, name, f"Actor, {variant}"))
  return [(name, title) for *_, name, title in sorted(ranked)]


def _built(parts, entry, critic):
  """Returns the system of an entry of `SAMPLERS`, and its dial or None."""
  dial, options = None, {}
  if entry.dial is not None:
    variable = tf.Variable(entry.dial.default, trainable=False)
    dial = Dial(*dataclasses.astuple(entry.dial), variable)
    options[dial.name] = variable
  sampler = entry.build(parts, parts.own_judges(critic), **options)
  return latent(parts.generator, sampler), dial


def prior(generator: generator_module.Generator) -> System:
  """Returns the unconstrained generative model, which ignores requests.

  It reconstructs if the model can encode.
  """

  def sample(values, mask, seeds):
    del values, mask
    latents = generator_module.draw(generator, seeds)
    return {"images": generator.decode(latents).mean()}

  return System(sample, _reconstruct(generator), batch_size=_at_once(generator))


def latent(
  generator: generator_module.Generator, sampler: sampler_module.Sampler
) -> System:
  """Returns a system of a sampler, and the encoder and decoder of a model.

  Images are encoded as a draw of q(z|x), row i from seeds[i] alone. It
  transforms if the sampler is a `Transformer` and the model can encode.

  Args:
    generator: The generative model.
    sampler: Makes or moves latent vectors.
  """

  def decoded(result):
    measures = {name: getattr(result, name) for name in _MEASURES}
    return {"images": generator.decode(result.latents).mean(), **measures}

  def sample(values, mask, seeds):
    constraint = constraint_module.Constraint(values, mask)
    return decoded(sampler.sample(constraint, seeds))

  def transform(images, values, mask, seeds):
    constraint = constraint_module.Constraint(values, mask)
    latents = _draw(generator.encode(images), seeds)
    return decoded(sampler.transform(latents, constraint, seeds))

  reconstruct = _reconstruct(generator)
  if reconstruct and isinstance(sampler, sampler_module.Transformer):
    return System(sample, reconstruct, transform, _at_once(generator))
  return System(sample, batch_size=_at_once(generator))


def conditional_vae(
  model,
  attributes: attributes_module.Attributes,
  labels: np.ndarray,
  read: Callable[[tf.Tensor], tf.Tensor],
) -> System:
  """Returns a VAE that was trained with the attributes as an input.

  It needs a value for every attribute. For attributes that a request leaves
  open, a sample takes those of a row of the training labels, and a
  transformation those that a classifier reads from the image.

  Args:
    model: A model with `encode(images, attributes)`, `decode(latents,
      attributes)` and `latent_size`.
    attributes: The attributes.
    labels: [m, num_attributes] in {0, 1}, of the training split.
    read: Maps images to logits [batch, num_attributes].
  """
  fill = _filler(attributes, labels)

  def sample(values, mask, seeds):
    latents = priors.sample_rows(seeds, model.latent_size)
    wanted = fill(values, mask, seeds)
    return {"images": model.decode(latents, wanted).mean()}

  def reconstruct(images, seeds):
    nothing = tf.zeros([1, len(attributes)])
    return transform(images, nothing, nothing, seeds)

  def transform(images, values, mask, seeds):
    own = tf.cast(read(images) > 0.0, tf.float32)
    latents = _draw(model.encode(images, own), seeds)
    wanted = completion.complete(attributes, own, values, mask)
    return {"images": model.decode(latents, wanted).mean()}

  return System(sample, reconstruct, transform)


def conditional_gan(
  model, attributes: attributes_module.Attributes, labels: np.ndarray
) -> System:
  """Returns a generator that was trained with the attributes as an input.

  It has no encoder, so that it cannot transform.

  Args:
    model: A model with `generate(latents, attributes)` and `latent_size`.
    attributes: The attributes.
    labels: [m, num_attributes] in {0, 1}, of the training split: a request's
      open attributes come from a row of them.
  """
  fill = _filler(attributes, labels)

  def sample(values, mask, seeds):
    latents = priors.sample_rows(seeds, model.latent_size)
    return {"images": model.generate(latents, fill(values, mask, seeds))}

  return System(sample)


def _at_once(generator):
  return batched.rows_at_once(generator.image_shape, _BATCH_SIZE)


def _reconstruct(generator):
  """Returns the `reconstruct` of a system; None without an encoder."""
  if not generator_module.can_encode(generator):
    return None

  def reconstruct(images, seeds):
    latents = _draw(generator.encode(images), seeds)
    return {"images": generator.decode(latents).mean()}

  return reconstruct


def _filler(attributes, labels):
  """Returns a function that fills open attributes from rows of the labels."""
  table = tf.constant(labels, tf.float32)

  def fill(values, mask, seeds):
    own = tf.gather(table, tf.math.floormod(seeds, len(labels)))
    return completion.complete(attributes, own, values, mask)

  return fill


def _made(function, *arrays):
  *floats, seeds = arrays
  made = function(
    *(np.asarray(array, np.float32) for array in floats),
    np.asarray(seeds, np.int64),
  )
  return Made(made.pop("images"), made)


def _draw(posterior, seeds):
  """Draws from q(z|x), row i from seeds[i] alone."""
  mean = posterior.mean()
  return mean + posterior.stddev() * priors.sample_rows(seeds, mean.shape[-1])
