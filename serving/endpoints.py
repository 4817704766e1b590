"""The signatures of an exported model.

Every input and output has the batch as its first dimension, scalars a request
would share (a seed) included, and no row depends on the rows it comes with: a
server may batch requests of different callers together and split the answers.
Random draws therefore take a seed per row.

Shapes below: b rows, K attributes, images [height, width, channels], latent
vectors of size `latent`. Values outside of what is documented (NaN included)
make the call fail with INVALID_ARGUMENT and a sentence.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lc_keras import attributes as attributes_lib
from lc_keras import losses
from lc_keras import priors
from lc_keras.models import actor_critic
from lc_keras.models import attribute_model
from lc_keras.models import vae as vae_lib

Tensors = dict[str, tf.Tensor]
Endpoint = tuple[Callable[..., Tensors], list[tf.TensorSpec]]


@dataclasses.dataclass(frozen=True)
class Models:
  """What the endpoints are made of.

  Attributes:
    attributes: The K attributes.
    vae: The generative model.
    attribute_model: Reads attributes in a latent vector.
    sampler: Actor and critic of `sample`; its critic is that of `score`, too.
    transformer: Actor and critic of `transform`.
    posterior_scale: float [latent], sigma_bar.
    labels: float [n, K] in {0, 1}, some rows of training labels.
  """

  attributes: attributes_lib.Attributes
  vae: vae_lib.VAE
  attribute_model: attribute_model.AttributeModel
  sampler: actor_critic.ActorCritic
  transformer: actor_critic.ActorCritic
  posterior_scale: np.ndarray
  labels: np.ndarray


def build(models: Models) -> dict[str, Endpoint]:
  """Returns each endpoint's function and input signature, `sample` first.

  The first one is what a request without a signature name gets.
  """
  rows = tf.TensorSpec([None], tf.int64, "seed")
  per_attribute = [None, len(models.attributes)]
  attributes = tf.TensorSpec(per_attribute, tf.float32, "attributes")
  mask = tf.TensorSpec(per_attribute, tf.float32, "mask")
  images = tf.TensorSpec([None, *models.vae.image_shape], tf.float32, "images")
  latents = tf.TensorSpec([None, models.vae.latent_size], tf.float32, "latents")
  endpoints = _Endpoints(models)
  return {
    "sample": (endpoints.sample, [attributes, rows]),
    "transform": (endpoints.transform, [images, attributes, mask, rows]),
    "encode": (endpoints.encode, [images]),
    "decode": (endpoints.decode, [latents]),
    "score": (endpoints.score, [latents, attributes]),
    "describe": (
      endpoints.describe,
      [tf.TensorSpec([None], tf.int64, "row")],
    ),
  }


class _Endpoints:
  """The functions. Their docstrings are exported with the model."""

  def __init__(self, models: Models):
    self._models = models
    self._posterior_scale = tf.constant(models.posterior_scale, tf.float32)

  def sample(self, attributes: tf.Tensor, seed: tf.Tensor) -> Tensors:
    """Draws images that have the attributes.

    Args:
      attributes: float32 [b, K] in [0, 1], all that is wanted, in the order of
        `describe`'s attribute_names.
      seed: int64 [b], any number; the same seed and attributes give the same
        image.

    Returns:
      images: float32 [b, height, width, channels] in [0, 1].
      image_bytes: string [b], the same as PNG files.
      realism: float32 [b] in [0, 1], the critic's belief that the latent
        vector is that of a real image with these attributes.
      attribute_probabilities: float32 [b, K] in [0, 1], what the attribute
        critic reads in the latent vector.
      seed: int64 [b], as given.
    """
    models = self._models
    with _after(
      _same_number_of_rows(attributes=attributes, seed=seed),
      _within_unit_range(attributes=attributes),
    ):
      start = priors.sample_rows(seed, models.vae.latent_size)
      latents = models.sampler.actor(start, attributes)
      return {
        **self._pictures(latents),
        **self._scores(models.sampler, latents, attributes),
        "seed": tf.identity(seed),
      }

  def transform(
    self,
    images: tf.Tensor,
    attributes: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
  ) -> Tensors:
    """Changes what is asked for in images, and nothing else.

    What is not asked for stays as the attribute critic reads it (at 0.5) in
    the image's latent vector, except what an attribute that is asked to be on
    rules out: blond hair goes when black hair is asked for.

    Args:
      images: float32 [b, height, width, channels] in [0, 1].
      attributes: float32 [b, K] in [0, 1]; only what the mask marks counts.
      mask: float32 [b, K], 1 where an attribute is asked for, else 0.
      seed: int64 [b], any number: z is a draw of q(z|x), and this is its seed.

    Returns:
      images, image_bytes, realism, attribute_probabilities, seed: As of
        `sample`.
      distance: float32 [b] from 0 up, how far the latent vector was moved, in
        units of the posterior's width.
    """
    models = self._models
    with _after(
      _same_number_of_rows(
        images=images, attributes=attributes, mask=mask, seed=seed
      ),
      _within_unit_range(images=images, attributes=attributes, mask=mask),
      _require(
        tf.reduce_all((mask == 0.0) | (mask == 1.0)),
        "mask must be 1 where an attribute is asked for, else 0.",
      ),
    ):
      mean, scale = self._posterior(images)
      noise = priors.sample_rows(seed, models.vae.latent_size)
      start = mean + scale * noise
      # Read at the mean, so that what is kept does not depend on the draw.
      logits = models.attribute_model(mean)
      own = tf.cast(logits > 0.0, tf.float32)
      wanted = models.attributes.complete(own, attributes, mask)
      latents = models.transformer.actor(start, wanted)
      return {
        **self._pictures(latents),
        **self._scores(models.transformer, latents, wanted),
        "distance": losses.latent_distance(
          latents, start, self._posterior_scale
        ),
        "seed": tf.identity(seed),
      }

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

  def score(self, latents: tf.Tensor, attributes: tf.Tensor) -> Tensors:
    """Judges latent vectors.

    Args:
      latents: float32 [b, latent], finite.
      attributes: float32 [b, K] in [0, 1], what they should show.

    Returns:
      realism: float32 [b] in [0, 1], as of `sample`.
      attribute_probabilities: float32 [b, K] in [0, 1], as of `sample`.
    """
    with _after(
      _same_number_of_rows(latents=latents, attributes=attributes),
      _finite(latents=latents),
      _within_unit_range(attributes=attributes),
    ):
      return self._scores(self._models.sampler, latents, attributes)

  def describe(self, row: tf.Tensor) -> Tensors:
    """Says what the attributes are, so that a client needs the server only.

    No protocol of a model server carries such facts, but every one of them can
    call a signature. It has an input because signatures must, and a row a
    request because everything here has.

    Args:
      row: int64 [b], any number; picks the example, nothing else.

    Returns:
      attribute_names: string [b, K], the same in every row.
      attribute_excludes: float32 [b, K, K] in {0, 1}, the same in every row:
        1 at [i, j] if attribute i rules j out.
      example_attributes: float32 [b, K] in {0, 1}, labels of a training
        example: what a client that asks for some attributes can set the others
        to, since it shows which occur together and how often.
    """
    models = self._models
    count = tf.shape(row)[0]
    names = tf.constant(models.attributes.names)
    labels = tf.constant(models.labels > 0.5)
    examples = tf.gather(labels, tf.math.floormod(row, len(models.labels)))
    return {
      "attribute_names": tf.tile(names[tf.newaxis], [count, 1]),
      "attribute_excludes": tf.tile(
        tf.constant(models.attributes.excludes)[tf.newaxis], [count, 1, 1]
      ),
      "example_attributes": tf.cast(examples, tf.float32),
    }

  def _posterior(self, images):
    count = tf.shape(images)[0]
    posterior = self._models.vae.encode(_at_least_one_row(images))
    return posterior.mean()[:count], posterior.stddev()[:count]

  def _pictures(self, latents):
    count = tf.shape(latents)[0]
    decoded = self._models.vae.decode(_at_least_one_row(latents))
    images = tf.clip_by_value(decoded.mean()[:count], 0.0, 1.0)
    pixels = tf.cast(tf.round(images * 255.0), tf.uint8)
    return {"images": images, "image_bytes": tf.io.encode_png(pixels)}

  def _scores(self, pair, latents, attributes):
    logits = self._models.attribute_model(latents)
    return {
      "realism": tf.sigmoid(pair.critic(latents, attributes)),
      "attribute_probabilities": tf.sigmoid(logits),
    }


def _at_least_one_row(tensor):
  """Adds a row of zeros if there is none.

  With oneDNN, a convolution of an empty batch has a wrong shape (TF 2.21).
  """
  missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
  padding = [[0, missing]] + [[0, 0]] * (tensor.shape.rank - 1)
  return tf.pad(tensor, padding)


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
