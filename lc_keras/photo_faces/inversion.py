"""Finds the latents of a given photograph, so that it can be edited.

A first guess by ridge regression, in closed form: from a tiny image and the
identity to our latents. Then Adam through the decoder: first in our latents,
then with a w of its own for every style (W+), close to the common one, which
says what the generator's own w cannot. Edits move the common part and keep what
every style has of its own.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lc_keras.photo_faces import early_exit
from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import synthesis

SIZE = 128  # Pixels of what is compared.
_TINY = 32
_IDENTITY_GAIN = 3.0
_RIDGE = 0.03
_AT_ONCE = 8
# The first guess stays where the generator's own draws are.
_FARTHEST = 3.0
# Terms of the search: pixels, pixels of blurred images, identity, a latent's
# size, and how far the styles are apart.
_PIXELS, _BLURRED, _SAME, _PRIOR, _APART = 10.0, 10.0, 2.0, 0.002, 3.0


class Found(NamedTuple):
  """Where photographs are in a generator.

  Attributes:
    latents: float32 [n, latent_size], the generator's latents.
    offsets: float32 [n, styles, 512], what each style's w has of its own.
  """

  latents: np.ndarray
  offsets: np.ndarray


class Inverter:
  """Photographs to latents, by a first guess and a search."""

  def __init__(self, generator, data_dir: str = "data"):
    """Reads the networks; `fit` comes next.

    Args:
      generator: Of `networks.generator`.
      data_dir: See `packages.folder`.
    """
    self._coordinates = generator.mapping.coordinates
    self._axes = self._coordinates.axes
    self._decode = networks.decoder(SIZE, data_dir)
    self._identity = face_api.identity(data_dir)
    self._styles = synthesis.count_styles(synthesis.read_steps(data_dir))
    self._middle = self._weights = None
    self._sketch = tf.function(self._looked_at, autograph=False)

  def fit(self, latents: np.ndarray) -> None:
    """Learns the first guess from the generator's own images.

    Args:
      latents: [n, latent_size], some hundred draws.
    """
    seen, wanted = self._look(latents), latents[:, : self._axes]
    self._middle = seen.mean(axis=0)
    seen = seen - self._middle
    gram = seen @ seen.T
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    self._weights = seen.T @ np.linalg.solve(gram + ridge, wanted)

  def guess(self, images: np.ndarray) -> np.ndarray:
    """Returns the first guess of images' latents, [n, latent_size].

    Args:
      images: [n, 128, 128, 3] in [0, 1], aligned, see `alignment`.
    """
    seen = _described(images, self._identity(tf.constant(images)).numpy())
    found = (seen - self._middle) @ self._weights
    found = np.clip(found, -_FARTHEST, _FARTHEST)
    rest = self._coordinates.size - self._axes
    return np.float32(np.pad(found, [(0, 0), (0, rest)]))

  def __call__(
    self, images: np.ndarray, common: int = 80, apart: int = 120
  ) -> Found:
    """Returns where images are.

    Args:
      images: See `guess`.
      common: Steps with the same w in all styles.
      apart: Steps with a w of its own in each.
    """
    latents = tf.Variable(self.guess(images))
    offsets = tf.Variable(
      tf.zeros([len(images), self._styles, synthesis.LATENT_SIZE])
    )
    target = tf.constant(images)
    who = self._identity(target)
    for steps, rate, moved in (
      (common, 0.05, [latents]),
      (apart, 0.02, [latents, offsets]),
    ):
      if steps:
        self._search(latents, offsets, moved, target, who, steps, rate)
    return Found(latents.numpy(), offsets.numpy())

  def own(self, found: Found) -> np.ndarray:
    """Returns w for every style, [n, styles, 512], as the decoders take it."""
    return self._own(tf.constant(found.latents), found.offsets).numpy()

  def _own(self, latents, offsets):
    return self._coordinates.to_own(latents)[:, tf.newaxis] + offsets

  def _search(self, latents, offsets, moved, target, who, steps, rate):
    rates = tf.keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = tf.keras.optimizers.Adam(rates)
    optimizer.build(moved)

    @tf.function(autograph=False)
    def step():
      with tf.GradientTape() as tape:
        images = self._decode(self._own(latents, offsets))
        loss = self._loss(images, target, who, latents, offsets)
      optimizer.apply_gradients(zip(tape.gradient(loss, moved), moved))

    for _ in range(steps):
      step()

  def _loss(self, images, target, who, latents, offsets):
    """One number an image: no image depends on the others."""
    # Pixels are compared in [-1, 1].
    error = 2.0 * (images - target)
    blurred = tf.nn.avg_pool2d(error, 4, 4, "VALID")
    changed = tf.square(self._identity(images) - who)
    return (
      _PIXELS * tf.reduce_mean(tf.square(error), axis=[1, 2, 3])
      + _BLURRED * tf.reduce_mean(tf.square(blurred), axis=[1, 2, 3])
      + _SAME * tf.reduce_sum(changed, axis=1)
      + _PRIOR * tf.reduce_sum(tf.square(latents), axis=1)
      + _APART * tf.reduce_mean(tf.square(offsets), axis=[1, 2])
    )

  def _look(self, latents):
    parts = [
      self._sketch(tf.constant(latents[start : start + _AT_ONCE]))
      for start in range(0, len(latents), _AT_ONCE)
    ]
    images, who = (np.concatenate(part) for part in zip(*parts))
    return _described(images, who)

  def _looked_at(self, latents):
    images = self._decode(self._coordinates.to_own(latents))
    return images, self._identity(images)


def _described(images, who):
  """Returns what the first guess sees: tiny images and identities."""
  tiny = 2.0 * early_exit.smaller(np.asarray(images), SIZE // _TINY) - 1.0
  return np.concatenate(
    [tiny.reshape(len(tiny), -1), _IDENTITY_GAIN * who], axis=1
  )
