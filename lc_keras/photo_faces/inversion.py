"""Finds the latents of a given photograph, so that it can be edited.

From the guess of an `Encoder`, Adam optimises through the decoder our latents
and, at the same time, an offset of w for every style (W+), which represents
what the generator's own w cannot, and stays small. Identity is a term of its
own. The search runs first on small images, which is fast, then on larger ones,
since latents found with small images alone show another person in large ones.
Edits move the latents and keep the offsets.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras.models import encoder
from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import synthesis

SIZE = 256  # Pixels of a photograph.
# Pixels of the images of each search, and its span of the rates' decay.
_STAGES = ((SIZE // 2, (0.0, 0.5)), (SIZE, (0.5, 1.0)))
# Learning rates of latents and of offsets.
_RATES = (0.1, 0.03)
# Weights of the terms besides pixels: identity, and the sizes of latents and of
# offsets.
_SAME, _PRIOR, _APART = 2.0, 0.002, 3.0


class Found(NamedTuple):
  """Latents and offsets of photographs.

  Attributes:
    latents: float32 [n, latent_size], the generator's latents.
    offsets: float32 [n, styles, 512], the offset of each style's w.
  """

  latents: np.ndarray
  offsets: np.ndarray


class Inverter:
  """Maps photographs to latents, and to an offset of w for each style."""

  def __init__(
    self,
    generator,
    guess: Callable[[tf.Tensor], tf.Tensor],
    steps: tuple[int, int] = (40, 30),
    data_dir: str = "data",
  ):
    """Loads the networks.

    Args:
      generator: Result of `networks.generator`.
      guess: Maps images to its latents, such as the `Encoder` that was learned
        for it.
      steps: Steps of the search in small images, and in large ones.
      data_dir: See `packages.folder`.
    """
    self._coordinates = generator.mapping.coordinates
    self._guess = guess
    self._steps = steps
    self._decode = {
      size: networks.decoder(size, data_dir) for size, _ in _STAGES
    }
    self._identity = face_api.identity(data_dir)
    self._styles = synthesis.count_styles(synthesis.read_steps(data_dir))
    self._find = batched.Batched(self._found, 1)

  def __call__(self, images: np.ndarray) -> Found:
    """Returns the latents and offsets of images, found one by one.

    Args:
      images: float32 [n, 256, 256, 3] in [0, 1], aligned, see `alignment`.
    """
    found = self._find(images)
    return Found(found["latents"], found["offsets"])

  def own(self, found: Found) -> np.ndarray:
    """Returns w for every style, [n, styles, 512], as the decoders take it."""
    return self._own(tf.constant(found.latents), found.offsets).numpy()

  def _own(self, latents, offsets):
    return self._coordinates.to_own(latents)[:, tf.newaxis] + offsets

  def _found(self, images):
    start = tf.shape(images)[0], self._styles, synthesis.LATENT_SIZE
    found = [self._guess(images), tf.zeros(start)]
    for (size, span), steps in zip(_STAGES, self._steps, strict=True):
      target = tf.nn.avg_pool2d(images, SIZE // size, SIZE // size, "VALID")
      identity = self._identity(target)

      def more(made, latents, offsets, identity=identity):
        changed = tf.square(self._identity(made) - identity)
        return (
          _SAME * tf.reduce_sum(changed, axis=1)
          + _PRIOR * tf.reduce_sum(tf.square(latents), axis=1)
          + _APART * tf.reduce_mean(tf.square(offsets), axis=[1, 2])
        )

      def render(latents, offsets, size=size):
        return self._decode[size](self._own(latents, offsets))

      found = encoder.search(render, found, target, steps, _RATES, more, span)
    return dict(zip(Found._fields, found))
