"""Everything that is compared, behind one interface: a request in, images out.

A system is three functions of tensors, some of which may be missing. What they
are made of (a sampler in a latent space, a network trained for it) does not
show: the protocol knows no special cases.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import priors
from lc_keras.constraints import attributes as attributes_module
from lc_keras.constraints import constraint as constraint_module
from lc_keras.generators import generator as generator_module
from lc_keras.samplers import sampler as sampler_module

# Tensors to "images" [batch, height, width, channels] in [0, 1] and to measures
# of each row, [batch].
Function = Callable[..., Mapping[str, tf.Tensor]]

_BATCH_SIZE = 64
_MEASURES = ("realism", "converged", "steps", "distance")


class Made(NamedTuple):
  """Images, and what is known of each.

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
  shape in {0, 1}, 0 for what is left open, or kept; and seeds [n], integers.

  Attributes:
    samples: Whether `sample` is there.
    reconstructs: Whether `reconstruct` is there.
    transforms: Whether `transform` is there, and `reconstruct` with it.
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
      sample: (values, mask, seeds) to tensors.
      reconstruct: (images, seeds) to tensors; needed by `transform`.
      transform: (images, values, mask, seeds) to tensors.
      batch_size: Rows made at a time.

    Raises:
      ValueError: There is a `transform` without `reconstruct`.
    """
    if transform is not None and reconstruct is None:
      raise ValueError(
        "A transformation is compared with the reconstruction: give both."
      )
    functions = sample, reconstruct, transform
    self.samples, self.reconstructs, self.transforms = (
      function is not None for function in functions
    )
    self._sample, self._reconstruct, self._transform = (
      function and batched.Batched(function, batch_size)
      for function in functions
    )

  def sample(self, values, mask, seeds) -> Made:
    """Makes images from nothing but a request and a seed a row."""
    return _made(self._sample, values, mask, seeds)

  def reconstruct(self, images, seeds) -> Made:
    """Returns what a transformation of the same seeds starts from."""
    return _made(self._reconstruct, images, seeds)

  def transform(self, images, values, mask, seeds) -> Made:
    """Changes what is requested in images, and nothing else."""
    return _made(self._transform, images, values, mask, seeds)


def prior(generator: generator_module.Generator) -> System:
  """Returns the generative model as it is, which ignores requests.

  It reconstructs if the model can encode.
  """

  def sample(values, mask, seeds):
    del values, mask
    latents = priors.sample_rows(seeds, generator.latent_size)
    return {"images": generator.decode(latents).mean()}

  return System(sample, _reconstruct(generator))


def latent(
  generator: generator_module.Generator, sampler: sampler_module.Sampler
) -> System:
  """Returns a sampler between the encoder and the decoder of a model.

  Images are encoded as a draw of q(z|x), row i from seeds[i] alone. It
  transforms if the sampler does and the model can encode.

  Args:
    generator: The generative model.
    sampler: Moves latent vectors.
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
    return System(sample, reconstruct, transform)
  return System(sample)


def conditional_vae(
  model,
  attributes: attributes_module.Attributes,
  labels: np.ndarray,
  read: Callable[[tf.Tensor], tf.Tensor],
) -> System:
  """Returns a VAE that was trained with the attributes as an input.

  It needs a value for every attribute. What a sample's request leaves open
  comes from a row of the training labels, and what a transformation's leaves
  open from a reading of the image.

  Args:
    model: A model with `encode(images, attributes)`, `decode(latents,
      attributes)` and `latent_size`.
    attributes: The attributes.
    labels: [m, num_attributes] in {0, 1}, of the training split.
    read: Images to logits [batch, num_attributes].
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
    wanted = attributes.complete(own, values, mask)
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
    labels: [m, num_attributes] in {0, 1}, of the training split: what a
      request leaves open comes from a row of them.
  """
  fill = _filler(attributes, labels)

  def sample(values, mask, seeds):
    latents = priors.sample_rows(seeds, model.latent_size)
    return {"images": model.generate(latents, fill(values, mask, seeds))}

  return System(sample)


def _reconstruct(generator):
  """Returns what encodes and decodes; None if the model cannot encode."""
  if not generator_module.can_encode(generator):
    return None

  def reconstruct(images, seeds):
    latents = _draw(generator.encode(images), seeds)
    return {"images": generator.decode(latents).mean()}

  return reconstruct


def _filler(attributes, labels):
  """Returns a function that fills a request up with rows of the labels."""
  table = tf.constant(labels, tf.float32)

  def fill(values, mask, seeds):
    own = tf.gather(table, tf.math.floormod(seeds, len(labels)))
    return attributes.complete(own, values, mask)

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
