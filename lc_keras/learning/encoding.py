"""Learns an encoder for a generator that has none, from its own draws."""

import numpy as np

from lc_keras import batched
from lc_keras import progress as progresses
from lc_keras import recipes
from lc_keras.generators import decoding
from lc_keras.generators import generator as generators
from lc_keras.learning import acquire
from lc_keras.models import encoder

_SEED = 1 << 22


def learn(
  parts, recipe: recipes.Encoder, progress: progresses.Progress
) -> tuple[encoder.Encoder, dict]:
  """Learns an encoder.

  Only a few images are in memory at a time.

  Args:
    parts: `parts.Parts`; only the generator is used.
    recipe: The settings.
    progress: Shows the progress.

  Returns:
    The model; and JSON values about held-out draws: "decibels", the peak
    signal-to-noise ratio of their reconstructions by the first guess
    ("guessed") and by the encoder ("encoded"); and "distance" of their encoded
    latents from the drawn ones, relative to that of two draws.

  Raises:
    ValueError: The generator has an encoder, or its outputs are not images.
  """
  generator = parts.generator
  if generators.can_encode(generator):
    raise ValueError("This generator has its own encoder: it needs no other.")
  if not generators.are_images(generator):
    raise ValueError(
      "An encoder can be learned for images only: give the generator an "
      "encoder, or transform latents of its samples."
    )
  axes = parts.mapping and parts.mapping.coordinates.axes
  draw = acquire.drawer(parts)
  latents = draw(recipe.count, _SEED + recipe.seed)
  sums = encoder.Sums(generator.image_shape, generator.latent_size, axes)
  decode = decoding.decoder(generator)
  bar, start = progress.bar(recipe.count, " images"), 0
  for batch in decode.iter_batches(latents):
    images = batch[decoding.IMAGES]
    sums.add(images, latents[start : start + len(images)])
    start += len(images)
    bar.update(len(images))
  bar.close()
  differentiable = getattr(generator, "differentiable", True)
  model = sums.solved(recipe.steps if differentiable else 0)
  model.made_for = parts.fingerprint
  progress.say(f"Measuring its error on {recipe.tried} held-out draws")
  drawn = draw(recipe.tried, _SEED + recipe.seed + 1)
  images = decode(drawn)[decoding.IMAGES]
  read = batched.Batched(
    lambda images: {
      "guessed": model(images),
      "encoded": model.posterior(generator, images).mean(),
    },
    batched.rows_at_once(generator.image_shape),
  )(images)
  apart = np.square(read["encoded"] - drawn).sum()
  return model, {
    "draws": recipe.count,
    "decibels": {
      name: _decibels(decode(read[name])[decoding.IMAGES], images)
      for name in ("guessed", "encoded")
    },
    "distance": float(np.sqrt(apart / (2.0 * np.square(drawn).sum()))),
  }


def _decibels(made, images):
  errors = np.square(made - images).mean(axis=(1, 2, 3))
  return float(np.mean(-10.0 * np.log10(errors + 1e-12)))
