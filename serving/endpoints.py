"""The signatures of an exported model.

Every input and output has the batch as its first dimension, scalars a request
would share (a seed) included, and no row depends on the rows it comes with: a
server may batch requests of different callers together and split the answers.
Random draws therefore take a seed per row.

Shapes below: b rows, K attributes, images [height, width, channels], latent
vectors of size `latent`. Values outside of what is documented (NaN included),
and rows that ask for two attributes that rule each other out, make the call
fail with INVALID_ARGUMENT and a sentence.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import tensorflow as tf

from lc_keras import priors
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.generators import generator as generator_lib
from lc_keras.samplers import sampler as sampler_lib

Tensors = dict[str, tf.Tensor]
Endpoint = tuple[Callable[..., Tensors], list[tf.TensorSpec]]


@dataclasses.dataclass(frozen=True)
class Models:
  """What the endpoints are made of.

  Attributes:
    generator: The generative model.
    sampler: Answers `sample`; its judges answer `score`.
    transformer: From strengths, float32 [b], to what answers `transform`.
    others: By NAME, what answers `sample_NAME` and `transform_NAME`, as far as
      it can do either.
  """

  generator: generator_lib.Generator
  sampler: sampler_lib.Sampler
  transformer: Callable[[tf.Tensor], sampler_lib.Transformer]
  others: Mapping[str, sampler_lib.Sampler]

  @property
  def attributes(self):
    """The K attributes."""
    return self.sampler.judges.attributes


def build(models: Models) -> dict[str, Endpoint]:
  """Returns each endpoint's function and input signature, `sample` first.

  The first one is what a request without a signature name gets. Of a model that
  cannot encode, there are none that take images.
  """
  seed = tf.TensorSpec([None], tf.int64, "seed")
  row = tf.TensorSpec([None], tf.int64, "row")
  strength = tf.TensorSpec([None], tf.float32, "strength")
  realism_weight = tf.TensorSpec([None], tf.float32, "realism_weight")
  per_attribute = [None, len(models.attributes)]
  wish = [
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
    "sample": (endpoints.sample, [*wish, seed]),
    "transform": (endpoints.transform, [images, *wish, seed, strength]),
    "encode": (endpoints.encode, [images]),
    "decode": (endpoints.decode, [latents]),
    "score": (endpoints.score, [latents, *wish]),
    "describe": (endpoints.describe, [row]),
  }
  for name, sampler in models.others.items():
    inputs = [*wish, seed, realism_weight]
    built[f"sample_{name}"] = endpoints.sample_with(sampler), inputs
    if isinstance(sampler, sampler_lib.Transformer):
      function = endpoints.transform_with(sampler)
      built[f"transform_{name}"] = function, [images, *inputs]
  encodes = generator_lib.can_encode(models.generator)
  return {
    name: (_of_shapes(function, inputs), inputs)
    for name, (function, inputs) in built.items()
    if encodes or images not in inputs
  }


class _Endpoints:
  """The functions. Their docstrings are exported with the model."""

  def __init__(self, models: Models):
    self._models = models

  def sample(
    self, attributes: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor
  ) -> Tensors:
    """Draws images that have the attributes.

    Args:
      attributes: float32 [b, K] in [0, 1], what is wanted, in the order of
        `describe`'s attribute_names: 1 is on, 0 is off, and between is for
        continuous attributes.
      mask: float32 [b, K] from 0 up, how much each of them counts: 1 in
        general, and 0 for one that is left open, which comes as it comes.
      seed: int64 [b], any number; the same seed and wish give the same image.

    Returns:
      images: float32 [b, height, width, channels] in [0, 1].
      image_bytes: string [b], the same as PNG files.
      realism: float32 [b] in [0, 1], the critic's belief that the latent
        vector is that of a real image with what is asked for.
      attribute_probabilities: float32 [b, K] in [0, 1], what the attribute
        critic reads in the latent vector.
      distance: float32 [b] from 0 up, how far the latent vector was moved from
        where it started (a draw of the prior, or of the image's posterior), in
        units of the posterior's width; 0 if it was made from nothing.
      latents: float32 [b, latent], the latent vector of the image, which
        `decode` and `score` take.
      converged: bool [b], whether these judges find it realistic and as asked.
      steps: int32 [b], evaluations of a network, one after the other.
      seed: int64 [b], as given.
    """
    with _after(
      _same_number_of_rows(attributes=attributes, mask=mask, seed=seed),
      *self._checked(attributes, mask),
    ):
      constraint = constraint_lib.Constraint(attributes, mask)
      return self._drawn(self._models.sampler.sample(constraint, seed), seed)

  def sample_with(self, sampler: sampler_lib.Sampler) -> Callable[..., Tensors]:
    """Returns the function that draws images by a sampler."""

    def sample(attributes, mask, seed, realism_weight):
      """Draws images as `sample` does, by another sampler.

      Args:
        attributes: As of `sample`.
        mask: As of `sample`.
        seed: As of `sample`.
        realism_weight: float32 [b] from 0 up, how much realism counts: 1 in
          general. A sampler that does not weigh it takes no notice.

      Returns:
        As `sample`.
      """
      with _after(
        _same_number_of_rows(
          attributes=attributes,
          mask=mask,
          seed=seed,
          realism_weight=realism_weight,
        ),
        _from_zero(realism_weight=realism_weight),
        *self._checked(attributes, mask),
      ):
        constraint = constraint_lib.Constraint(attributes, mask, realism_weight)
        return self._drawn(sampler.sample(constraint, seed), seed)

    return sample

  def transform(
    self,
    images: tf.Tensor,
    attributes: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    strength: tf.Tensor,
  ) -> Tensors:
    """Changes what is asked for in images, and nothing else.

    What is not asked for stays as the attribute critic reads it (at 0.5) in
    the image's latent vector, except what an attribute that is asked to be on
    rules out: blond hair goes when black hair is asked for.

    Args:
      images: float32 [b, height, width, channels] in [0, 1].
      attributes: float32 [b, K] in [0, 1], as of `sample`.
      mask: float32 [b, K] from 0 up, how much each attribute counts: 1 in
        general, and 0 for one that is to be kept.
      seed: int64 [b], any number: z is a draw of q(z|x), and this is its seed.
      strength: float32 [b] from 0 up: 1 makes the change, 0 none, and between
        and beyond the same by less or more.

    Returns:
      As `sample`.
    """
    with _after(
      _same_number_of_rows(
        images=images,
        attributes=attributes,
        mask=mask,
        seed=seed,
        strength=strength,
      ),
      _within_unit_range(images=images),
      _from_zero(strength=strength),
      *self._checked(attributes, mask),
    ):
      sampler = self._models.transformer(strength)
      constraint = constraint_lib.Constraint(attributes, mask)
      start = self._start(images, seed)
      return self._drawn(sampler.transform(start, constraint, seed), seed)

  def transform_with(
    self, sampler: sampler_lib.Transformer
  ) -> Callable[..., Tensors]:
    """Returns the function that changes images by a sampler."""

    def transform(images, attributes, mask, seed, realism_weight):
      """Changes images as `transform` does, by another sampler.

      Args:
        images: As of `transform`.
        attributes: As of `transform`.
        mask: As of `transform`.
        seed: As of `transform`.
        realism_weight: float32 [b] from 0 up, how much realism counts: 1 in
          general. A sampler that does not weigh it takes no notice.

      Returns:
        As `sample`.
      """
      with _after(
        _same_number_of_rows(
          images=images,
          attributes=attributes,
          mask=mask,
          seed=seed,
          realism_weight=realism_weight,
        ),
        _within_unit_range(images=images),
        _from_zero(realism_weight=realism_weight),
        *self._checked(attributes, mask),
      ):
        constraint = constraint_lib.Constraint(attributes, mask, realism_weight)
        start = self._start(images, seed)
        return self._drawn(sampler.transform(start, constraint, seed), seed)

    return transform

  def encode(self, images: tf.Tensor) -> Tensors:
    """Returns the posterior q(z|x), a diagonal normal.

    Args:
      images: float32 [b, height, width, channels] in [0, 1].

    Returns:
      mean: float32 [b, latent].
      scale: float32 [b, latent] above 0, standard deviations.
    """
    with _after(_within_unit_range(images=images)):
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
    with _after(_finite(latents=latents)):
      return self._pictures(latents)

  def score(
    self, latents: tf.Tensor, attributes: tf.Tensor, mask: tf.Tensor
  ) -> Tensors:
    """Judges latent vectors.

    Args:
      latents: float32 [b, latent], finite.
      attributes: float32 [b, K] in [0, 1], what they should show.
      mask: float32 [b, K] from 0 up, 0 for what they may show or not.

    Returns:
      realism: float32 [b] in [0, 1], as of `sample`.
      attribute_probabilities: float32 [b, K] in [0, 1], as of `sample`.
    """
    judges = self._models.sampler.judges
    with _after(
      _same_number_of_rows(latents=latents, attributes=attributes, mask=mask),
      _finite(latents=latents),
      *self._checked(attributes, mask),
    ):
      constraint = constraint_lib.Constraint(attributes, mask)
      logits = judges.realism_logits(latents, constraint)
      return {
        "realism": tf.sigmoid(logits),
        "attribute_probabilities": tf.sigmoid(judges.attribute_critic(latents)),
      }

  def describe(self, row: tf.Tensor) -> Tensors:
    """Says what the attributes are, so that a client needs the server only.

    No protocol of a model server carries such facts, but every one of them can
    call a signature. It has an input because signatures must, and a row a
    request because everything here has.

    Args:
      row: int64 [b], any numbers.

    Returns:
      attribute_names: string [b, K], the same in every row.
      attribute_excludes: float32 [b, K, K] in {0, 1}, the same in every row:
        1 at [i, j] if attribute i rules j out.
      attribute_continuous: float32 [b, K] in {0, 1}, the same in every row: 1
        if the attribute can be had in part.
    """
    attributes = self._models.attributes
    continuous = [name in attributes.continuous for name in attributes.names]
    facts = {
      "attribute_names": tf.constant(attributes.names),
      "attribute_excludes": tf.constant(attributes.excludes),
      "attribute_continuous": tf.cast(continuous, tf.float32),
    }
    return {
      name: tf.repeat(fact[tf.newaxis], tf.shape(row)[0], axis=0)
      for name, fact in facts.items()
    }

  def _checked(self, attributes, mask):
    """Returns checks that a wish can be meant."""
    checks = [_within_unit_range(attributes=attributes), _from_zero(mask=mask)]
    on = tf.cast((mask > 0.0) & (attributes > 0.5), tf.float32)
    for group in self._models.attributes.exclusive:
      columns = [self._models.attributes.index(name) for name in group]
      wanted = tf.reduce_sum(tf.gather(on, columns, axis=1), axis=1)
      sentence = (
        f"attributes must have at most one of {', '.join(group)} in a row: "
        "they rule each other out."
      )
      checks.append(_require(tf.reduce_all(wanted <= 1.0), sentence))
    return checks

  def _start(self, images, seed):
    """Returns a draw of q(z|x), row i from seed[i]."""
    mean, scale = self._posterior(images)
    noise = priors.sample_rows(seed, self._models.generator.latent_size)
    return mean + scale * noise

  def _drawn(self, result, seed):
    measures = result._asdict()
    return {
      **self._pictures(measures["latents"]),
      **measures,
      "seed": tf.identity(seed),
    }

  def _posterior(self, images):
    count = tf.shape(images)[0]
    posterior = self._models.generator.encode(_at_least_one_row(images))
    return posterior.mean()[:count], posterior.stddev()[:count]

  def _pictures(self, latents):
    count = tf.shape(latents)[0]
    decoded = self._models.generator.decode(_at_least_one_row(latents))
    images = tf.clip_by_value(decoded.mean()[:count], 0.0, 1.0)
    pixels = tf.cast(tf.round(images * 255.0), tf.uint8)
    return {"images": images, "image_bytes": tf.io.encode_png(pixels)}


def _at_least_one_row(tensor):
  """Adds a row of zeros if there is none.

  With oneDNN, a convolution of an empty batch has a wrong shape (TF 2.21).
  """
  missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
  padding = [[0, missing]] + [[0, 0]] * (tensor.shape.rank - 1)
  return tf.pad(tensor, padding)


def _of_shapes(function, inputs):
  """Returns a function that refuses other shapes, whoever runs it.

  What is fed to a graph need not have the shapes that its signature says.
  """

  @functools.wraps(function)
  def checked(*tensors):
    return function(
      *(
        tf.ensure_shape(tensor, spec.shape)
        for tensor, spec in zip(tensors, inputs, strict=True)
      )
    )

  return checked


def _after(*checks):
  """Runs a block's operations only when the checks have passed."""
  return tf.control_dependencies(checks)


def _require(condition, sentence):
  return tf.debugging.Assert(condition, [sentence])


def _within_unit_range(**tensors):
  # A comparison with NaN is false, so NaN fails too.
  good = [tf.reduce_all((t >= 0.0) & (t <= 1.0)) for t in tensors.values()]
  return _require(
    tf.reduce_all(good), f"{_listed(tensors)} must be numbers in [0, 1]."
  )


def _from_zero(**tensors):
  good = [
    tf.reduce_all((t >= 0.0) & tf.math.is_finite(t)) for t in tensors.values()
  ]
  return _require(
    tf.reduce_all(good),
    f"{_listed(tensors)} must be finite numbers from 0 up.",
  )


def _finite(**tensors):
  good = [tf.reduce_all(tf.math.is_finite(t)) for t in tensors.values()]
  return _require(
    tf.reduce_all(good), f"{_listed(tensors)} must be finite numbers."
  )


def _same_number_of_rows(**tensors):
  counts = tf.stack([tf.shape(t)[0] for t in tensors.values()])
  return _require(
    tf.reduce_all(counts == counts[0]),
    f"{_listed(tensors)} must have the same number of rows.",
  )


def _listed(tensors):
  return " and ".join(tensors)
