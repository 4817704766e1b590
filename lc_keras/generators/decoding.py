"""Decodes many latents, in chunks whose images fit into memory."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras import batched

IMAGES = "images"


def decoder(generator) -> batched.Batched:
  """Returns a compiled decoder of arrays, in chunks that fit into memory.

  Called with float32 latents [n, latent_size] it returns all "images", float32
  [n, height, width, channels] in [0, 1]; its `iter_batches` yields them chunk
  by chunk, for callers that reduce each image to a number.

  Args:
    generator: A `Generator`, or a model of ours.
  """
  at_once = batched.rows_at_once(generator.image_shape)
  return batched.Batched(
    lambda latents: {IMAGES: generator.decode(latents).mean()},
    # A model with a fixed batch size makes as many images anyway.
    max(at_once, getattr(generator, "batch_size", None) or 1),
  )


def reader(
  generator, read: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns a function, for graphs, that decodes latents and reads the images.

  Args:
    generator: A `Generator`, or a model of ours.
    read: Maps images to float32 [batch, ...].
  """
  at_once = batched.rows_at_once(generator.image_shape)

  def few(latents):
    return read(generator.decode(latents).mean())

  def function(latents):
    if (latents.shape[0] or at_once) <= at_once:
      return few(latents)
    return batched.map_batches(few, latents, at_once)

  return function
