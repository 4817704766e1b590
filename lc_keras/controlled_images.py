"""The images that a request gets, and what the critics read in them."""

import dataclasses
import io
from typing import Any

import numpy as np

from lc_keras import plotting

_COLUMNS, _PLOTS = 8, 3


@dataclasses.dataclass(frozen=True)
class ControlledImages:
  """Images that were made, and the critics' reading; a picture in a notebook.

  Attributes:
    images: float32 [n, height, width, channels] in [0, 1]; or what else the
      generator makes, [n, ...].
    latents: float32 [n, latent_size].
    realism: float32 [n] in [0, 1], see `Judges.realism_of`.
    probabilities: By attribute, float32 [n] in [0, 1], as its critic reads it.
    converged: bool [n], whether a row is realistic (above 0.3) and, as the
      attribute critic reads it, as asked.
    distance: float32 [n], see `sampler.Result`.
    steps: int32 [n], evaluations of a network, one after the other.
    plot: What draws outputs that are no images, see `plotting.plotter`.
  """

  images: np.ndarray
  latents: np.ndarray
  realism: np.ndarray
  probabilities: dict[str, np.ndarray]
  converged: np.ndarray
  distance: np.ndarray
  steps: np.ndarray
  plot: Any = None

  def picture(self, columns: int | None = None):
    """Returns a `PIL.Image` of all images, row by row: 8, or 3 plots."""
    images = plotting.pictures(self.images, self.plot)
    columns = columns or (_COLUMNS if self.plot is None else _PLOTS)
    columns = min(columns, len(images))
    missing = -len(images) % columns
    blank = 0 if self.plot is None else 255
    padded = np.pad(
      images, [(0, missing)] + [(0, 0)] * 3, constant_values=blank
    )
    shape = (-1, columns, *images.shape[1:])
    # An image is at least 96 pixels wide on a screen.
    scale = max(1, 96 // images.shape[2])
    return plotting.grid(padded.reshape(shape), scale=scale)

  def _repr_png_(self) -> bytes:
    file = io.BytesIO()
    self.picture().save(file, "PNG")
    return file.getvalue()
