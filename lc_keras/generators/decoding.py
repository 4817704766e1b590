"""The images of many latents: a few at a time, however large they are."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras import batched

IMAGES = "images"


def decoder(generator) -> batched.Batched:
  """Returns a compiled decoder of arrays, in chunks that memory has room for.

  Called with float32 latents [n, latent_size] it returns all "images", float32
  [n, height, width, channels] in [0, 1]; its `pieces` yields them chunk by
  chunk, for those who need a number of each only.

  Args:
    generator: A `Generator`, or a model of ours.
  """
  at_once = batched.rows_at_once(generator.image_shape)
  return batched.Batched(
    lambda latents: {IMAGES: generator.decode(latents).mean()},
    # A model that takes batches of one size makes as many anyway.
    max(at_once, getattr(generator, "batch_size", None) or 1),
  )


def reader(
  generator, read: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns what is read in the images of latents, as a function in a graph.

  Args:
    generator: A `Generator`, or a model of ours.
    read: Images to float32 [batch, ...].
  """
  at_once = batched.rows_at_once(generator.image_shape)

  def few(latents):
    return read(generator.decode(latents).mean())

  def function(latents):
    if (latents.shape[0] or at_once) <= at_once:
      return few(latents)
    return batched.in_pieces(few, latents, at_once)

  return function
