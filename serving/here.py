"""Pictures of the command-line client, made in this process."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from lc_keras import control as controls
from lc_keras import plotting
from lc_keras.constraints import requests
from serving import pictures


def draw_samples(
  control: controls.LatentConstraints,
  request: str,
  n: int,
  seed: int,
  sampler: str = "best",
) -> Image.Image:
  """Returns a grid of images that match a request.

  Args:
    control: Makes the images.
    request: See `pictures.draw_samples`.
    n: Number of images.
    seed: Seed of all images, see `LatentConstraints.sample`.
    sampler: See `LatentConstraints.sample`.

  Raises:
    ValueError: The request cannot be read, or contradicts itself.
  """
  request = request.strip() or "realism"
  made = control.sample(request, n, seed, sampler)
  constraint = requests.parse(request, control.attributes).rows(n)
  pictures.report(control.attributes, constraint, _outputs(made))
  return made.picture(pictures.COLUMNS)


def draw_transformations(
  control: controls.LatentConstraints,
  paths: Sequence[str],
  request: str,
  seed: int,
  sampler: str = "best",
  strength: float = 1.0,
) -> Image.Image:
  """Returns pictures, and below each its edit by a request.

  Args:
    control: Changes the images.
    paths: Picture files.
    request: See `pictures.draw_transformations`.
    seed: Seed of all images, see `LatentConstraints.transform`.
    sampler: See `LatentConstraints.transform`.
    strength: See `LatentConstraints.transform`.

  Raises:
    ValueError: A picture cannot be read, or the request cannot, or it
      contradicts itself.
  """
  images = np.stack([control.parts.preprocessing.load(path) for path in paths])
  made = control.transform(images, request, seed, sampler, strength)
  expression = requests.parse(request, control.attributes)
  outputs = _outputs(made)
  constraint = expression.nearest(outputs["attribute_probabilities"])
  pictures.report(control.attributes, constraint, outputs)
  return plotting.before_after(
    images, made.images, scale=pictures.scale_of(images.shape[1:])
  )


def _outputs(made):
  """Returns images and scores as the outputs of a server."""
  return {
    "images": made.images,
    "attribute_probabilities": np.stack(
      [*made.probabilities.values()], axis=-1
    ),
    "converged": made.converged,
  }
