"""Images made for a request, with the critics' readings."""

import dataclasses
import io
from typing import Any

import numpy as np

from lc_keras import plotting

_COLUMNS, _PLOTS = 8, 3


@dataclasses.dataclass(frozen=True)
class ControlledImages:
  """Images with the critics' readings; a notebook shows them as a picture.

  Attributes:
    images: float32 [n, height, width, channels] in [0, 1]; [n, ...] if the
      generator's outputs are not images.
    latents: float32 [n, latent_size].
    realism: float32 [n] in [0, 1], see `Judges.realism_of`.
    probabilities: By attribute, float32 [n] in [0, 1], the critic's readings.
    converged: bool [n], whether a row is realistic (above 0.3) and meets the
      request by the attribute critic's reading.
    distance: float32 [n], see `sampler.Result`.
    steps: int32 [n], number of sequential evaluations of a network.
    plot: Plots outputs that are not images, see `plotting.plotter`.
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
    """Returns a `PIL.Image` of all images, by default 8 (or 3 plots) a row."""
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
