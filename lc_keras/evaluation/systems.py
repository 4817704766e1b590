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
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.generators import generator as generator_lib
from lc_keras.samplers import sampler as sampler_lib

# Tensors to "images" [batch, height, width, channels] in [0, 1] and to what
# else is known of each row, [batch].
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
  """Something that makes images with wanted attributes.

  Rows are made batch by batch, and no row depends on those beside it.

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
    self.samples = sample is not None
    self.reconstructs = reconstruct is not None
    self.transforms = transform is not None
    if self.samples:
      self._sample = batched.Batched(sample, batch_size)
    if self.reconstructs:
      self._reconstruct = batched.Batched(reconstruct, batch_size)
    if self.transforms:
      self._transform = batched.Batched(transform, batch_size)

  def sample(
    self, values: np.ndarray, mask: np.ndarray, seeds: np.ndarray
  ) -> Made:
    """Makes images from nothing but a request and a seed a row.

    Args:
      values: [n, num_attributes] in [0, 1], what is wanted.
      mask: [n, num_attributes] in {0, 1}, 0 where anything will do.
      seeds: [n], any whole numbers.
    """
    return _made(self._sample(_floats(values), _floats(mask), _seeds(seeds)))

  def reconstruct(self, images: np.ndarray, seeds: np.ndarray) -> Made:
    """Makes what a transformation is compared with: no change.

    Args:
      images: [n, height, width, channels] in [0, 1].
      seeds: [n]; with the seed of a transformation, what that starts from.
    """
    return _made(self._reconstruct(_floats(images), _seeds(seeds)))

  def transform(
    self,
    images: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
  ) -> Made:
    """Changes what is asked for in given images, and nothing else.

    Args:
      images: [n, height, width, channels] in [0, 1].
      values: [n, num_attributes] in [0, 1], what is wanted.
      mask: [n, num_attributes] in {0, 1}, 0 for what is to be kept.
      seeds: [n], any whole numbers.
    """
    return _made(
      self._transform(
        _floats(images), _floats(values), _floats(mask), _seeds(seeds)
      )
    )


def prior(generator: generator_lib.Generator) -> System:
  """Returns the generative model as it is: it knows nothing of a request.

  It reconstructs if the model can encode.
  """

  def sample(values, mask, seeds):
    del values, mask
    latents = priors.sample_rows(seeds, generator.latent_size)
    return {"images": generator.decode(latents).mean()}

  return System(sample, _reconstruct(generator))


def latent(
  generator: generator_lib.Generator, sampler: sampler_lib.Sampler
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
    constraint = constraint_lib.Constraint(values, mask)
    return decoded(sampler.sample(constraint, seeds))

  def transform(images, values, mask, seeds):
    constraint = constraint_lib.Constraint(values, mask)
    latents = _draw(generator.encode(images), seeds)
    return decoded(sampler.transform(latents, constraint, seeds))

  reconstruct = _reconstruct(generator)
  if reconstruct and isinstance(sampler, sampler_lib.Transformer):
    return System(sample, reconstruct, transform)
  return System(sample)


def conditional_vae(
  model,
  attributes: attributes_lib.Attributes,
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
    own = _on(read(images))
    latents = _draw(model.encode(images, own), seeds)
    return {"images": model.decode(latents, own).mean()}

  def transform(images, values, mask, seeds):
    own = _on(read(images))
    latents = _draw(model.encode(images, own), seeds)
    wanted = attributes.complete(own, values, mask)
    return {"images": model.decode(latents, wanted).mean()}

  return System(sample, reconstruct, transform)


def conditional_gan(
  model, attributes: attributes_lib.Attributes, labels: np.ndarray
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
  if not generator_lib.can_encode(generator):
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


def _made(arrays):
  return Made(arrays.pop("images"), arrays)


def _draw(posterior, seeds):
  """Draws from q(z|x), row i from seeds[i] alone."""
  mean = posterior.mean()
  return mean + posterior.stddev() * priors.sample_rows(seeds, mean.shape[-1])


def _on(logits):
  return tf.cast(logits > 0.0, tf.float32)


def _floats(values):
  return np.asarray(values, np.float32)


def _seeds(values):
  return np.asarray(values, np.int64)
