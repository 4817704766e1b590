"""The images of many latents: a few at a time, however large they are."""

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
  return batched.Batched(
    lambda latents: {IMAGES: generator.decode(latents).mean()},
    batched.rows_at_once(generator.image_shape),
  )
