"""The signatures of an exported model.

Every input and output has the batch as its first dimension, seeds included, and
no row depends on other rows: a server may batch calls of different clients and
split the answers. Random draws therefore take a seed per row.

The graph processes the rows of a call in chunks, one after the other: memory is
that of a chunk, and a server can stop a call between two chunks. A call has a
limit of rows, which its error names.

Shapes below: b rows, K attributes, images [height, width, channels], latent
vectors of size `latent`. A call with values outside of the documented ranges
(NaN included), or with a row that requests two attributes that exclude each
other, fails with INVALID_ARGUMENT and a sentence.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import tensorflow as tf
import tensorflow_probability as tfp

from lc_keras import batched
from lc_keras import priors
from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import constraint as constraints
from lc_keras.data import preprocessing as preprocessings
from lc_keras.generators import generator as generators
from lc_keras.samplers import sampler as samplers
from lc_keras.samplers import scaled
from serving import encoded

tfd = tfp.distributions

Tensors = dict[str, tf.Tensor]
Endpoint = tuple[Callable[..., Tensors], list[tf.TensorSpec]]
# Few, so that a call stops soon and others run in between; more are no faster.
_ROWS_AT_ONCE = 16
_MOST_ROWS = 1024
# Larger steps leave the region of realistic images.
_MOST_STRENGTH = 10.0


@dataclasses.dataclass(frozen=True)
class Models:
  """The models behind the endpoints.

  Attributes:
    generator: The generative model.
    sampler: The sampler of `sample`; its judges are those of `score`.
    transformer: The sampler of `transform`, scaled by the strength.
    others: By NAME, the samplers of `sample_NAME` and, if they can start from
      an image, `transform_NAME`.
    preprocessing: Crops and resizes a picture to an image.
    encode: Maps images to q(z|x); None if there is no encoder.
  """

  generator: generators.Generator
  sampler: samplers.Sampler
  transformer: samplers.Transformer
  others: Mapping[str, samplers.Sampler]
  preprocessing: preprocessings.Preprocessing
  encode: Callable[[tf.Tensor], tfd.Distribution] | None

  @property
  def attributes(self) -> attribute_names.Attributes:
    """The K attributes."""
    return self.sampler.judges.attributes


def build(models: Models) -> dict[str, Endpoint]:
  """Returns each endpoint's function and input signature, `sample` first.

  A call without a signature name gets the first one. A model without an encoder
  has no signatures that take images; a model whose outputs are not images has
  none that take picture files, and no `image_bytes` in its answers.
  """
  seed = tf.TensorSpec([None], tf.int64, "seed")
  row = tf.TensorSpec([None], tf.int64, "row")
  image_bytes = tf.TensorSpec([None], tf.string, "image_bytes")
  strength = tf.TensorSpec([None], tf.float32, "strength")
  realism_weight = tf.TensorSpec([None], tf.float32, "realism_weight")
  per_attribute = [None, len(models.attributes)]
  request = [
    tf.TensorSpec(per_attribute, tf.float32, "attributes"),
    tf.TensorSpec(per_attribute, tf.float32, "mask"),
  ]
  images = tf.TensorSpec(
    [None, *models.generator.image_shape], tf.float32, "images"
  )
  latents = tf.TensorSpec(
    [None, models.generator.latent_size], tf.float32, "latents"
  )
  endpoints = _Endpoints(models)
  built = {
    "sample": (endpoints.sample, [*request, seed]),
    "transform": (endpoints.transform, [images, *request, seed, strength]),
    "transform_encoded": (
      endpoints.transform_encoded,
      [image_bytes, *request, seed, strength],
    ),
    "encode": (endpoints.encode, [images]),
    "decode": (endpoints.decode, [latents]),
    "score": (endpoints.score, [latents, *request]),
    "describe": (endpoints.describe, [row]),
  }
  for name, sampler in models.others.items():
    inputs = [*request, seed, realism_weight]
    built[f"sample_{name}"] = endpoints.sample_with(sampler), inputs
    if isinstance(sampler, samplers.Transformer):
      function = endpoints.transform_with(sampler)
      built[f"transform_{name}"] = function, [images, *inputs]
  embeds = models.sampler.judges.embedding is not None
  if embeds or getattr(models.generator, "mapping", None) is not None:
    same = tf.TensorSpec([None], tf.float32, "same")
    inputs = [latents, *request, seed, strength, same]
    built["transform_latents"] = endpoints.transform_latents, inputs
  without = set() if models.preprocessing.are_images else {image_bytes}
  if not models.encode:
    without = {images, image_bytes}
  shape = models.generator.image_shape
  at_once = batched.rows_at_once(shape, _ROWS_AT_ONCE)
  # The limit of a call, which is more than the rows decoded at once.
  most = 16 * batched.rows_at_once(shape, _MOST_ROWS // 16)
  return {
    name: (_in_chunks(function, inputs, at_once, most), inputs)
    for name, (function, inputs) in built.items()
    if not without & {*inputs}
  }


class _Endpoints:
  """The functions of signatures; an export contains their docstrings."""

  def __init__(self, models: Models):
    self._models = models

  def sample(
    self, attributes: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor
  ) -> Tensors:
    """Draws images that have the attributes.

    Args:
      attributes: float32 [b, K] in [0, 1], the targets, in the order of
        `describe`'s attribute_names: 1 is on, 0 is off; values between are for
        continuous attributes.
      mask: float32 [b, K] from 0 up, the weight of each target: usually 1; 0
        leaves the attribute open.
      seed: int64 [b], any number; equal seeds and requests give equal images.

    Returns:
      images: float32 [b, height, width, channels] in [0, 1].
      image_bytes: string [b], the same as PNG files.
      realism: float32 [b] in [0, 1], how near the latent vector is to those of
        encoded images: 95 of 100 that are held out read 0.5 or more. Of a
        generator with a mapping, the realism critic's probability.
      attribute_probabilities: float32 [b, K] in [0, 1], the attribute critic's
        probabilities for the latent vector.
      distance: float32 [b] from 0 up, from the start (a draw of the prior, or
        of the image's posterior) to the latent vector, in widths of the
        posterior; 0 if the sampler has no start.
      latents: float32 [b, latent], the latent vector of the image, which
        `decode` and `score` take.
      converged: bool [b], whether realism is above 0.3 and the attribute critic
        reads the requested values.
      steps: int32 [b], evaluations of a network, one after the other.
      seed: int64 [b], as given.
    """
    return self._sample(self._models.sampler, attributes, mask, seed, {})

  def sample_with(self, sampler: samplers.Sampler) -> Callable[..., Tensors]:
    """Returns a function that draws images by a sampler."""

    def sample(attributes, mask, seed, realism_weight):
      """Draws images as `sample` does, by another sampler.

      Args:
        attributes: As of `sample`.
        mask: As of `sample`.
        seed: As of `sample`.
        realism_weight: float32 [b] from 0 up, the weight of realism, usually
          1. Samplers without such a term ignore it.

      Returns:
        As `sample`.
      """
      dials = {"realism_weight": realism_weight}
      return self._sample(sampler, attributes, mask, seed, dials)

    return sample

  def transform(
    self,
    images: tf.Tensor,
    attributes: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    strength: tf.Tensor,
  ) -> Tensors:
    """Moves images to the requested attributes, and keeps all others.

    The others keep the values that the attribute critic reads (at 0.5) in the
    image's latent vector, unless a requested attribute excludes them: blond
    hair goes when black hair is requested.

    Args:
      images: float32 [b, height, width, channels] in [0, 1].
      attributes: float32 [b, K] in [0, 1], as of `sample`.
      mask: float32 [b, K] from 0 up, the weight of each target: usually 1; 0
        keeps the attribute.
      seed: int64 [b], any number: the seed of z, a draw of q(z|x).
      strength: float32 [b] in [0, 10], the part of the change to make: 1 makes
        all of it, 0 none, and more goes beyond it.

    Returns:
      As `sample`.
    """
    sampler = scaled.Scaled(self._models.transformer, strength)
    dials = {"strength": strength}
    return self._transform(sampler, images, attributes, mask, seed, dials)

  def transform_encoded(
    self,
    image_bytes: tf.Tensor,
    attributes: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    strength: tf.Tensor,
  ) -> Tensors:
    """Changes pictures as `transform` does, given as files of any size.

    Each is preprocessed as in training: a picture that has the proportions of
    the training's is cropped to the same part, another one to its middle.

    Args:
      image_bytes: string [b], JPEG or PNG files, of 50 million pixels at most.
      attributes: As of `transform`.
      mask: As of `transform`.
      seed: As of `transform`.
      strength: As of `transform`.

    Returns:
      As `sample`, and
      start: float32 [b, height, width, channels] in [0, 1], the preprocessed
        image.
    """
    start = encoded.images(image_bytes, self._models.preprocessing)
    moved = self.transform(start, attributes, mask, seed, strength)
    return {**moved, "start": start}

  def transform_with(
    self, sampler: samplers.Transformer
  ) -> Callable[..., Tensors]:
    """Returns a function that changes images by a sampler."""

    def transform(images, attributes, mask, seed, realism_weight):
      """Changes images as `transform` does, by another sampler.

      Args:
        images: As of `transform`.
        attributes: As of `transform`.
        mask: As of `transform`.
        seed: As of `transform`.
        realism_weight: float32 [b] from 0 up, the weight of realism, usually
          1. Samplers without such a term ignore it.

      Returns:
        As `sample`.
      """
      dials = {"realism_weight": realism_weight}
      return self._transform(sampler, images, attributes, mask, seed, dials)

    return transform

  def transform_latents(
    self,
    latents: tf.Tensor,
    attributes: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    strength: tf.Tensor,
    same: tf.Tensor,
  ) -> Tensors:
    """Changes images as `transform` does, given by their latent vectors.

    Exists for models with an embedding that edits can keep, such as a person's
    identity, and for generators with a mapping.

    Args:
      latents: float32 [b, latent], finite, such as those of `sample`.
      attributes: As of `transform`.
      mask: As of `transform`.
      seed: int64 [b], any number: the seed of the sampler's draws, if any.
      strength: As of `transform`.
      same: float32 [b] from 0 up, the weight with which a search keeps the
        embedding: 1 is usual, 0 leaves the row to the best sampler.

    Returns:
      As `sample`.
    """
    best = self._models.transformer
    best, search = (
      scaled.Scaled(mover, strength)
      for mover in (best, self._models.others.get("search", best))
    )
    with _after(
      *self._checks(attributes, mask),
      *_in_range(strength=strength, same=same),
      _finite("latents", latents),
    ):
      constraint = constraints.Constraint(attributes, mask, same=same)
      request, kept = (latents, constraint, seed), same > 0.0
      made = best.transform(*request)
      if self._models.sampler.judges.embedding is not None:
        made = tf.cond(
          tf.reduce_any(kept),
          lambda: samplers.choose(kept, search.transform(*request), made),
          lambda: made,
        )
      return self._result(made, seed)

  def encode(self, images: tf.Tensor) -> Tensors:
    """Returns the posterior q(z|x), a diagonal normal.

    A learned encoder refines each image's latent vector by a search through the
    decoder, here and in `transform`, of `encoder_steps` (manifest) steps.

    Args:
      images: float32 [b, height, width, channels] in [0, 1].

    Returns:
      mean: float32 [b, latent].
      scale: float32 [b, latent] above 0, standard deviations.
    """
    with _after(*self._checks_of_images(images)):
      mean, scale = self._posterior(images)
      return {"mean": mean, "scale": scale}

  def decode(self, latents: tf.Tensor) -> Tensors:
    """Returns the images of latent vectors.

    Args:
      latents: float32 [b, latent], finite; about N(0, 1) in each dimension.

    Returns:
      images: float32 [b, height, width, channels] in [0, 1].
      image_bytes: string [b], the same as PNG files.
    """
    with _after(_finite("latents", latents)):
      return self._pictures(latents)

  def score(
    self, latents: tf.Tensor, attributes: tf.Tensor, mask: tf.Tensor
  ) -> Tensors:
    """Scores latent vectors with the critics.

    Args:
      latents: float32 [b, latent], finite.
      attributes: float32 [b, K] in [0, 1], the targets, as of `sample`.
      mask: float32 [b, K] from 0 up, the weight of each target; 0 leaves it
        open.

    Returns:
      realism: float32 [b] in [0, 1], as of `sample`.
      attribute_probabilities: float32 [b, K] in [0, 1], as of `sample`.
    """
    judges = self._models.sampler.judges
    with _after(_finite("latents", latents), *self._checks(attributes, mask)):
      constraint = constraints.Constraint(attributes, mask)
      return {
        "realism": judges.realism_of(latents, constraint),
        "attribute_probabilities": tf.sigmoid(judges.attribute_critic(latents)),
      }

  def describe(self, row: tf.Tensor) -> Tensors:
    """Returns facts about the model, so that a client needs only the server.

    No protocol of a model server carries these facts, but each can call a
    signature. A signature needs an input: `row` gives the number of rows.

    Args:
      row: int64 [b], any numbers.

    Returns:
      attribute_names: string [b, K], the same in every row.
      attribute_excludes: float32 [b, K, K] in {0, 1}, the same in every row:
        1 at [i, j] if attribute i excludes j.
      attribute_continuous: float32 [b, K] in {0, 1}, the same in every row: 1
        if values between 0 and 1 have a meaning.
      image_shape: int64 [b, 3], the same in every row: height, width and
        channels of images; [b, rank] for outputs that are not images.
      image_crop: string [b], the same in every row: the part of a picture that
        becomes the image, such as "25,45,128,128 of 178x218", see
        `lc_keras.data.images.box`.
      are_images: bool [b], the same in every row: whether the outputs are
        images rather than other arrays.
    """
    attributes = self._models.attributes
    image = self._models.preprocessing
    continuous = [name in attributes.continuous for name in attributes.names]
    facts = {
      "attribute_names": tf.constant(attributes.names),
      "attribute_excludes": tf.constant(attributes.excludes),
      "attribute_continuous": tf.cast(continuous, tf.float32),
      "image_shape": tf.constant(image.image_shape, tf.int64),
      "image_crop": tf.constant(image.crop),
      "are_images": tf.constant(image.are_images),
    }
    return {
      name: tf.repeat(fact[tf.newaxis], tf.shape(row)[0], axis=0)
      for name, fact in facts.items()
    }

  def _sample(self, sampler, attributes, mask, seed, dials):
    with _after(*self._checks(attributes, mask), *_in_range(**dials)):
      constraint = constraints.Constraint(attributes, mask, **dials)
      return self._result(sampler.sample(constraint, seed), seed)

  def _transform(self, sampler, images, attributes, mask, seed, dials):
    with _after(
      *self._checks(attributes, mask),
      *_in_range(**dials),
      *self._checks_of_images(images),
    ):
      mean, scale = self._posterior(images)
      noise = priors.sample_rows(seed, self._models.generator.latent_size)
      constraint = constraints.Constraint(
        attributes, mask, dials.get("realism_weight", 1.0)
      )
      moved = sampler.transform(mean + scale * noise, constraint, seed)
      return self._result(moved, seed)

  def _checks_of_images(self, images):
    are_images = self._models.preprocessing.are_images
    if not are_images:
      return [_finite("images", images)]
    remedy = "; divide pixels of 0 to 255 by 255"
    return [_within_unit_range("images", images, remedy)]

  def _checks(self, attributes, mask):
    """Returns checks of the request's values."""
    checks = [
      _within_unit_range("attributes", attributes),
      *_not_negative(mask=mask),
    ]
    on = tf.cast((mask > 0.0) & (attributes > 0.5), tf.float32)
    for group in self._models.attributes.exclusive:
      columns = [self._models.attributes.index(name) for name in group]
      count = tf.reduce_sum(tf.gather(on, columns, axis=1), axis=1)
      sentence = (
        f"attributes must have at most one of {', '.join(group)} in a row: "
        "they rule each other out."
      )
      checks.append(_require(tf.reduce_all(count <= 1.0), sentence))
    return checks

  def _result(self, result, seed):
    return {
      **self._pictures(result.latents),
      **result._asdict(),
      "seed": tf.identity(seed),
    }

  def _posterior(self, images):
    count = tf.shape(images)[0]
    posterior = self._models.encode(_at_least_one_row(images))
    return posterior.mean()[:count], posterior.stddev()[:count]

  def _pictures(self, latents):
    count = tf.shape(latents)[0]
    decoded = self._models.generator.decode(_at_least_one_row(latents))
    images = decoded.mean()[:count]
    if not self._models.preprocessing.are_images:
      return {"images": images}
    images = tf.clip_by_value(images, 0.0, 1.0)
    pixels = tf.cast(tf.round(images * 255.0), tf.uint8)
    return {"images": images, "image_bytes": tf.io.encode_png(pixels)}


def _at_least_one_row(tensor):
  """Adds a row of zeros to an empty batch.

  With oneDNN, a convolution of an empty batch has a wrong shape (TF 2.21).
  """
  missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
  padding = [[0, missing]] + [[0, 0]] * (tensor.shape.rank - 1)
  return tf.pad(tensor, padding)


def _in_chunks(function, inputs, at_once, most):
  """Returns a function that calls another one with some rows at a time.

  It checks the shapes of its inputs: a graph accepts tensors of any shape, even
  against its signature.
  """

  @functools.wraps(function)
  def chunked(*tensors):
    tensors = [
      tf.ensure_shape(tensor, spec.shape)
      for tensor, spec in zip(tensors, inputs, strict=True)
    ]
    traced = tf.function(function, inputs, False).get_concrete_function()
    specs = traced.structured_outputs
    rows = tf.shape(tensors[0])[0]
    named = {spec.name: value for spec, value in zip(inputs, tensors)}
    too_many = f"A call may have {most} rows: send more in several calls."
    with _after(
      _same_number_of_rows(**named), _require(rows <= most, too_many)
    ):
      # Without rows, one empty chunk.
      chunks = tf.maximum(1, (rows + at_once - 1) // at_once)
    parts = {
      name: tf.TensorArray(
        spec.dtype, chunks, infer_shape=False, element_shape=spec.shape
      )
      for name, spec in specs.items()
    }

    def add(chunk, parts):
      start = chunk * at_once
      made = traced(*(value[start : start + at_once] for value in tensors))
      return chunk + 1, {n: p.write(chunk, made[n]) for n, p in parts.items()}

    # By default ten chunks would be in memory at once.
    _, parts = tf.while_loop(
      lambda chunk, _: chunk < chunks, add, (0, parts), parallel_iterations=1
    )
    return {
      name: tf.ensure_shape(part.concat(), specs[name].shape)
      for name, part in parts.items()
    }

  return chunked


def _after(*checks):
  """Runs a block's operations only when the checks have passed."""
  return tf.control_dependencies(checks)


def _require(condition, sentence):
  return tf.debugging.Assert(condition, [sentence])


def _within_unit_range(name, values, remedy=""):
  # A comparison with NaN is false, so NaN fails too.
  good = tf.reduce_all((values >= 0.0) & (values <= 1.0))
  return _require(good, f"{name} must be numbers in [0, 1]{remedy}.")


def _not_negative(**tensors):
  return [
    _require(
      tf.reduce_all((values >= 0.0) & tf.math.is_finite(values)),
      f"{name} must be finite numbers from 0 up.",
    )
    for name, values in tensors.items()
  ]


def _in_range(**dials):
  """Returns checks of the dials' ranges."""
  checks = _not_negative(**dials)
  if "strength" in dials:
    good = tf.reduce_all(dials["strength"] <= _MOST_STRENGTH)
    checks.append(
      _require(good, f"strength must be numbers in [0, {_MOST_STRENGTH:g}].")
    )
  return checks


def _finite(name, values):
  good = tf.reduce_all(tf.math.is_finite(values))
  return _require(good, f"{name} must be finite numbers.")


def _same_number_of_rows(**tensors):
  counts = tf.stack([tf.shape(values)[0] for values in tensors.values()])
  return _require(
    tf.reduce_all(counts == counts[0]),
    f"{' and '.join(tensors)} must have the same number of rows.",
  )
