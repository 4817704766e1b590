"""The images that a request gets, and what the critics read in them."""

import dataclasses
import io

import numpy as np

from lc_keras import plotting

_COLUMNS = 8


@dataclasses.dataclass(frozen=True)
class ControlledImages:
  """Images that were made, and the critics' reading; a picture in a notebook.

  Attributes:
    images: float32 [n, height, width, channels] in [0, 1].
    latents: float32 [n, latent_size].
    realism: float32 [n] in [0, 1], see `Judges.realism_of`.
    probabilities: By attribute, float32 [n] in [0, 1], as its critic reads it.
    converged: bool [n], whether a row is realistic (above 0.3) and, as the
      attribute critic reads it, as asked.
    distance: float32 [n], see `sampler.Result`.
    steps: int32 [n], evaluations of a network, one after the other.
  """

  images: np.ndarray
  latents: np.ndarray
  realism: np.ndarray
  probabilities: dict[str, np.ndarray]
  converged: np.ndarray
  distance: np.ndarray
  steps: np.ndarray

  def picture(self, columns: int = _COLUMNS):
    """Returns a `PIL.Image` of all images, row by row."""
    columns = min(columns, len(self.images))
    missing = -len(self.images) % columns
    padded = np.pad(self.images, [(0, missing)] + [(0, 0)] * 3)
    shape = (-1, columns, *self.images.shape[1:])
    # An image is at least 96 pixels wide on a screen.
    scale = max(1, 96 // self.images.shape[2])
    return plotting.grid(padded.reshape(shape), scale=scale)

  def _repr_png_(self) -> bytes:
    file = io.BytesIO()
    self.picture().save(file, "PNG")
    return file.getvalue()
