"""Finds the latents of a given photograph, so that it can be edited.

From the guess of an `Encoder` on, Adam through the decoder, in our latents and
in a w of its own for every style (W+) at once: these say what the generator's
own w cannot, and stay close to it. Who is shown is a term of its own. First in
small images, which is quick; then in larger ones, for what was found with small
images alone is somebody else in large ones. Edits move the common part and keep
what every style has of its own.
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
# Pixels of the images of each search, and its part of the fall of the rates.
_STAGES = ((SIZE // 2, (0.0, 0.5)), (SIZE, (0.5, 1.0)))
# Of latents, and of what styles have of their own.
_RATES = (0.1, 0.03)
# Terms of the search besides pixels: identity, a latent's size, and how far the
# styles are apart.
_SAME, _PRIOR, _APART = 2.0, 0.002, 3.0


class Found(NamedTuple):
  """Where photographs are in a generator.

  Attributes:
    latents: float32 [n, latent_size], the generator's latents.
    offsets: float32 [n, styles, 512], what each style's w has of its own.
  """

  latents: np.ndarray
  offsets: np.ndarray


class Inverter:
  """Photographs to latents, and to what each style has of its own."""

  def __init__(
    self,
    generator,
    guess: Callable[[tf.Tensor], tf.Tensor],
    steps: tuple[int, int] = (40, 30),
    data_dir: str = "data",
  ):
    """Reads the networks.

    Args:
      generator: Of `networks.generator`.
      guess: Images to its latents, such as the `Encoder` that was learned for
        it.
      steps: Of the search in small images, and of that in large ones.
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
    """Returns where images are, found one by one.

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
      who = self._identity(target)

      def more(made, latents, offsets, who=who):
        changed = tf.square(self._identity(made) - who)
        return (
          _SAME * tf.reduce_sum(changed, axis=1)
          + _PRIOR * tf.reduce_sum(tf.square(latents), axis=1)
          + _APART * tf.reduce_mean(tf.square(offsets), axis=[1, 2])
        )

      def render(latents, offsets, size=size):
        return self._decode[size](self._own(latents, offsets))

      found = encoder.search(render, found, target, steps, _RATES, more, span)
    return dict(zip(Found._fields, found))
